"""The proof holds for what the engine did, and each of its checks is broken by the tampering that it is there for."""

import itertools
import json
from collections.abc import Callable, Sequence

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery import proof
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.proof import Part, Proof, Proving, Verdict, advance, begin, prove
from email_campaign.delivery.proof_checks import FOUND_KEPT, Check, Tally
from email_campaign.delivery.retry_by_hand import Retryable, retry
from email_campaign.errors import Conflict, NotFound
from tests import factories
from tests.delivery.conftest import Engine
from tests.tools.scripted_smtp import Rule, Script


def wrong(made: Proof) -> dict[Check, list[str | None]]:
    """What does not hold, with the deliveries that are named."""
    return {tally.check: [one.delivery for one in tally.found] for tally in made.tallies if tally.wrong_count}


def of(made: Proof, check: Check) -> Tally:
    return next(tally for tally in made.tallies if tally.check is check)


def proved_within(session: Session, mailing_id: int) -> Proof:
    """The proof in a transaction that sees what it did itself."""
    proving = begin(session, mailing_id, utc_now())
    while advance(session, proving):
        pass
    return proving.proof


def tamper(factory: SessionFactory, mailing_id: int, statement: str) -> None:
    with factory.begin() as session:
        for one in statement.split(";"):
            session.execute(text(one), {"m": mailing_id})


@pytest.fixture
def sent(engine_room: Engine, script: Script) -> int:
    """A finished campaign to six: one rejected, one taken at the second try, the rest at the first."""
    script.rules.append(Rule("rcpt", to=lambda address: address.endswith("@example5.org"), reply=b"550 5.1.1 unknown"))
    script.rules.append(
        Rule("rcpt", to=lambda address: address.endswith("@example4.org"), reply=b"451 4.7.1 later", first=1)
    )
    mailing_id = engine_room.launch(6, domains=6)
    engine_room.run(mailing_id)
    return mailing_id


def test_what_the_engine_did_holds(session_factory: SessionFactory, sent: int) -> None:
    steps: list[int] = []
    made = prove(session_factory, sent, utc_now(), lambda proving: steps.append(proving.done_count))
    assert (made.verdict, wrong(made)) == (Verdict.HOLDS, {})
    assert {state: count for state, count in made.counts.items() if count} == {"accepted": 5, "rejected": 1}
    assert {tally.check: tally.checked_count for tally in made.tallies} == {
        Check.AUDIENCE: 6,
        Check.COUNTERS: 8,
        Check.MEMBERS: 6,
        Check.UNIQUE: 12,
        Check.POSITIONS: 6,
        Check.ACCEPTED: 5,
        Check.ATTEMPTS: 7,
        Check.STATES: 6,
        Check.ONCE: 6,
        Check.ENDED: 6,
    }
    assert steps[-1] == 24
    assert not any(tally.note for tally in made.tallies)


ACCEPTED = "(SELECT min(position) FROM deliveries WHERE mailing_id = :m AND state = 'accepted' AND attempt_count = 1)"
REJECTED = "(SELECT position FROM deliveries WHERE mailing_id = :m AND state = 'rejected')"


TAMPERED: Sequence[tuple[str, str]] = [
    (
        f"DELETE FROM deliveries WHERE mailing_id = :m AND position = {REJECTED}",
        "audience counters members attempts",
    ),
    ("UPDATE mailings SET enrolled_count = 7 WHERE id = :m", "audience"),
    ("UPDATE counters SET count = count + 1 WHERE mailing_id = :m AND state = 'accepted'", "counters"),
    (
        f"UPDATE deliveries SET state = 'accepted' WHERE mailing_id = :m AND position = {REJECTED}",
        "counters accepted",
    ),
    (f"UPDATE deliveries SET state = 'skipped' WHERE mailing_id = :m AND position = {ACCEPTED}", "counters states"),
    (f"UPDATE deliveries SET state = 'unknown' WHERE mailing_id = :m AND position = {REJECTED}", "counters states"),
    (f"DELETE FROM attempts WHERE mailing_id = :m AND position = {ACCEPTED}", "accepted attempts"),
    (f"UPDATE attempts SET code = 450 WHERE mailing_id = :m AND position = {ACCEPTED}", "accepted"),
    (f"UPDATE attempts SET phase = 'rcpt' WHERE mailing_id = :m AND position = {ACCEPTED}", "accepted"),
    (f"UPDATE attempts SET verdict = 'deferred' WHERE mailing_id = :m AND position = {REJECTED}", "states"),
    ("DELETE FROM attempts WHERE mailing_id = :m AND number = 1 AND verdict = 'deferred'", "attempts"),
    ("UPDATE attempts SET number = 3 WHERE mailing_id = :m AND number = 2", "attempts"),
    ("UPDATE deliveries SET attempt_count = 9 WHERE mailing_id = :m AND attempt_count = 2", "attempts"),
    (
        "UPDATE attempts SET verdict = 'accepted', phase = 'body' WHERE mailing_id = :m AND verdict = 'deferred'",
        "once",
    ),
    ("UPDATE stretches SET first_position = 2 WHERE mailing_id = :m", "positions"),
    ("UPDATE stretches SET last_position = 5 WHERE mailing_id = :m", "positions"),
    (
        (
            "WITH moved AS (UPDATE deliveries SET position = 99 WHERE mailing_id = :m AND position = 6) "
            "UPDATE attempts SET position = 99 WHERE mailing_id = :m AND position = 6"
        ),
        "positions",
    ),
    ("UPDATE stretches SET frontier = last_position WHERE mailing_id = :m", "ended"),
    ("UPDATE mailings SET enrolled_at = NULL WHERE id = :m", "ended"),
    (f"UPDATE deliveries SET next_attempt_at = now() WHERE mailing_id = :m AND position = {REJECTED}", "ended"),
    ("INSERT INTO slices (mailing_id, row_count, lane) VALUES (:m, 1, 0)", "ended"),
    ("UPDATE deliveries SET address_hash = 'x' WHERE mailing_id = :m AND position = 3", "members"),
]
"""What is done to the rows, and the checks that must not hold then."""


def test_what_was_tampered_with_is_found(session: Session, sent: int) -> None:
    for statement, broken in TAMPERED:
        session.execute(text(statement), {"m": sent})
        made = proved_within(session, sent)
        assert (made.verdict, sorted(wrong(made))) == (Verdict.DOES_NOT_HOLD, sorted(broken.split())), statement
        session.rollback()
    assert proved_within(session, sent).verdict is Verdict.HOLDS


def test_what_does_not_hold_is_named_by_delivery_and_in_words(session_factory: SessionFactory, sent: int) -> None:
    tamper(session_factory, sent, "DELETE FROM attempts WHERE mailing_id = :m AND position = 2")
    made = prove(session_factory, sent, utc_now())
    (found,) = of(made, Check.ATTEMPTS).found
    assert found.delivery == f"{sent}-2"
    assert found.words.startswith("Attempts that were counted: ")
    assert found.words.endswith("; that stand in the log: 0.")


def test_the_first_of_many_are_named_and_all_are_counted(session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        mailing = factories.make_mailing(session)
        for _ in range(FOUND_KEPT + 5):
            factories.make_delivery(session, mailing, state=DeliveryState.ACCEPTED)
    made = prove(session_factory, mailing.id, utc_now())
    tally = of(made, Check.ACCEPTED)
    assert tally.wrong_count == FOUND_KEPT + 5
    assert [one.delivery for one in tally.found] == [f"{mailing.id}-{n + 1}" for n in range(FOUND_KEPT)]


def test_two_copies_for_one_are_found_without_the_index_that_forbids_them(
    session: Session, sent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for (index, name), page in itertools.product([("contact", "contact_id"), ("address", "address_hash")], [1, 2, 3]):
        monkeypatch.setattr(proof, "PAGE", page)
        session.execute(text(f"DROP INDEX uq_deliveries_{index}"))  # taken back with the transaction
        statement = f"""UPDATE deliveries d SET {name} = x.{name} FROM deliveries x
            WHERE x.mailing_id = :m AND x.position = 2 AND d.mailing_id = :m AND d.position IN (4, 5)"""
        session.execute(text(statement), {"m": sent})
        assert wrong(proved_within(session, sent))[Check.UNIQUE] == [f"{sent}-4", f"{sent}-5"]
        session.rollback()


def test_a_mailing_that_is_being_sent_is_checked_as_far_as_it_is(engine_room: Engine) -> None:
    mailing_id = engine_room.launch(3)
    made = prove(engine_room.factory, mailing_id, utc_now())
    assert made.verdict is Verdict.HOLDS
    assert "still being enrolled" in of(made, Check.MEMBERS).note
    engine_room.enrol(mailing_id)
    slices = engine_room.dispatch()
    engine_room.send(slices[:2])
    made = prove(engine_room.factory, mailing_id, utc_now())
    assert (made.verdict, made.counts["pending"], made.counts["accepted"]) == (Verdict.HOLDS, 1, 2)
    assert of(made, Check.ENDED).checked_count == 0
    assert "checked when it has come to its end" in of(made, Check.ENDED).note


def test_a_copy_that_is_pending_in_a_finished_mailing_is_found(session_factory: SessionFactory, sent: int) -> None:
    tamper(session_factory, sent, "UPDATE deliveries SET state = 'pending' WHERE mailing_id = :m AND position = 3")
    assert wrong(prove(session_factory, sent, utc_now()))[Check.ENDED] == [f"{sent}-3"]


def test_a_mailing_that_is_opened_again_meanwhile_is_no_failure(session_factory: SessionFactory, sent: int) -> None:
    def open_again(proving: Proving) -> None:
        if proving.part is Part.ROWS:
            with session_factory.begin() as session:
                retry(session, sent, Retryable.REJECTED, actor="Ada", now=utc_now())

    made = prove(session_factory, sent, utc_now(), open_again)
    assert made.verdict is Verdict.HOLDS
    assert of(made, Check.ENDED).note == "It went on while it was being checked: check it again."


def test_an_unknown_copy_that_was_sent_again_is_told_and_is_no_failure(
    make_engine: Callable[..., Engine], script: Script
) -> None:
    engine = make_engine(retry_delays_seconds=(0.01,))
    script.rules.append(Rule("dot", drop=True, first=1))
    mailing_id = engine.launch(1, unknown_policy="resend")
    engine.enrol(mailing_id)
    while not engine.is_settled(mailing_id):
        engine.send(engine.dispatch())
        engine.sweep()
    # The relay's answer to the first mail comes late: it had been taken.
    tamper(
        engine.factory,
        mailing_id,
        "INSERT INTO attempts (mailing_id, position, number, worker_id, relay_id, started_at, finished_at, code, "
        "spared, late, verdict, phase, reply) SELECT mailing_id, position, 3, worker_id, relay_id, started_at, "
        "finished_at, 250, false, true, 'accepted', 'body', 'Ok' FROM attempts WHERE mailing_id = :m AND number = 1;"
        "UPDATE deliveries SET attempt_count = 3 WHERE mailing_id = :m",
    )
    made = prove(engine.factory, mailing_id, utc_now())
    assert made.verdict is Verdict.HOLDS
    assert (
        of(made, Check.ONCE).note == "Unknown copies that were sent again, and of which the relay took both mails: 1."
    )


def test_a_check_that_takes_too_long_is_no_proof(
    session_factory: SessionFactory, sent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with session_factory() as blocker, monkeypatch.context() as patched:
        blocker.execute(text("LOCK TABLE counters"))
        patched.setattr(proof, "_TIMEOUT", text("SET LOCAL statement_timeout = '100ms'"))
        made = prove(session_factory, sent, utc_now())
    assert made.verdict is Verdict.NOT_CHECKED
    assert {tally.check for tally in made.tallies if tally.failed} == {Check.AUDIENCE, Check.COUNTERS, Check.POSITIONS}


def test_a_campaign_that_was_not_launched_has_nothing_to_prove(session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        campaign = factories.make_campaign(session)
    with pytest.raises(Conflict, match="never launched"):
        prove(session_factory, campaign.id, utc_now())
    with pytest.raises(NotFound):
        prove(session_factory, campaign.id + 1, utc_now())


def test_a_proof_is_kept_as_json(session_factory: SessionFactory, sent: int) -> None:
    tamper(session_factory, sent, "UPDATE mailings SET enrolled_count = 7 WHERE id = :m")
    made = prove(session_factory, sent, utc_now())
    assert Proof.from_json(json.loads(json.dumps(made.to_json()))) == made
