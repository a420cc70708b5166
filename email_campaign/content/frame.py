"""How a mail's HTML stands in its sandboxed frame: in the light or the dark, as is chosen, and its links open a tab."""

import re
from typing import Literal

Theme = Literal["light", "dark"]

_QUERY = re.compile(r"\(\s*prefers-color-scheme\s*:\s*(light|dark)\s*\)", re.IGNORECASE)
_SCHEME = re.compile(r"(?<!prefers-)(\bcolor-scheme\s*:\s*)(?:light\s+dark|dark\s+light)\b", re.IGNORECASE)
_META = re.compile(
    r"""(<meta\b[^<>]{0,99}\bname\s*=\s*["']?color-scheme\b[^<>]{0,99}\bcontent\s*=\s*["'])(?:light\s+dark|dark\s+light)\b""",
    re.IGNORECASE,
)


def framed(html: str, theme: Theme = "light") -> str:
    """The HTML for the frame. `theme` is what the reader's program prefers, whatever this browser does.

    No browser lets a page choose it for a sandboxed frame, so what the mail asks of it is decided here.
    """
    html = _QUERY.sub(lambda found: "(min-width: 0)" if found[1].lower() == theme else "(max-width: 0)", html)
    html = _META.sub(rf"\1{theme}", _SCHEME.sub(rf"\1{theme}", html))
    opening = re.search(r"<head\b[^>]*>", html, re.IGNORECASE) or re.match(r"\s*<!doctype[^>]*>", html, re.IGNORECASE)
    position = opening.end() if opening else 0
    return html[:position] + '<base target="_blank">' + html[position:]


def has_dark_style(html: str) -> bool:
    """Whether the mail says itself how it looks in the dark."""
    return any(pattern.search(html) for pattern in (_QUERY, _SCHEME, _META))
