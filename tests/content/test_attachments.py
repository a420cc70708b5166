"""Attachments: kept once, frozen with the words, read piece by piece."""

import email
from email.policy import default

import pytest
from sqlalchemy import func, inspect, select
from sqlalchemy.orm import Session

from email_campaign.content import attachments
from email_campaign.content.attachments import (
    MOST_BYTES,
    READ_BYTES,
    Attachment,
    File,
    attached_parts,
    attachments_of,
    hold,
    keep,
    outlined_parts,
)
from email_campaign.content.letters import freeze_letter
from email_campaign.content.versions import freeze
from email_campaign.errors import Invalid

PDF = File("prices.pdf", "application/pdf", b"%PDF-1.7\0\xff" * 100)


def test_the_same_file_is_kept_once_and_another_name_is_another_file(session: Session) -> None:
    first = keep(session, PDF)
    assert "data" in inspect(first).unloaded  # what was just brought is not fetched back
    assert keep(session, PDF).id == first.id
    assert keep(session, PDF._replace(name="other.pdf")).id != first.id
    assert keep(session, PDF._replace(media_type="text/plain")).id != first.id
    assert session.scalar(select(func.count()).select_from(Attachment)) == 3
    assert (first.size, first.data) == (len(PDF.data), PDF.data)


def test_words_with_attachments_are_another_version_and_without_the_one_of_before(session: Session) -> None:
    bare = freeze(session, "Hi", "", "Hello")
    assert bare.sha256.hex() == "b70839835b492ee4c606544e83a354ce3f5da88a5be4aba4ac1fde5ed6f5303f"  # of release 1
    one, other = keep(session, PDF), keep(session, PDF._replace(name="other.pdf"))
    with_both = freeze(session, "Hi", "", "Hello", [one, other])
    assert freeze(session, "Hi", "", "Hello", [one, other]).id == with_both.id
    assert len({bare.id, with_both.id, freeze(session, "Hi", "", "Hello", [other, one]).id}) == 3
    assert freeze(session, "Hi", "", "Hello").id == bare.id
    assert with_both.attachment_ids == [one.id, other.id]


def test_a_letter_carries_a_file(session: Session) -> None:
    one = keep(session, PDF)
    version = freeze_letter(session, "password_changed", [one])
    assert version.attachment_ids == [one.id]
    assert version.id != freeze_letter(session, "password_changed").id


@pytest.mark.parametrize("size", [1, 57, READ_BYTES - 1, READ_BYTES, READ_BYTES + 1, 2 * READ_BYTES + 100])
def test_a_file_is_read_in_pieces_and_is_the_same_in_the_mail(session: Session, size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    one = keep(session, File("a.bin", "application/zip", data[:size]))
    (part,) = attached_parts(session, [one.id])
    assert len(part) == 1 + -(-size // READ_BYTES)
    parsed = email.message_from_bytes(b"".join(part), policy=default)
    assert parsed.get_payload(decode=True) == data[:size]
    assert max(map(len, b"".join(part).split(b"\r\n"))) <= 78


def test_people_who_look_at_a_mail_get_a_sentence_for_a_file(session: Session) -> None:
    one = keep(session, PDF)
    (part,) = outlined_parts(session, [one.id])
    assert part[0] == attached_parts(session, [one.id])[0][0]
    assert part[1:] == (b"(1000 bytes as base64: not shown here)\r\n",)


def test_files_come_in_the_order_in_which_they_are_named(session: Session) -> None:
    ids = [keep(session, PDF._replace(name=name)).id for name in ("a.pdf", "b.pdf", "c.pdf")]
    assert [one.name for one in attachments_of(session, [ids[2], ids[0]])] == ["c.pdf", "a.pdf"]
    assert [one.id for one in hold(session, [ids[1], ids[0], ids[1]])] == [ids[1], ids[0]]


def test_what_no_mail_can_carry_is_refused(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    one = keep(session, PDF)
    with pytest.raises(Invalid, match="attach it again"):
        hold(session, [one.id, one.id + 1])
    again = keep(session, PDF._replace(name="PRICES.pdf"))
    with pytest.raises(Invalid, match=r"two files “prices\.pdf”"):
        hold(session, [one.id, again.id])
    many = [keep(session, PDF._replace(name=f"{number}.pdf")).id for number in range(21)]
    with pytest.raises(Invalid, match="21 files are too many"):
        hold(session, many)
    one.size = MOST_BYTES + 1
    session.flush()
    with pytest.raises(Invalid, match=r"“prices\.pdf” has 18\.1 MB, and a mail carries 18\.0 MB at most"):
        hold(session, [one.id])
    assert attachments.total_problem([("a.pdf", 5_000_000), ("b.pdf", 2_000_001)], 7_000_000).startswith(
        "The files have 7.1 MB, and a mail carries 7.0 MB at most"
    )
