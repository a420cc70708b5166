"""The HTML of a mail for its sandboxed frame: links open a tab, images come from the mail, and the theme is chosen."""

import base64
import re
from typing import Literal
from urllib.parse import unquote

from email_campaign.local.inbox.reading import Readable

MAX_INLINE_BYTES = 5 * 1024 * 1024
"""Images that a mail shows from its own parts, in all: they travel as data: URLs within the page."""

Theme = Literal["light", "dark"]

_QUERY = re.compile(r"\(\s*prefers-color-scheme\s*:\s*(light|dark)\s*\)", re.IGNORECASE)
_SCHEME = re.compile(r"(?<!prefers-)(\bcolor-scheme\s*:\s*)(?:light\s+dark|dark\s+light)\b", re.IGNORECASE)
_META = re.compile(
    r"""(<meta\b[^<>]{0,99}\bname\s*=\s*["']?color-scheme\b[^<>]{0,99}\bcontent\s*=\s*["'])(?:light\s+dark|dark\s+light)\b""",
    re.IGNORECASE,
)


def for_frame(readable: Readable, theme: Theme = "light") -> str:
    """The page in the frame. `theme` is what the reader's program prefers, whatever this browser does."""
    html = _themed(readable.html or "", theme)
    images = {part.content_id: part for part in readable.attachments if part.media_type.startswith("image/")}
    budget = MAX_INLINE_BYTES

    def inline(found: re.Match[str]) -> str:
        nonlocal budget
        part = images.get(unquote(found[1]).replace("&amp;", "&"))
        if part is None or len(part.content) > budget or not re.fullmatch(r"[\w.+/-]+", part.media_type):
            return found[0]
        budget -= len(part.content)
        return f"data:{part.media_type};base64,{base64.b64encode(part.content).decode()}"

    html = re.sub(r"""\bcid:([^"'\s)>]+)""", inline, html, flags=re.IGNORECASE)
    base = '<base target="_blank">'
    opening = re.search(r"<head\b[^>]*>", html, re.IGNORECASE) or re.match(r"\s*<!doctype[^>]*>", html, re.IGNORECASE)
    position = opening.end() if opening else 0
    return html[:position] + base + html[position:]


def has_dark_style(html: str) -> bool:
    """Whether the mail says itself how it looks in the dark."""
    return any(pattern.search(html) for pattern in (_QUERY, _SCHEME, _META))


def _themed(html: str, theme: Theme) -> str:
    """Decide the mail's media queries and schemes: no browser lets a page choose them for a sandboxed frame."""
    html = _QUERY.sub(lambda found: "(min-width: 0)" if found[1].lower() == theme else "(max-width: 0)", html)
    html = _SCHEME.sub(rf"\1{theme}", html)
    return _META.sub(rf"\1{theme}", html)
