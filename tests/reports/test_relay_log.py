"""What a relay's log says of a campaign: who is missing, who stands there twice, who should not stand there."""

from collections.abc import Sequence

import pytest
from sqlalchemy import text

from email_campaign.campaigns.mailings import MailingState
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery.compose import derive_message_id
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.orders import derive_keys
from email_campaign.delivery.proof import Verdict
from email_campaign.reports import relay_log
from email_campaign.reports.relay_log import Compared, compare
from email_campaign.settings import Settings
from tests import factories

ACCEPTED, REJECTED, UNKNOWN = DeliveryState.ACCEPTED, DeliveryState.REJECTED, DeliveryState.UNKNOWN
STATES = ((ACCEPTED, "body"), (ACCEPTED, "body"), (REJECTED, "rcpt"), (REJECTED, "body"), (UNKNOWN, "sweep"))


@pytest.fixture
def mailing_id(session_factory: SessionFactory) -> int:
    """Five copies: two accepted, one refused before its body, one refused after it, one unknown."""
    with session_factory.begin() as session:
        mailing = factories.make_mailing(session, state=MailingState.FINISHED)
        for state, phase in STATES:
            factories.make_attempt(
                session, factories.make_delivery(session, mailing, state=state), verdict=state, phase=phase
            )
        return mailing.id


class Log:
    """A relay's log that is written line by line."""

    def __init__(self, factory: SessionFactory, settings: Settings, mailing_id: int) -> None:
        self._factory, self._settings, self._mailing_id = factory, settings, mailing_id
        self.lines: list[bytes] = [b"", b"\xff\xfe", b"Nov 22 10:00:00 mx postfix/smtpd[7]: connect from unknown"]

    def message_id(self, position: int) -> str:
        return derive_message_id(derive_keys(self._settings).message_id, self._mailing_id, position, "news@example.com")

    def took(self, position: int, queue_id: str, program: str = "postfix/cleanup") -> None:
        line = f"Nov 22 10:00:01 mx {program}[812]: {queue_id}: message-id={self.message_id(position)}\n"
        self.lines.append(line.encode())

    def compared(self) -> Compared:
        return compare(self._factory, self._mailing_id, self._settings, self.lines)


@pytest.fixture
def log(session_factory: SessionFactory, settings: Settings, mailing_id: int) -> Log:
    """The log that fits: both accepted mails were taken, and the one that was refused after its body was seen."""
    log = Log(session_factory, settings, mailing_id)
    log.took(1, "4Qx1aB0zZz")
    log.took(2, "4Qx1aC0zZz")
    log.took(4, "4Qx1aD0zZz")
    return log


def named(compared: Compared) -> Sequence[str]:
    return [(one.delivery or "").partition("-")[2] for one in compared.found]


def test_a_log_that_names_every_accepted_copy_holds(log: Log) -> None:
    seen = log.compared()
    assert (seen.verdict, seen.named_count, seen.accepted_count, seen.found) == (Verdict.HOLDS, 3, 2, ())


def test_the_same_line_twice_is_one_mail(log: Log) -> None:
    log.lines *= 2
    assert log.compared().verdict is Verdict.HOLDS


def test_a_mail_that_passes_a_filter_is_taken_once_by_each_program(log: Log) -> None:
    log.took(1, "4Qx1bB0zZz", program="postfix/filtered/cleanup")
    log.lines.append(f"mx amavis[9]: Passed CLEAN, Message-ID: {log.message_id(1)}, queued_as: 4Qx1bB0zZz".encode())
    assert log.compared().verdict is Verdict.HOLDS


def test_an_accepted_copy_that_is_not_named_is_missing(log: Log) -> None:
    log.lines = [line for line in log.lines if b"4Qx1aC0zZz" not in line]
    seen = log.compared()
    assert (seen.verdict, seen.missing_count, named(seen)) == (Verdict.DOES_NOT_HOLD, 1, ["2"])


def test_a_copy_that_was_taken_twice_is_doubled(log: Log) -> None:
    log.took(2, "4Qx1zC0zZz")
    seen = log.compared()
    assert (seen.verdict, seen.doubled_count, named(seen)) == (Verdict.DOES_NOT_HOLD, 1, ["2"])
    assert seen.found[0].words == "Bodies that were handed over: 1; mails that were taken: 2."


def test_a_copy_that_was_sent_again_after_it_was_unknown_may_stand_there_twice(
    log: Log, session_factory: SessionFactory
) -> None:
    log.took(2, "4Qx1zC0zZz")
    with session_factory.begin() as session:
        session.execute(
            text(
                "INSERT INTO attempts (mailing_id, position, number, worker_id, relay_id, started_at, finished_at, "
                "spared, late, verdict, phase, reply) "
                "SELECT mailing_id, position, 2, 1, 1, started_at, finished_at, false, false, 'unknown', 'sweep', '' "
                "FROM attempts WHERE position = 2"
            )
        )
    assert log.compared().verdict is Verdict.HOLDS
    with session_factory.begin() as session:
        session.execute(text("UPDATE attempts SET late = true WHERE position = 2 AND number = 1"))
    assert log.compared().doubled_count == 1  # the late attempt and the sweep tell of one body


def test_a_copy_whose_body_never_went_out_must_not_stand_there(log: Log) -> None:
    log.took(3, "4Qx1aE0zZz")
    seen = log.compared()
    assert (seen.verdict, seen.strange_count, named(seen)) == (Verdict.DOES_NOT_HOLD, 1, ["3"])


def test_an_unknown_copy_that_stands_there_is_an_answer(log: Log) -> None:
    log.took(5, "4Qx1aF0zZz")
    seen = log.compared()
    assert (seen.verdict, seen.unknown_count, named(seen)) == (Verdict.HOLDS, 1, ["5"])


def test_lines_of_exim_are_understood(log: Log, session_factory: SessionFactory) -> None:
    log.lines = []
    for position, queue_id in ((1, "1tExim-000001-AA"), (2, "1tExim-000002-AA"), (2, "1tExim-000003-AA")):
        line = f"2026-11-22 10:00:00 {queue_id} <= news@example.com H=x P=esmtp S=9 id={log.message_id(position)[1:-1]}"
        log.lines.append(line.encode())
    seen = log.compared()
    assert (seen.missing_count, seen.doubled_count, named(seen)) == (0, 1, ["2"])


def test_the_log_of_another_relay_proves_nothing(log: Log) -> None:
    log.lines = [b"mx postfix/cleanup[1]: 4Qx1aB0zZz: message-id=<%s@example.com>" % (b"0" * 32)]
    assert log.compared().verdict is Verdict.NOT_CHECKED


def test_copies_whose_attempts_were_put_away_can_still_be_missing(
    log: Log, session_factory: SessionFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_log, "PAGE", 2)
    with session_factory.begin() as session:
        session.execute(text("UPDATE mailings SET attempts_put_away_at = :now"), {"now": utc_now()})
        session.execute(text("DELETE FROM attempts"))
    log.took(2, "4Qx1zC0zZz")
    log.took(3, "4Qx1aE0zZz")
    assert log.compared().verdict is Verdict.HOLDS
    log.lines = [line for line in log.lines if b"4Qx1aB0zZz" not in line]
    assert named(log.compared()) == ["1"]
