"""Finding mails: MailHog's three kinds of search, and the one box of the page."""

from collections.abc import Callable, Iterable
from typing import Literal, get_args

from email_campaign.local.inbox.mail import Mail, split_headers, text_of, trace_of
from email_campaign.local.inbox.query import Query, Term
from email_campaign.local.inbox.reading import GLANCE_BYTES, has_attachments, summary_of

Kind = Literal["from", "to", "containing"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def search(mails: Iterable[Mail], kind: Kind, query: str) -> list[Mail]:
    """The mails that MailHog would find, in the order given: a substring in any case, nothing decoded."""
    matches = {"from": _matches_sender, "to": _matches_recipient, "containing": _matches_content}[kind]
    query = query.lower()
    return [mail for mail in mails if matches(mail, query)]


def find(mails: Iterable[Mail], query: Query) -> list[Mail]:
    """The mails that fulfil every term, in the order given; what is cheap to know is asked first."""
    tests = [_test(term) for term in sorted(query.terms, key=lambda term: _COSTS.get(term.operator, 2))]
    found = list(mails)
    for test in tests:
        found = [mail for mail in found if test(mail)]
    return found


_COSTS = {"is": 0, "before": 0, "after": 0, "to": 1, "from": 1, "subject": 1, "has": 3}


def _test(term: Term) -> Callable[[Mail], bool]:
    value, moment = term.value, term.moment
    match term.operator:
        case "is":
            return lambda mail: mail.is_read == (value == "read")
        case "before":
            return lambda mail: moment is not None and mail.created < moment
        case "after":
            return lambda mail: moment is not None and mail.created >= moment
        case "to":
            return lambda mail: _is_among(value, (*mail.recipients, summary_of(mail).to))
        case "from":
            return lambda mail: _is_among(value, (mail.sender, summary_of(mail).sender))
        case "subject":
            return lambda mail: value in summary_of(mail).subject.lower()
        case "has":
            return has_attachments
    return lambda mail: _matches_anywhere(mail, value)


def _is_among(value: str, texts: Iterable[str]) -> bool:
    return any(value in text.lower() for text in texts)


def _matches_anywhere(mail: Mail, query: str) -> bool:
    """What a person means by a plain word: envelope, content, and headers as they are read (decoded)."""
    if _contains(mail.raw, query) or _is_among(query, (mail.sender, *mail.recipients)):
        return True
    head = mail.raw[:GLANCE_BYTES].partition(b"\r\n\r\n")[0]
    if b"=?" not in head and b"\r\n " not in head and b"\r\n\t" not in head:
        return False  # nothing is encoded or folded: it reads as it was sent
    summary = summary_of(mail)
    return _is_among(query, (summary.subject, summary.sender, summary.to))


def _matches_sender(mail: Mail, query: str) -> bool:
    return query in mail.sender.lower() or _in_header(mail, "From", query)


def _matches_recipient(mail: Mail, query: str) -> bool:
    return any(query in recipient.lower() for recipient in mail.recipients) or _in_header(mail, "To", query)


def _matches_content(mail: Mail, query: str) -> bool:
    headers, body = split_headers(mail.raw)
    if _contains(body, query):
        return True
    values = [value for listed in headers.values() for value in listed]
    return any(query in value.lower() for value in (*values, *trace_of(mail), mail.id))


def _in_header(mail: Mail, name: str, query: str) -> bool:
    headers, _ = split_headers(mail.raw)
    return any(query in value.lower() for value in headers.get(name, ()))


def _contains(raw: bytes, query: str) -> bool:
    """`query` is in lower case. ASCII is compared as bytes: ten times as fast as decoding 60 MB."""
    if query.isascii():
        return query.encode() in raw.lower()
    return query in text_of(raw).lower()
