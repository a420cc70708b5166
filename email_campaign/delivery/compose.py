"""The message of one delivery: pure, so that composing again from what the attempt kept gives the same bytes."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

from email_campaign.address import domain_of
from email_campaign.content.dkim import Signer
from email_campaign.content.language import Content
from email_campaign.content.mime import Enclosed, Head, address_header, assemble, list_id_header, text_header
from email_campaign.signing import keyed_hash, sign, unsign

HASHED_AT_ONCE = 2047


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of their own purpose, derived from the secret key."""

    message_id: bytes
    unsubscribe: bytes
    address: bytes


@dataclass(frozen=True, slots=True)
class Letterhead:
    """What all copies of a mailing have in common.

    `own` are variables that system mail has beside those of its recipient, such as a secret link: they follow from rows
    and are kept with no attempt. `attached` are the parts of its attachments, from content.parts.attached_part.
    """

    mailing_id: int
    kind: str
    campaign_name: str
    from_name: str
    from_address: str
    reply_to: str
    list_ids: tuple[int, ...]
    list_name: str
    public_url: str
    content: Content
    signer: Signer | None = None
    own: Mapping[str, str] = field(default_factory=dict)
    attached: tuple[tuple[bytes, ...], ...] = ()


class Message(NamedTuple):
    """The bytes that go out, with what they were made from: those of this copy, and the pieces that follow, which are
    the same objects in all copies of the mailing (its attachments)."""

    own: bytes
    message_id: str
    variables: dict[str, Any]
    behind: tuple[bytes, ...] = ()

    @property
    def data(self) -> bytes:
        """The whole mail in one."""
        return b"".join((self.own, *self.behind))

    @property
    def sha256(self) -> bytes:
        """The hash of the whole mail, which an attempt keeps."""
        digest = hashlib.sha256()
        # In pieces: for 2,048 bytes and more hashlib lets go of the interpreter lock, and getting it back takes longer
        # than the hash.
        for start in range(0, len(self.own), HASHED_AT_ONCE):
            digest.update(self.own[start : start + HASHED_AT_ONCE])
        for piece in self.behind:
            digest.update(piece)
        return digest.digest()


class Press:
    """Writes the copies of one mailing: what they have in common is prepared once, with the first of them."""

    def __init__(self, letterhead: Letterhead, keys: Keys) -> None:
        self._letterhead = letterhead
        self._keys = keys
        self._is_bulk = letterhead.kind == "campaign" or letterhead.kind == "test"
        self._has_list = self._is_bulk or letterhead.kind == "transactional"
        # The rest follows from the delivery and its mailing; the address stands with the contact.
        self._kept = sorted((letterhead.content.variables | {"name"}) - {"address"})
        self._enclosed = Enclosed(letterhead.attached, b"%d" % letterhead.mailing_id) if letterhead.attached else None

    def compose(self, position: int, recipient: Mapping[str, Any], now: datetime) -> Message:
        """The mail for the contact whose variables are `recipient` (name, address and attributes).

        Pure: the same delivery, variables and time give the same bytes. Raises content.language.RenderError when the
        template and this contact do not fit, and content.mime.BadHeader.
        """
        letterhead = self._letterhead
        url = unsubscribe_url(letterhead.public_url, self._keys.unsubscribe, letterhead.mailing_id, position)
        known = {**recipient, **letterhead.own, "campaign_name": letterhead.campaign_name, "unsubscribe_url": url}
        rendered = letterhead.content.render(known)
        message_id = derive_message_id(self._keys.message_id, letterhead.mailing_id, position, letterhead.from_address)
        to = address_header(str(recipient.get("name") or ""), str(recipient["address"]))
        values = [_date(int(now.timestamp())), message_id, to, text_header(rendered.subject)]
        if self._has_list:
            values.append(f"<{url}>")
        head, seed = self._head.fill(values), b"%d-%d" % (letterhead.mailing_id, position)
        kept = {name: recipient[name] for name in self._kept if name in recipient}
        behind: tuple[bytes, ...] = ()
        if self._enclosed is None:
            data = assemble(head, rendered.text, rendered.html, seed)
        else:
            data, behind = self._enclosed.enclose(head, assemble(b"", rendered.text, rendered.html, seed))
        if letterhead.signer is not None:
            data = letterhead.signer.sign(data, now, behind)
        return Message(data, message_id, kept, behind)

    @cached_property
    def _head(self) -> Head:
        letterhead = self._letterhead
        headers = [
            ("Date", None),
            ("Message-ID", None),
            ("From", address_header(letterhead.from_name, letterhead.from_address)),
            ("To", None),
            ("Subject", None),
        ]
        if letterhead.reply_to:
            headers.append(("Reply-To", address_header("", letterhead.reply_to)))
        if self._has_list:
            headers += [("List-Unsubscribe", None), *_list_headers(letterhead)]
        if self._is_bulk:
            return Head([*headers, ("Precedence", "bulk")])
        return Head([*headers, ("Auto-Submitted", "auto-generated")])  # RFC 3834 section 5


def derive_message_id(key: bytes, mailing_id: int, position: int, from_address: str) -> str:
    """The delivery's Message-ID (RFC 5322 3.6.4): the same on every attempt, never the same for two deliveries."""
    return f"<{keyed_hash(key, f'{mailing_id}-{position}').hex()}@{domain_of(from_address)}>"


def unsubscribe_url(public_url: str, key: bytes, mailing_id: int, position: int) -> str:
    """The link that names this delivery and nobody else can make up."""
    return f"{public_url}/u/{sign(key, _pack(mailing_id) + _pack(position))}"


def read_unsubscribe_token(key: bytes, token: str) -> tuple[int, int] | None:
    """Mailing and position of a token that we made, else None."""
    payload = unsign(key, token)
    if payload is None or len(payload) < 2:
        return None
    size = payload[0]
    return int.from_bytes(payload[1 : 1 + size]), int.from_bytes(payload[2 + size :])


@lru_cache(16)
def _date(second: int) -> str:
    """The Date header's value for a second since 1970, in UTC (RFC 5322 3.3)."""
    return format_datetime(datetime.fromtimestamp(second, UTC))


def _pack(number: int) -> bytes:
    size = max(1, (number.bit_length() + 7) // 8)
    return bytes([size]) + number.to_bytes(size)


def _list_headers(letterhead: Letterhead) -> list[tuple[str, str]]:
    domain = domain_of(letterhead.from_address)
    list_part = "-".join(str(list_id) for list_id in letterhead.list_ids[:3]) or "test"
    return [
        ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"),  # RFC 8058
        ("List-Id", list_id_header(letterhead.list_name, f"list-{list_part}.{domain}")),  # RFC 2919
        ("Feedback-ID", f"{letterhead.mailing_id}:{letterhead.kind}:email-campaign"),
    ]
