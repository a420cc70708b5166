"""The send log as a file that proves itself: whole it holds, and whatever is done to it is seen at its line."""

import hashlib
import hmac
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import text

from email_campaign.campaigns.mailings import MailingState
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.proof import Verdict, prove
from email_campaign.errors import Conflict
from email_campaign.reports import sealed_log as writing
from email_campaign.reports.chain import START
from email_campaign.reports.sealed_file import Verified, verify
from email_campaign.reports.sealed_log import Wanted, seal_key, sealed_log
from email_campaign.settings import Settings
from email_campaign.signing import derive_key
from tests import factories

ADDRESS = "ada@example.org"


@pytest.fixture
def campaign_id(session_factory: SessionFactory) -> int:
    """A finished campaign to five: one refused, with a reply that names the address."""
    with session_factory.begin() as session:
        one_list = factories.make_list(session)
        campaign = factories.make_campaign(session, name="Žluťoučký", state=MailingState.FINISHED, lists=[one_list])
        for address in (ADDRESS, "b@example.org", "c@example.org", "d@example.org", "e@example.org"):
            refused = address == ADDRESS
            state = DeliveryState.REJECTED if refused else DeliveryState.ACCEPTED
            contact = factories.make_contact(session, address, name="Zoë")
            delivery = factories.make_delivery(session, campaign.mailing, contact, state=state)
            reply = f"<{ADDRESS}>: no such user ada@example.org." if refused else "Ok: queued"
            attempt = factories.make_attempt(
                session, delivery, verdict=state, code=550 if refused else 250, reply=reply
            )
            attempt.message_sha256 = hashlib.sha256(b"the bytes").digest()
        session.execute(text("INSERT INTO stretches VALUES (:m, 1, 5, 6, 0)"), {"m": campaign.id})
        return campaign.id


@pytest.fixture
def key(settings: Settings) -> bytes:
    return seal_key(settings)


def written(factory: SessionFactory, settings: Settings, campaign_id: int, *, addresses: bool = False) -> bytes:
    now = utc_now()
    wanted = Wanted(campaign_id, addresses)
    return b"".join(sealed_log(factory, wanted, settings, now, lambda: prove(factory, campaign_id, now)))


def read(file: bytes, key: bytes | None) -> Verified:
    return verify(io.BytesIO(file), key)


def rechained(file: bytes, key: bytes) -> bytes:
    """The chain made anew, as whoever changed the file could, with a seal under this key."""
    value, lines = START, []
    for line in file.splitlines():
        record = {name: one for name, one in json.loads(line).items() if name not in {"chain", "seal"}}
        body = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
        if record["line"] == "footer":
            body = body[:-1] + b',"seal":"%s"}' % hmac.new(key, value + body, "sha256").hexdigest().encode()
        value = hashlib.sha256(value + body).digest()
        lines.append(body[:-1] + b',"chain":"%s"}\n' % value.hex().encode())
    return b"".join(lines)


def test_the_file_holds_without_the_database_it_came_from(
    session_factory: SessionFactory, settings: Settings, campaign_id: int, key: bytes
) -> None:
    file = written(session_factory, settings, campaign_id)
    lines: list[dict[str, Any]] = [json.loads(line) for line in file.splitlines()]
    assert [line["line"] for line in lines] == ["header", *["delivery"] * 5, "footer"]
    header, first, footer = lines[0], lines[1], lines[-1]
    assert (header["campaign"], header["name"], header["audience"]) == (campaign_id, "Žluťoučký", 5)
    assert (first["delivery"], first["state"], first["attempt_count"]) == (f"{campaign_id}-1", "rejected", 1)
    assert first["attempts"][0]["message_sha256"] == hashlib.sha256(b"the bytes").hexdigest()
    assert first["attempts"][0]["code"] == 550
    assert first["message_id"].endswith("@example.com>")
    assert (footer["verdict"], footer["deliveries"], footer["attempts"]) == ("holds", 5, 5)
    seen = read(file, key)
    assert (seen.verdict, seen.words) == (Verdict.HOLDS, "The file is as we wrote it.")
    assert seen.header["campaign"] == campaign_id


def test_people_stand_there_by_their_hash_unless_addresses_are_asked_for(
    session_factory: SessionFactory, settings: Settings, campaign_id: int, key: bytes
) -> None:
    file = written(session_factory, settings, campaign_id)
    assert b"ada@" not in file
    assert "<…@example.org>: no such user …@example.org.".encode() in file
    assert "Zoë".encode() not in file
    line = json.loads(file.splitlines()[1])
    assert len(line["address_hash"]) == 32
    with_addresses = written(session_factory, settings, campaign_id, addresses=True)
    assert json.loads(with_addresses.splitlines()[1])["address"] == ADDRESS
    assert read(with_addresses, key).verdict is Verdict.HOLDS


def test_one_changed_byte_is_seen_at_its_line_wherever_it_is(
    session_factory: SessionFactory, settings: Settings, campaign_id: int, key: bytes
) -> None:
    file = written(session_factory, settings, campaign_id)
    for place in range(len(file)):
        changed = file[:place] + bytes([file[place] ^ 1]) + file[place + 1 :]
        seen = read(changed, key)
        assert seen.verdict is Verdict.DOES_NOT_HOLD, place
        assert seen.wrong_line == file[:place].count(b"\n") + 1, place


def test_a_file_that_is_cut_anywhere_does_not_hold(
    session_factory: SessionFactory, settings: Settings, campaign_id: int, key: bytes
) -> None:
    file = written(session_factory, settings, campaign_id)
    assert read(b"", key).verdict is Verdict.NOT_CHECKED
    for end in range(1, len(file)):
        assert read(file[:end], key).verdict is Verdict.DOES_NOT_HOLD, end
    whole_lines = file[: file[:-1].rindex(b"\n") + 1]
    seen = read(whole_lines, key)
    assert seen.words == "The end is missing: the file breaks off after line 6."
    assert seen.wrong_line == 7


def moved(lines: list[bytes]) -> Iterator[tuple[list[bytes], int]]:
    """Lines removed, swapped, doubled and added, each with the first line that is wrong then."""
    for n in range(len(lines) - 1):
        yield lines[:n] + lines[n + 1 :], n + 1
        yield [*lines[:n], lines[n + 1], lines[n], *lines[n + 2 :]], n + 1
        yield lines[: n + 1] + lines[n:], n + 2
    yield [*lines, lines[-1]], len(lines) + 1
    yield [*lines, b"\n"], len(lines) + 1


def test_a_line_that_is_missing_moved_or_added_is_seen_where_it_is(
    session_factory: SessionFactory, settings: Settings, campaign_id: int, key: bytes
) -> None:
    lines = written(session_factory, settings, campaign_id).splitlines(keepends=True)
    for changed, wrong_line in moved(lines):
        seen = read(b"".join(changed), key)
        assert (seen.verdict, seen.wrong_line) == (Verdict.DOES_NOT_HOLD, wrong_line)


def test_a_changed_file_whose_chain_was_made_anew_lacks_our_seal(
    session_factory: SessionFactory, settings: Settings, campaign_id: int, key: bytes
) -> None:
    file = written(session_factory, settings, campaign_id)
    assert rechained(file, key) == file
    changed = file.replace(b'"reply":"Ok: queued"', b'"reply":"Ok: forged"', 1)
    seen = read(rechained(changed, b"a guess"), key)
    assert (seen.verdict, seen.wrong_line) == (Verdict.DOES_NOT_HOLD, 7)
    assert "The seal is not ours" in seen.words
    # The same, with the name of another key: nobody takes it for proved.
    stranger = changed.replace(json.loads(file.splitlines()[0])["key"].encode(), b"0" * 16)
    assert read(rechained(stranger, b"a guess"), key).verdict is Verdict.NOT_CHECKED


def test_lines_that_do_not_add_up_do_not_hold_even_if_they_are_sealed(
    session_factory: SessionFactory, settings: Settings, campaign_id: int, key: bytes
) -> None:
    lines = written(session_factory, settings, campaign_id).splitlines(keepends=True)
    for broken in (lines[:2] + lines[3:], [*lines[:-1], b'{"line":"footer","chain":""}\n'], [lines[0], lines[0]]):
        assert read(rechained(b"".join(broken), key), key).verdict is Verdict.DOES_NOT_HOLD


def test_without_the_key_the_chain_alone_is_no_proof(
    session_factory: SessionFactory, settings: Settings, campaign_id: int
) -> None:
    file = written(session_factory, settings, campaign_id)
    assert read(file, None).verdict is Verdict.NOT_CHECKED
    assert "another SECRET_KEY" in read(file, derive_key("another", "sealed-log")).words


def test_a_file_of_something_that_did_not_hold_says_so(
    session_factory: SessionFactory, settings: Settings, campaign_id: int, key: bytes
) -> None:
    with session_factory.begin() as session:
        session.execute(text("DELETE FROM attempts WHERE position = 2"))
    seen = read(written(session_factory, settings, campaign_id), key)
    assert (seen.verdict, seen.wrong_line) == (Verdict.DOES_NOT_HOLD, None)
    assert seen.words == "The file is as we wrote it."


def test_pages_and_gaps_leave_nobody_out(
    session_factory: SessionFactory,
    settings: Settings,
    campaign_id: int,
    key: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = written(session_factory, settings, campaign_id).splitlines()[1:-1]
    for page in (1, 2, 3, 4):
        monkeypatch.setattr(writing, "PAGE", page)
        assert len(written(session_factory, settings, campaign_id).splitlines()[1:-1]) == len(whole)
    with session_factory.begin() as session:
        session.execute(text("UPDATE deliveries SET position = 900 WHERE position = 4"))
        session.execute(text("UPDATE attempts SET position = 900 WHERE position = 4"))
        session.execute(
            text("UPDATE stretches SET last_position = 900, frontier = 901; UPDATE mailings SET next_position = 901")
        )
    seen = read(written(session_factory, settings, campaign_id), key)
    assert (seen.verdict, seen.footer["deliveries"]) == (Verdict.HOLDS, 5)


def test_what_went_on_while_it_was_written_is_no_proof(
    session_factory: SessionFactory, settings: Settings, campaign_id: int, key: bytes
) -> None:
    lines = []
    now = utc_now()
    for line in sealed_log(
        session_factory, Wanted(campaign_id), settings, now, lambda: prove(session_factory, campaign_id, now)
    ):
        lines.append(line)
        if len(lines) == 2:
            with session_factory.begin() as session:
                session.execute(text("UPDATE deliveries SET state = 'accepted' WHERE position = 1"))
                session.execute(text("UPDATE attempts SET verdict = 'accepted', code = 250 WHERE position = 1"))
                session.execute(text("UPDATE counters SET count = count + 1 WHERE state = 'accepted'"))
                session.execute(text("UPDATE counters SET count = count - 1 WHERE state = 'rejected'"))
    seen = read(b"".join(lines), key)
    assert seen.verdict is Verdict.NOT_CHECKED
    assert seen.words.endswith("The campaign went on while this file was written.")


def test_a_draft_has_no_send_log(session_factory: SessionFactory, settings: Settings) -> None:
    with session_factory.begin() as session:
        campaign = factories.make_campaign(session)
    with pytest.raises(Conflict, match="never launched"):
        written(session_factory, settings, campaign.id)
