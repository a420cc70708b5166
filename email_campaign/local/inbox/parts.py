"""The MIME tree of a mail: every part with its type, size and name, to be looked at and saved."""

import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message

from email_campaign.local.inbox.mail import Mail
from email_campaign.local.inbox.reading import content_of, filename_of, message_of

MAX_PARTS = 500
MAX_DEPTH = 50


@dataclass(frozen=True, slots=True)
class Part:
    """A node of the tree. `section` counts as IMAP does (1.2); `content` is None for a multipart."""

    section: str
    depth: int
    media_type: str
    name: str
    notes: tuple[str, ...]
    content: bytes | None

    @property
    def file_name(self) -> str:
        """Under which it is saved: its own name, or one made of its place and type."""
        return self.name or f"part-{self.section}{mimetypes.guess_extension(self.media_type) or '.bin'}"


def parts_of(mail: Mail) -> list[Part]:
    """The tree in reading order, at most MAX_PARTS of it; empty where the mail cannot be taken apart."""
    try:
        return list(_walk(message_of(mail), "", 0, [MAX_PARTS]))
    except Exception:  # as in `read`: hostile mail raises many kinds
        return []


def _walk(part: Message, section: str, depth: int, budget: list[int]) -> Iterator[Part]:
    if not budget[0]:
        return
    budget[0] -= 1
    inner = part.get_payload() if part.get_content_maintype() == "multipart" and depth < MAX_DEPTH else None
    children = [child for child in inner if isinstance(child, Message)] if isinstance(inner, list) else None
    own_section = section or ("1" if children is None else "")
    content = content_of(part) if children is None else None
    yield Part(own_section, depth, part.get_content_type(), filename_of(part), _notes(part), content)
    for number, child in enumerate(children or (), 1):
        yield from _walk(child, f"{section}.{number}" if section else str(number), depth + 1, budget)


def _notes(part: Message) -> tuple[str, ...]:
    encoding = str(part.get("content-transfer-encoding", "")).strip()[:40]
    content_id = str(part.get("content-id", "")).strip()[:200]
    notes = (part.get_content_charset(), encoding, part.get_content_disposition(), content_id)
    return tuple(note for note in notes if note)
