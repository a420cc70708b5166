"""What a report says: sums that add up, of what happened in its period and of nothing else."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from email_campaign.audience.import_files import Upload
from email_campaign.audience.imports import start_import
from email_campaign.audience.subscriptions import Source, SubscriptionEvent, SubscriptionState
from email_campaign.audience.suppressions import Suppression, SuppressionReason
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import MailingEvent, MailingState
from email_campaign.delivery import relays
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.reports.scheduled import sending_figures
from email_campaign.reports.scheduled.collect import collect
from email_campaign.reports.scheduled.figures import Figures
from email_campaign.reports.scheduled.periods import Period, ReportKind
from email_campaign.settings import Settings
from email_campaign.tasks.tasks import Task, TaskState, create_task
from tests import factories

WEEK = Period(ReportKind.WEEKLY, date(2026, 10, 19), "Europe/Zurich")
"""Clocks go back on its Sunday: it ends at 23:00 UTC, and began at 22:00."""
WITHIN = WEEK.begins_at + timedelta(days=2)
BEFORE = WEEK.begins_at - timedelta(days=2)
NOW = WEEK.ends_at + timedelta(hours=6)
MOMENT = timedelta(microseconds=1)


def _campaign(
    session: Session, at: datetime, copies: Mapping[tuple[DeliveryState, Any], int], *, name: str = ""
) -> Campaign:
    """Launched then, with so many copies in each state and for each reason."""
    campaign = factories.make_campaign(session, name=name, state=MailingState.FINISHED)
    campaign.mailing.launched_at = campaign.mailing.finished_at = campaign.mailing.settled_at = at
    for (state, reason), count in copies.items():
        for _ in range(count):
            factories.make_delivery(session, campaign.mailing, state=state, reason=reason)
    session.flush()
    return campaign


def _adds_up(figures: Figures) -> None:
    now, launched = figures.now, figures.launched
    for group in (launched, figures.earlier):
        shown = [line.copies for line in group.lines] + [group.others]
        for state in DeliveryState:
            assert sum(copies.counts[state] for copies in shown) == group.copies.counts[state]
        assert len(group.lines) + group.other_count == group.campaign_count
    assert now.audience == launched.copies.audience == sum(launched.copies.counts.values())
    assert now.audience == now.accepted + now.not_reached + now.still_open
    assert sum(one.count for one in figures.reasons) == now.not_reached
    assert sum(one.count for one in figures.refusals.lines) == figures.refusals.seen_count <= figures.refusals.count
    assert figures.refusals.count == launched.copies.counts[DeliveryState.REJECTED]
    for name, total in (
        ("accepted", now.accepted),
        ("not_reached", now.not_reached),
        ("still_open", now.still_open),
    ):
        assert sum(getattr(step, name) for step in figures.steps) == total
    for name in ("asked", "confirmed", "left"):
        assert sum(getattr(one, name) for one in figures.audience.lists) == getattr(figures.audience, name)
    assert sum(figures.audience.left_by.values()) == figures.audience.left == now.left
    assert sum(figures.audience.suppressed_for.values()) == figures.audience.suppressed == now.suppressed


def test_the_eight_states_of_every_campaign_add_up(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending_figures, "CAMPAIGNS_NAMED", 2)
    every_state = {(state, None): number for number, state in enumerate(DeliveryState, start=1)}
    _campaign(session, WITHIN, every_state, name="All")
    _campaign(session, WITHIN, {(DeliveryState.ACCEPTED, None): 9}, name="Good")
    _campaign(session, WITHIN, {(DeliveryState.ACCEPTED, None): 1}, name="Small")
    _campaign(session, WITHIN, {}, name="Nobody")
    figures = collect(session, WEEK, NOW)
    _adds_up(figures)
    assert [line.name for line in figures.launched.lines] == ["All", "Good"]
    assert figures.launched.other_count == 2
    assert (figures.now.campaigns, figures.now.audience) == (4, 36 + 9 + 1)
    assert figures.now.still_open == 1 + 2 + 4  # pending, in flight, deferred
    assert Figures.from_json(figures.to_json()) == figures


def test_a_campaign_is_of_the_period_of_its_launch_to_the_microsecond(session: Session) -> None:
    one = {(DeliveryState.ACCEPTED, None): 1}
    _campaign(session, WEEK.begins_at - MOMENT, one, name="before")
    _campaign(session, WEEK.begins_at, one, name="first")
    _campaign(session, WEEK.ends_at - MOMENT, one, name="last")
    _campaign(session, WEEK.ends_at, one, name="after")
    figures = collect(session, WEEK, NOW)
    assert {line.name for line in figures.launched.lines} == {"first", "last"}
    assert (figures.now.campaigns, figures.before.campaigns) == (2, 1)
    assert [step.accepted for step in figures.steps] == [1, 0, 0, 0, 0, 0, 1]


def test_what_was_still_on_stands_apart_and_counts_for_the_period_before(session: Session) -> None:
    going = _campaign(session, BEFORE, {(DeliveryState.ACCEPTED, None): 5, (DeliveryState.PENDING, None): 2}, name="on")
    going.mailing.state, going.mailing.finished_at, going.mailing.settled_at = MailingState.SENDING, None, None
    over = _campaign(session, BEFORE, {(DeliveryState.ACCEPTED, None): 3}, name="finished in it")
    over.mailing.settled_at = WITHIN
    _campaign(session, BEFORE, {(DeliveryState.ACCEPTED, None): 1}, name="done before")
    session.flush()
    figures = collect(session, WEEK, NOW)
    _adds_up(figures)
    assert [line.name for line in figures.earlier.lines] == ["on", "finished in it"]
    assert figures.launched.lines == []
    assert (figures.now.audience, figures.before.audience) == (0, 11)


def test_reasons_and_domains_of_those_who_were_not_reached(session: Session) -> None:
    campaign = _campaign(
        session,
        WITHIN,
        {
            (DeliveryState.SKIPPED, "suppressed"): 3,
            (DeliveryState.UNKNOWN, "closed"): 1,
            (DeliveryState.CANCELLED, None): 2,
            (DeliveryState.DEFERRED, "greylisted"): 4,
            (DeliveryState.REJECTED, "policy"): 1,  # of nobody that is known any more
        },
    )
    for address in ("a@one.example", "b@one.example", "c@two.example"):
        contact = factories.make_contact(session, address)
        factories.make_delivery(session, campaign.mailing, contact, state=DeliveryState.REJECTED, reason="hard_bounce")
    figures = collect(session, WEEK, NOW)
    _adds_up(figures)
    assert {(one.state, one.reason): one.count for one in figures.reasons} == {
        (DeliveryState.SKIPPED, "suppressed"): 3,
        (DeliveryState.REJECTED, "hard_bounce"): 3,
        (DeliveryState.REJECTED, "policy"): 1,
        (DeliveryState.CANCELLED, None): 2,
        (DeliveryState.UNKNOWN, "closed"): 1,
    }
    assert [(one.domain, one.count, one.reason) for one in figures.refusals.lines] == [
        ("one.example", 2, "hard_bounce"),
        ("(erased)", 1, "policy"),
        ("two.example", 1, "hard_bounce"),
    ]


def test_beyond_what_is_read_the_rest_is_not_told_apart_and_the_sum_stays(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sending_figures, "REASONS_READ", 2)
    monkeypatch.setattr(sending_figures, "REFUSALS_READ", 3)
    monkeypatch.setattr(sending_figures, "DOMAINS_NAMED", 1)
    _campaign(session, WITHIN, {(DeliveryState.REJECTED, "hard_bounce"): 7, (DeliveryState.ACCEPTED, None): 1})
    figures = collect(session, WEEK, NOW)
    _adds_up(figures)
    assert [(one.reason, one.count) for one in figures.reasons] == [(None, 5), ("hard_bounce", 2)]
    assert (figures.refusals.count, figures.refusals.seen_count) == (7, 3)


def test_rows_that_are_ahead_of_the_counters_break_no_sum(session: Session) -> None:
    campaign = _campaign(session, WITHIN, {(DeliveryState.REJECTED, "hard_bounce"): 4})
    session.execute(
        text("UPDATE counters SET count = 3 WHERE mailing_id = :id"), {"id": campaign.id}
    )  # read a moment before the fourth
    figures = collect(session, WEEK, NOW)
    assert sum(one.count for one in figures.reasons) == figures.now.not_reached == 3


def test_lists_grow_and_shrink_by_what_happened_in_the_period(session: Session) -> None:
    people, news = factories.make_list(session, "People"), factories.make_list(session, "News")
    ada = factories.make_contact(session)
    factories.make_subscription(session, ada, people)
    for at, one, state, source in (
        (BEFORE, people, SubscriptionState.CONFIRMED, Source.FORM),
        (WITHIN, people, SubscriptionState.PENDING, Source.FORM),
        (WITHIN, people, SubscriptionState.CONFIRMED, Source.LINK),
        (WITHIN, people, SubscriptionState.CONFIRMED, Source.IMPORT),
        (WITHIN, people, SubscriptionState.UNSUBSCRIBED, Source.LINK),
        (WITHIN, news, SubscriptionState.UNSUBSCRIBED, Source.HAND),
        (NOW, news, SubscriptionState.UNSUBSCRIBED, Source.LINK),
    ):
        session.add(SubscriptionEvent(list_id=one.id, contact_id=ada.id, at=at, state=state, source=source))
    session.flush()
    figures = collect(session, WEEK, NOW)
    _adds_up(figures)
    assert [(one.name, one.asked, one.confirmed, one.left, one.members) for one in figures.audience.lists] == [
        ("People", 1, 2, 1, 1),
        ("News", 0, 0, 1, 0),
    ]
    assert figures.audience.left_by == {"link": 1, "hand": 1}
    assert (figures.now.confirmed, figures.before.confirmed) == (2, 1)


def test_many_lists_are_one_line_more(session: Session) -> None:
    ada = factories.make_contact(session)
    for number in range(13):
        one = factories.make_list(session)
        session.add_all(
            SubscriptionEvent(list_id=one.id, contact_id=ada.id, at=WITHIN, state=state, source="link")
            for state in [SubscriptionState.CONFIRMED] * (20 - number)
        )
    session.flush()
    figures = collect(session, WEEK, NOW)
    _adds_up(figures)
    assert len(figures.audience.lists) == 11
    assert figures.audience.lists[-1].name == "3 other lists"
    assert figures.audience.confirmed == sum(range(8, 21))


def test_suppressions_that_came_in_the_period_are_counted_by_reason(session: Session) -> None:
    for at, reason in (
        (WITHIN, SuppressionReason.HARD_BOUNCE),
        (WEEK.ends_at - MOMENT, SuppressionReason.HARD_BOUNCE),
        (WITHIN, SuppressionReason.BY_HAND),
        (WEEK.ends_at, SuppressionReason.COMPLAINT),
        (BEFORE, SuppressionReason.COMPLAINT),
    ):
        contact = factories.make_contact(session)
        suppression: Suppression = factories.make_suppression(session, contact.address, reason)
        suppression.created_at = at
    session.flush()
    figures = collect(session, WEEK, NOW)
    _adds_up(figures)
    assert figures.audience.suppressed_for == {"hard_bounce": 2, "by_hand": 1}
    assert figures.before.suppressed == 1


def test_imports_that_ended_in_the_period_with_their_refused_rows(session: Session, settings: Settings) -> None:
    for at, refused in ((WITHIN, 3), (WITHIN, 8), (BEFORE, 5)):
        upload = Upload("people.csv", iter([b"address\nbob@example.org\n"]), None, None)
        one = start_import(session, upload, settings, at)
        one.created_count, one.refused_count = 10, refused
        task = session.get_one(Task, one.task_id)
        task.state, task.finished_at = TaskState.SUCCEEDED, at
    session.flush()
    figures = collect(session, WEEK, NOW)
    assert [(one.rows, one.created, one.refused) for one in figures.imports.lines] == [(18, 10, 8), (13, 10, 3)]
    assert (figures.imports.rows, figures.imports.refused) == (31, 11)
    assert (figures.now.refused_rows, figures.before.refused_rows) == (11, 5)


def _task(session: Session, kind: str, at: datetime, state: TaskState) -> None:
    task = create_task(session, kind=kind, subject_id=None, title=f"{kind}, in MB", created_by=None, now=at)
    task.state, task.finished_at, task.error = state, at, "No space left." if state is TaskState.FAILED else None


def test_what_failed_and_whether_it_works_again(session: Session) -> None:
    for kind, at, state in (
        ("backup", WITHIN, TaskState.FAILED),
        ("backup", WITHIN + timedelta(days=1), TaskState.SUCCEEDED),
        ("recount", WITHIN, TaskState.FAILED),
        ("proof", WITHIN, TaskState.FAILED),
        ("backup", BEFORE, TaskState.FAILED),
    ):
        _task(session, kind, at, state)
    session.flush()
    machine = collect(session, WEEK, NOW).machine
    assert {(one.title, one.works_again) for one in machine.failures} == {
        ("backup", True),
        ("recount", False),
        ("proof, in MB", False),
    }
    assert machine.failure_count == 3
    assert machine.last_backup_at == WITHIN + timedelta(days=1)


def test_breakers_that_tripped_and_relays_in_trouble(session: Session) -> None:
    campaign = _campaign(session, WITHIN, {(DeliveryState.ACCEPTED, None): 1}, name="Spring")
    for actor, at in (("system", WITHIN), ("Ada", WITHIN), ("system", NOW)):
        session.add(MailingEvent(mailing_id=campaign.id, at=at, actor=actor, kind="paused", detail="refused"))
    relays.pause(session, 1, "by Ada.")
    session.flush()
    machine = collect(session, WEEK, NOW).machine
    assert [(one.name, one.at, one.why) for one in machine.halts] == [("Spring", WITHIN, "refused")]
    assert machine.relays == ["Relay: paused by Ada."]


def test_a_relay_that_was_slowed_in_the_period_says_why(session: Session) -> None:
    relay = relays.get(session, 1)
    relay.slowed_at, relay.slowed_until, relay.slowed_reason = WITHIN, WITHIN + timedelta(minutes=10), "421 too many"
    session.flush()
    (said,) = collect(session, WEEK, NOW).machine.relays
    assert "20 Oct 2026, 22:00:00 UTC" in said
    assert said.endswith("421 too many.")
    following = Period(ReportKind.WEEKLY, WEEK.next_day, WEEK.zone)
    assert collect(session, following, NOW + timedelta(days=7)).machine.relays == []


def test_an_empty_period_is_all_zero(session: Session) -> None:
    figures = collect(session, WEEK, NOW)
    _adds_up(figures)
    assert figures.now == figures.before
    assert set(figures.to_json()["now"].values()) == {0}
    assert datetime.fromisoformat(figures.to_json()["as_of"]) == NOW.astimezone(UTC)
