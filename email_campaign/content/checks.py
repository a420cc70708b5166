"""What a careful person would warn about before content goes out: it can be sent, but it might not be meant."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from email_campaign.content.markup import OUTPUTS, Hidden, Token, scan

MAX_HTML_BYTES = 102 * 1024
"""Gmail cuts a longer mail off, and the unsubscribe link with it."""

MAX_SUBJECT_CHARACTERS = 78
MIN_SHOUTED_LETTERS = 8

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_GOOD_SCHEMES = frozenset({"https", "mailto", "tel", "sms", "cid"})
_TAGS = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)


class Warn(NamedTuple):
    """One thing to look at: where (`line` from 1, or None for the whole field) and what to do."""

    field: str
    line: int | None
    message: str


def check_content(subject: str, html: str, text: str) -> list[Warn]:
    """The warnings for sources that compile, in reading order."""
    return [*_subject(subject), *_parts(html, text), *(_html(html) if html.strip() else ())]


def _subject(subject: str) -> Iterator[Warn]:
    words = _TAGS.sub("", subject).strip()
    if not subject.strip():
        yield Warn("subject", None, "The subject is empty.")
    if len(words) > MAX_SUBJECT_CHARACTERS:
        yield Warn("subject", None, f"The subject has {len(words)} characters; most programs show 40 to 78.")
    letters = [letter for letter in words if letter.isalpha()]
    if len(letters) >= MIN_SHOUTED_LETTERS and words.isupper():
        yield Warn("subject", None, "The subject is all capitals, which spam filters and readers dislike.")


def _parts(html: str, text: str) -> Iterator[Warn]:
    for field, source in (("html", html), ("text", text)):
        if source.strip() and not any("unsubscribe_url" in tag for tag in _TAGS.findall(source)):
            yield Warn(field, None, "There is no unsubscribe link. Add {{ unsubscribe_url }}.")
    if html.strip() and not text.strip():
        yield Warn("text", None, "There is no text part of your own; it is made from the HTML.")
    size = len(html.encode("utf-8", "replace"))
    if size > MAX_HTML_BYTES:
        yield Warn("html", None, f"The HTML has {size // 1024} kB; Gmail cuts a mail off at 102 kB.")


def _html(source: str) -> Iterator[Warn]:
    hidden = Hidden(source)
    for token in scan(hidden.html):
        if token.kind == "open":
            for message in _tag(token):
                yield Warn("html", hidden.line_at(token.position), message)


def _tag(token: Token) -> Iterator[str]:
    attributes = token.attributes()
    if token.name in {"script", "form", "iframe"}:
        yield f"<{token.name}> does not work in mail; most programs remove it."
    if token.name == "img":
        if "alt" not in attributes:
            yield 'The image has no alt text. Describe it, or write alt="" for decoration.'
        yield from _url("image", attributes.get("src"))
    if token.name == "a" and "href" in attributes:
        yield from _url("link", attributes["href"])
    if token.name == "a" and "href" not in attributes and "name" not in attributes and "id" not in attributes:
        yield "The link leads nowhere: it has no href."


def _url(what: str, url: str | None) -> Iterator[str]:
    url = (url or "").strip()
    scheme = _SCHEME.match(url)
    if not url or url == "#":
        yield f"The {what} leads nowhere: its address is empty."
    elif url.startswith("#") or re.match(f"[{OUTPUTS}]", url):
        return  # a place in the mail, or an address that the contact brings
    elif scheme is None:
        yield f"The {what} “{_shown(url)}” is relative; a mail has no place that it could be relative to. Write https://…"
    elif scheme[1].lower() == "http":
        yield f"The {what} “{_shown(url)}” is not encrypted. Use https:// if the site has it."
    elif scheme[1].lower() not in _GOOD_SCHEMES:
        yield f"The {what} “{_shown(url)}” does not work in mail: “{scheme[1].lower()}:” is blocked."


def _shown(url: str) -> str:
    return re.sub(f"[{OUTPUTS}]", "{{…}}", url)[:80]
