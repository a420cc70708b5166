"""Checks of headers and lines: what must be there, what may be there once, what must not be there at all (RFC 5322)."""

import io
import re
from collections import Counter
from collections.abc import Iterator
from email.utils import getaddresses, parsedate_to_datetime

from email_campaign.local.inbox.finding import Fields, Finding, values_of

ONCE = (
    *("Date", "From", "Sender", "Reply-To", "To", "Cc", "Bcc"),  # RFC 5322 3.6
    *("Message-ID", "In-Reply-To", "References", "Subject"),
    *("MIME-Version", "Content-Type", "Content-Transfer-Encoding", "Content-Disposition"),  # RFC 2045
    *("List-Unsubscribe", "List-Unsubscribe-Post", "List-Id"),  # RFC 2369, 8058, 2919
)
MAX_LINE_BYTES = 998

_MESSAGE_ID = re.compile(r"<[^\s<>@]+@[^\s<>@]+>")


def check_headers(fields: Fields) -> Iterator[Finding]:
    """Twice, From, Date, Message-ID, Subject and MIME-Version."""
    yield _once(fields)
    yield _from(fields)
    yield _date(fields)
    yield _message_id(fields)
    yield _subject(fields)
    if values_of(fields, "content-type") and not values_of(fields, "mime-version"):
        yield Finding(
            "remark",
            "MIME-Version",
            "There is a Content-Type, but no MIME-Version.",
            "By RFC 2045 the mail is then plain text; most programs guess, some do not.",
            "Add “MIME-Version: 1.0”.",
        )


def check_lines(raw: bytes) -> Iterator[Finding]:
    """How the bytes keep to the form of a mail."""
    head = raw.partition(b"\r\n\r\n")[0]
    longest = max((len(line.rstrip(b"\r\n")) for line in io.BytesIO(raw)), default=0)
    if longest > MAX_LINE_BYTES:
        yield Finding(
            "wrong",
            "Line length",
            f"The longest line has {longest:,} bytes.",
            f"RFC 5322 allows {MAX_LINE_BYTES}; servers cut longer lines or refuse the mail, and a signature breaks.",
            "Send the part as quoted-printable or base64.",
        )
    loose = raw.count(b"\r") + raw.count(b"\n") - 2 * raw.count(b"\r\n")
    if loose:
        yield Finding(
            "wrong",
            "Line ends",
            f"{loose:,} line {'end is' if loose == 1 else 'ends are'} not CRLF.",
            "Some servers refuse a bare CR or LF since it can smuggle a second mail in.",
            "End every line with CRLF.",
        )
    if not head.isascii():
        yield Finding(
            "wrong",
            "Characters in headers",
            "A header holds bytes that are not ASCII.",
            "Only servers that speak SMTPUTF8 carry them; others garble or refuse the mail.",
            "Write them as encoded-words (RFC 2047), for instance =?utf-8?Q?caf=C3=A9?=.",
        )
    if longest <= MAX_LINE_BYTES and not loose and head.isascii():
        yield Finding("ok", "Lines", f"All end with CRLF; the longest has {longest:,} bytes of {MAX_LINE_BYTES}.")


def _once(fields: Fields) -> Finding:
    counts = Counter(name.lower() for name, _ in fields)
    twice = [f"{name} ({counts[name.lower()]} times)" for name in ONCE if counts[name.lower()] > 1]
    if not twice:
        return Finding("ok", "Single headers", "No header occurs twice that may occur once.")
    return Finding(
        "wrong",
        "Single headers",
        f"More than once: {', '.join(twice)}.",
        "RFC 5322 allows each once. Programs differ in which they show, so Gmail and others refuse such mail.",
        "Set the header instead of adding it.",
    )


def _from(fields: Fields) -> Finding:
    values = values_of(fields, "from")
    addresses = [address for _, address in getaddresses(values) if "@" in address]
    if addresses:
        return Finding("ok", "From", f"The mail says who it is from: {addresses[0][:100]}.")
    found = "There is no From." if not values else f"From holds no address: “{values[0][:80]}”."
    return Finding(
        "wrong", "From", found, "Every mail has one; receivers refuse mail without.", "Add From with an address."
    )


def _date(fields: Fields) -> Finding:
    values = values_of(fields, "date")
    why = "Every mail has one (RFC 5322 3.6); without it a mail sorts wrongly and looks like spam."
    if not values:
        return Finding("wrong", "Date", "There is no Date.", why, "Add it when the mail is made.")
    try:
        parsedate_to_datetime(values[-1])
    except (ValueError, OverflowError):
        mend = "Write it like this: Wed, 04 Mar 2026 14:02:10 +0000."
        return Finding("wrong", "Date", f"Date cannot be read: “{values[-1][:80]}”.", why, mend)
    return Finding("ok", "Date", values[-1][:80])


def _message_id(fields: Fields) -> Finding:
    values = values_of(fields, "message-id")
    why = "Bounces, replies and logs are matched by it; Gmail refuses mail without a good one."
    if not values:
        return Finding(
            "wrong", "Message-ID", "There is no Message-ID.", why, "Add one that is unique: <number@your.domain>."
        )
    if not _MESSAGE_ID.fullmatch(values[-1]):
        found = f"Message-ID is malformed: “{values[-1][:80]}”."
        return Finding("wrong", "Message-ID", found, why, "Write <left@right>, in angle brackets and without blanks.")
    return Finding("ok", "Message-ID", values[-1][:200])


def _subject(fields: Fields) -> Finding:
    values = values_of(fields, "subject")
    if any(values):
        return Finding("ok", "Subject", "The mail has one.")
    found = "The subject is empty." if values else "There is no Subject."
    return Finding(
        "remark", "Subject", found, "Readers and spam filters distrust mail without.", "Say what the mail is about."
    )
