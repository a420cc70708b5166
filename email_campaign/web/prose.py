"""What plain text becomes on a page: addresses that break before the @ or a dot, times in the viewer's zone."""

import re
from datetime import UTC, datetime

from markupsafe import Markup, escape

from email_campaign.address import in_own_script
from email_campaign.web.formatting import machine_time, moment

FITS = 20
"""Characters of an address that has room in a column of a phone, and needs no place to break."""

_SPECIAL = re.compile(
    r"(?P<local>[\w!#$%&'*+/=?^`{|}~.-]+)@(?P<domain>[\w-]+(?:\.[\w-]+)+)"
    r"|(?P<time>\d{1,2} [A-Z][a-z]{2} \d{4}, \d\d:\d\d:\d\d) UTC"
)


def prose(value: object) -> object:
    """The filter of the templates. Markup, numbers and None are returned as they are.

    Times are those that `clock_time` writes: sentences about reasons come from below, where nobody knows of HTML.
    """
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    made, end = Markup(), 0
    for found in _SPECIAL.finditer(value):
        made += escape(value[end : found.start()]) + _special(found)
        end = found.end()
    return made + escape(value[end:])


def time_words(at: datetime, *, seconds: bool = False) -> Markup:
    """A time within a sentence: in UTC, or by the script in the viewer's zone."""
    precision = "seconds" if seconds else "minutes"
    words = Markup('<time datetime="{}" data-time="{}">{}</time>')
    return words.format(machine_time(at), precision, moment(at, seconds=seconds))


def _special(found: re.Match[str]) -> Markup:
    if written := found["time"]:
        try:
            at = datetime.strptime(written, "%d %b %Y, %H:%M:%S").replace(tzinfo=UTC)
        except ValueError:  # no time of ours: somebody wrote 99 Foo 2026
            return escape(found[0])
        return time_words(at, seconds=True)
    local, domain = found["local"], found["domain"]
    shown = in_own_script(domain)
    is_long = len(f"{local}@{shown}") > FITS
    words = Markup("{}<wbr>@{}").format(_breakable(local), _breakable(shown)) if is_long else escape(f"{local}@{shown}")
    return words if shown == domain else Markup('<span title="{}">{}</span>').format(found[0], words)


def _breakable(part: str) -> Markup:
    """A half of an address that does not fit by itself breaks before its dots, and not within a word."""
    return Markup("<wbr>.").join(part.split(".")) if len(part) > FITS else escape(part)
