"""The links and images of a mail's HTML, each judged by its address."""

import ipaddress
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from email_campaign.content.markup import scan
from email_campaign.local.inbox.finding import Finding, State, worst

MAX_LINKS = 2_000
WORDS_CHARACTERS = 120

PLACEHOLDER = re.compile(r"\{\{.{0,80}?\}\}|\{%.{0,80}?%\}|%%\w{1,60}%%|\*\|\w{1,60}\|\*|\$\{\w{1,60}\}", re.DOTALL)
"""What stands in mail whose variables were not filled: Jinja, Handlebars, Marketing Cloud, Mailchimp, JavaScript."""

_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):", re.IGNORECASE)
_PLAIN_SCHEMES = frozenset({"https", "mailto", "tel", "sms"})
_EXAMPLES = re.compile(r"(?:.*\.)?(?:example|invalid|test|example\.(?:com|net|org))", re.IGNORECASE)
_ACTIVE = frozenset({"script", "form", "iframe", "object", "embed"})


@dataclass(slots=True)
class Link:
    """One address in the HTML. `words` are what is clicked, or the alt text (None where there is none)."""

    kind: Literal["link", "image"]
    url: str
    words: str | None
    state: State
    verdict: str

    @property
    def can_be_opened(self) -> bool:
        """Whether a page may link there."""
        return self.url.lower().startswith(("https://", "http://"))


def links_of(html: str, content_ids: frozenset[str] = frozenset()) -> list[Link]:
    """Links and images in reading order, at most MAX_LINKS. `content_ids` are those of the mail's own parts."""
    found: list[Link] = []
    opened: Link | None = None
    for token in scan(html):
        if token.kind == "text" and opened is not None:
            opened.words = f"{opened.words or ''}{token.raw}"[: WORDS_CHARACTERS * 4]
        elif token.name == "a":
            opened = None
            attributes = token.attributes() if token.kind == "open" else {}
            if token.kind == "open" and not ({"name", "id"} & attributes.keys() and "href" not in attributes):
                url = attributes.get("href", "").strip()
                opened = Link("link", url, "", *judge(url))
                found.append(opened)
        elif token.kind == "open" and token.name == "img":
            attributes = token.attributes()
            url = attributes.get("src", "").strip()
            found.append(Link("image", url, attributes.get("alt"), *judge_image(url, content_ids)))
            if opened is not None:
                opened.words = f"{opened.words or ''} {attributes.get('alt') or '[image]'}"
        if len(found) >= MAX_LINKS:
            break
    for link in found:
        link.words = None if link.words is None else " ".join(link.words.split())[:WORDS_CHARACTERS]
    return found


def judge(url: str) -> tuple[State, str]:
    """What becomes of a reader who follows this address."""
    scheme = _SCHEME.match(url)
    if url in {"", "#"}:
        return "wrong", "leads nowhere: the address is empty"
    if PLACEHOLDER.search(url):
        return "wrong", "holds a placeholder that was not filled"
    if url.startswith("#"):
        return "ok", "a place in the mail"
    if scheme is None:
        return "wrong", "relative: a mail has no place that it could be relative to"
    name = scheme[1].lower()
    if name in {"http", "https"}:
        return _judge_web(url, name)
    return ("ok", name) if name in _PLAIN_SCHEMES else ("wrong", f"“{name}:” is blocked in mail")


def judge_image(url: str, content_ids: frozenset[str]) -> tuple[State, str]:
    """What becomes of an image with this address."""
    name = url.partition(":")[0].lower()
    if name == "cid":
        is_here = url[4:] in content_ids
        return ("ok", "from the mail itself") if is_here else ("wrong", "the mail has no part with this Content-ID")
    if name == "data":
        return "remark", "a data: address, which Gmail and Outlook do not show"
    return judge(url)


def check_links(links: list[Link]) -> Iterator[Finding]:
    """One line for the links, one for the images."""
    for kind, why, mend in (
        (
            "link",
            "A link that is broken or not encrypted costs clicks and trust.",
            "See each below; write https addresses.",
        ),
        ("image", "An image that cannot be loaded leaves a hole.", "See each below; write https addresses."),
    ):
        chosen = [link for link in links if link.kind == kind]
        if not chosen:
            continue
        counts = Counter(link.verdict for link in chosen)
        found = "; ".join(f"{count} {verdict}" for verdict, count in counts.most_common(8))
        total = f"{len(chosen):,} {kind}{'' if len(chosen) == 1 else 's'}"
        state = worst(link.state for link in chosen)
        yield Finding(state, f"{kind.title()}s", f"{total}: {found}.", *(() if state == "ok" else (why, mend)))
    without = sum(link.kind == "image" and link.words is None for link in links)
    if without:
        yield Finding(
            "remark",
            "Text for images",
            f"{without:,} {'image has' if without == 1 else 'images have'} no alt.",
            "Who does not load or cannot see images, reads it; many programs load none at first.",
            'Describe each image in alt, or write alt="" for decoration.',
        )
    elif any(link.kind == "image" for link in links):
        yield Finding("ok", "Text for images", "Every image has an alt.")


def check_markup(html: str) -> Iterator[Finding]:
    """Elements that no mail program carries out."""
    names = sorted({token.name for token in scan(html) if token.kind == "open"} & _ACTIVE)
    if names:
        yield Finding(
            "wrong",
            "Active parts",
            f"The HTML holds {', '.join(f'<{name}>' for name in names)}.",
            "Programs remove them, and spam filters count them.",
            "Take them out; link to a page instead.",
        )


def _judge_web(url: str, scheme: str) -> tuple[State, str]:
    try:
        host = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        host = ""
    if not host:
        return "wrong", "no address: it has no host"
    if _is_near(host):
        return "remark", f"{scheme}, of this machine or network: nobody else can open it"
    if _EXAMPLES.fullmatch(host):
        return "remark", f"{scheme}, of a domain that is reserved for examples"
    return ("ok", "https") if scheme == "https" else ("remark", "http, which is not encrypted")


def _is_near(host: str) -> bool:
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal")) or "." not in host
