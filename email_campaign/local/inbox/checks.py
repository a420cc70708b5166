"""What a careful person would look at before such a mail goes to strangers: the check list of one mail."""

from collections.abc import Iterator
from dataclasses import dataclass

from email_campaign.content.checks import MAX_HTML_BYTES
from email_campaign.content.markup import scan
from email_campaign.local.inbox.check_headers import check_headers, check_lines
from email_campaign.local.inbox.check_links import PLACEHOLDER, Link, check_links, check_markup, links_of
from email_campaign.local.inbox.check_unsubscribe import check_unsubscribe
from email_campaign.local.inbox.finding import SEVERITY, Finding, State
from email_campaign.local.inbox.mail import Mail
from email_campaign.local.inbox.reading import Readable

MAX_CHECKED_CHARACTERS = 500_000
"""Of HTML and text: beyond it a page would be late, and the size has been told by then."""


@dataclass(frozen=True, slots=True)
class Checked:
    """The list, what is wrong first, and every link and image of the HTML."""

    findings: tuple[Finding, ...]
    links: tuple[Link, ...]

    def count(self, state: State) -> int:
        """How many lines have this state."""
        return sum(finding.state == state for finding in self.findings)


def check_mail(mail: Mail, readable: Readable) -> Checked:
    """Every check. Nothing is fetched: a link is judged by its words alone."""
    html = (readable.html or "")[:MAX_CHECKED_CHARACTERS]
    links = links_of(html, frozenset(part.content_id for part in readable.attachments if part.content_id))
    findings = [
        *check_unsubscribe(readable.fields),
        *_parts(readable),
        *_size(readable),
        *check_links(links),
        *check_markup(html),
        *_placeholders(readable),
        *check_headers(readable.fields),
        *check_lines(mail.raw),
    ]
    return Checked(tuple(sorted(findings, key=lambda finding: SEVERITY[finding.state])), tuple(links))


def _parts(readable: Readable) -> Iterator[Finding]:
    title = "Text part"
    has_text, has_html = bool((readable.text or "").strip()), bool((readable.html or "").strip())
    if not has_text and not has_html:
        found = "The mail has neither text nor HTML to read."
        yield Finding("wrong", title, found, "An empty mail is taken for a test or for spam.", "Write something.")
    elif not has_text:
        found = "There is no text part." if readable.text is None else "The text part is empty."
        why = "Watches, screen readers and text programs show it, and spam filters count its absence."
        yield Finding("remark", title, found, why, "Send multipart/alternative: the text first, the HTML after it.")
    elif not has_html:
        yield Finding("ok", title, "The mail is text only, which everybody can read.")
    else:
        yield Finding("ok", title, "Text and HTML are both there.")


def _size(readable: Readable) -> Iterator[Finding]:
    if not readable.html:
        return
    size, limit = len(readable.html.encode("utf-8", "replace")), MAX_HTML_BYTES // 1024
    if size > MAX_HTML_BYTES:
        found = f"The HTML has {size / 1024:,.0f} kB."
        why = f"Gmail cuts a mail off at {limit} kB, and the unsubscribe link with it."
        yield Finding(
            "wrong", "Size", found, why, "Shorten it: move styles out of elements, and leave out what nobody reads."
        )
    else:
        yield Finding("ok", "Size", f"The HTML has {size / 1024:,.1f} kB; Gmail cuts a mail off at {limit} kB.")


def _placeholders(readable: Readable) -> Iterator[Finding]:
    subject = " ".join(value for name, value in readable.headers if name.lower() == "subject")
    places = {"the subject": subject, "the text": readable.text or "", "the HTML": _shown(readable.html or "")}
    found = {
        place: match[0][:60]
        for place, words in places.items()
        if (match := PLACEHOLDER.search(words[:MAX_CHECKED_CHARACTERS]))
    }
    if found:
        words = " and in ".join(f"{place}: “{placeholder}”" for place, placeholder in found.items())
        why = "A reader sees the machine instead of a name."
        yield Finding(
            "wrong", "Placeholders", f"Not filled in {words}.", why, "Give the variable a value or a fallback."
        )
    else:
        yield Finding("ok", "Placeholders", "Every variable seems to be filled.")


def _shown(html: str) -> str:
    """Text and attributes: in a style two braces are no placeholder."""
    return "\n".join(token.raw for token in scan(html[:MAX_CHECKED_CHARACTERS]) if token.kind != "skipped")
