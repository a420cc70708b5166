"""The dashboard's numbers and what it asks of people."""

from datetime import timedelta

from sqlalchemy.orm import Session

from email_campaign.campaigns.mailings import MailingState
from email_campaign.clock import utc_now
from email_campaign.delivery import relays
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.reports.dashboard import DAYS, dashboard
from tests import factories


def test_with_nothing_to_do_nothing_needs_anybody(session: Session) -> None:
    seen = dashboard(session, utc_now())
    assert (list(seen.sending), list(seen.needs), list(seen.due)) == ([], [], [])
    assert len(seen.days) == DAYS
    assert {(day.accepted, day.not_reached) for day in seen.days} == {(0, 0)}


def test_what_is_sending_is_shown_with_its_progress(session: Session) -> None:
    for state in (MailingState.SENDING, MailingState.PAUSED, MailingState.FINISHED, MailingState.DRAFT):
        campaign = factories.make_campaign(session, name=state.value, state=state)
        factories.make_delivery(session, campaign.mailing)
    seen = dashboard(session, utc_now())
    assert [(campaign.name, going.audience) for campaign, going in seen.sending] == [("paused", 1), ("sending", 1)]
    assert [need.kind for need in seen.needs] == ["no_worker"]


def test_what_needs_somebody_is_named_with_its_campaign(session: Session) -> None:
    now = utc_now()
    failed = factories.make_campaign(session, name="Failed", state=MailingState.FAILED)
    failed.mailing.failure = "Choose a template."
    missed = factories.make_campaign(session, name="Missed", state=MailingState.SCHEDULED)
    missed.scheduled_at = now - timedelta(minutes=5)
    unknown = factories.make_campaign(session, name="Unknown", state=MailingState.FINISHED)
    rejected = factories.make_campaign(session, name="Rejected", state=MailingState.FINISHED)
    fine = factories.make_campaign(session, name="Fine", state=MailingState.FINISHED)
    for campaign, states in (
        (unknown, [DeliveryState.ACCEPTED, DeliveryState.UNKNOWN]),
        (rejected, [DeliveryState.ACCEPTED] * 9 + [DeliveryState.REJECTED]),
        (fine, [DeliveryState.ACCEPTED] * 20 + [DeliveryState.REJECTED]),
    ):
        for state in states:
            factories.make_delivery(session, campaign.mailing, state=state)
    relays.note_failure(session, 1, "connection refused", waits=(60.0, 60.0), now=now)
    session.flush()
    needs = dashboard(session, now).needs
    assert {(need.kind, need.campaign_id) for need in needs} == {
        ("relay_down", None),
        ("failed", failed.id),
        ("missed", missed.id),
        ("unknown", unknown.id),
        ("rejected", rejected.id),
    }
    assert "Choose a template." in next(need.message for need in needs if need.kind == "failed")
    assert "1 of 10" in next(need.message for need in needs if need.kind == "rejected")


def test_a_paused_relay_needs_somebody(session: Session) -> None:
    relays.pause(session, 1, "by Ada.")
    session.flush()
    assert [need.kind for need in dashboard(session, utc_now()).needs] == ["relay_paused"]


def test_what_is_due_comes_in_the_order_of_its_time(session: Session) -> None:
    now = utc_now()
    for hours in (3, 1, 2):
        campaign = factories.make_campaign(session, name=f"in {hours} h", state=MailingState.SCHEDULED)
        campaign.scheduled_at = now + timedelta(hours=hours)
    session.flush()
    assert [campaign.name for campaign in dashboard(session, now).due] == ["in 1 h", "in 2 h", "in 3 h"]


def test_copies_are_counted_on_the_day_of_their_launch(session: Session) -> None:
    now = utc_now()
    for days_ago, states in (
        (0, [DeliveryState.ACCEPTED, DeliveryState.PENDING]),
        (2, [DeliveryState.ACCEPTED, DeliveryState.REJECTED, DeliveryState.SKIPPED]),
        (40, [DeliveryState.ACCEPTED]),
    ):
        campaign = factories.make_campaign(session, state=MailingState.FINISHED)
        campaign.mailing.launched_at = now - timedelta(days=days_ago)
        for state in states:
            factories.make_delivery(session, campaign.mailing, state=state)
    session.flush()
    days = dashboard(session, now).days
    assert (days[-1].day, days[-1].accepted, days[-1].not_reached) == (now.date(), 1, 0)
    assert (days[-3].accepted, days[-3].not_reached) == (1, 2)
    assert sum(day.accepted for day in days) == 2
