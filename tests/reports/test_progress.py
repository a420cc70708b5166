"""How a mailing is going, and in words what it waits for."""

from datetime import timedelta

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from email_campaign.campaigns import campaigns
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.limits import RateLimit
from email_campaign.campaigns.mailings import MailingState
from email_campaign.clock import clock_time, utc_now
from email_campaign.delivery import relays, workers
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.windows import Slice
from email_campaign.delivery.workers import Worker
from email_campaign.reports.progress import progress
from tests import factories


@pytest.fixture
def campaign(session: Session) -> Campaign:
    """Sending, two copies pending; a worker lives."""
    made = factories.make_campaign(session, state=MailingState.SENDING)
    factories.make_worker(session)
    for _ in range(2):
        factories.make_delivery(session, made.mailing)
    return made


def _why(session: Session, campaign: Campaign) -> str | None:
    session.flush()
    return progress(session, campaign.mailing, utc_now()).why_waiting


def _slice(session: Session, campaign: Campaign, **values: object) -> Slice:
    fields = {"mailing_id": campaign.id, "first_position": 1, "last_position": 2, "row_count": 2, "lane": 0} | values
    made = Slice(**fields)
    session.add(made)
    session.flush()
    return made


def test_the_eight_counts_add_up_to_the_audience(session: Session) -> None:
    campaign = factories.make_campaign(session, state=MailingState.SENDING)
    for number, state in enumerate(DeliveryState, 1):
        for _ in range(number):
            factories.make_delivery(session, campaign.mailing, state=state)
    now_going = progress(session, campaign.mailing, utc_now())
    assert set(now_going.counts) == set(DeliveryState)
    assert now_going.audience == sum(now_going.counts.values()) == 36 == campaign.mailing.enrolled_count


def test_rate_and_time_left_are_said_only_while_they_are_true(session: Session, campaign: Campaign) -> None:
    campaign.mailing.rate_per_second = 4.0
    _slice(session, campaign, published_at=utc_now(), worker_id=1)
    going = progress(session, campaign.mailing, utc_now())
    assert (going.rate_per_second, going.seconds_left, going.why_waiting) == (4.0, 0.5, None)
    campaign.mailing.enrolled_at = None
    assert progress(session, campaign.mailing, utc_now()).seconds_left is None
    campaign.mailing.state = MailingState.PAUSED
    assert progress(session, campaign.mailing, utc_now()).rate_per_second is None


def test_a_finished_campaign_has_an_average(session: Session) -> None:
    campaign = factories.make_campaign(session, state=MailingState.FINISHED)
    for _ in range(10):
        factories.make_delivery(session, campaign.mailing, state=DeliveryState.ACCEPTED)
    finished_at = campaign.mailing.finished_at
    assert finished_at is not None
    campaign.mailing.launched_at = finished_at - timedelta(seconds=5)
    going = progress(session, campaign.mailing, utc_now())
    assert (going.average_per_second, going.why_waiting) == (2.0, None)


def test_a_paused_campaign_says_who_paused_it(session: Session, campaign: Campaign) -> None:
    for actor in ("Ada", "Bob"):
        campaigns.pause(session, campaign.id, actor=actor)
        assert _why(session, campaign) == f"Paused by {actor}."
        campaigns.resume(session, campaign.id, actor=actor)


def test_without_a_send_worker_it_says_so(session: Session, campaign: Campaign) -> None:
    workers.sign_off(session, session.scalars(select(Worker.id)).one())
    assert _why(session, campaign) == "No send worker is running."


def test_a_paused_or_absent_relay_is_the_reason(session: Session, campaign: Campaign) -> None:
    relays.pause(session, 1, "by Ada: moving house")
    assert _why(session, campaign) == "The relay is paused: by Ada: moving house"
    relays.resume(session, 1)
    now = utc_now()
    until = relays.note_failure(session, 1, "connection refused.", waits=(60.0, 60.0), now=now)
    expected = f"The relay cannot be used: connection refused. It is tried again at {clock_time(until)}."
    assert _why(session, campaign) == expected


def test_a_limit_says_which_and_until_when(session: Session, campaign: Campaign) -> None:
    campaign.mailing.limits = (RateLimit(10, 1), RateLimit(1_000, 3_600))
    later = utc_now() + timedelta(minutes=5)
    _slice(session, campaign, due_at=later, hold_reason="limit")
    when = clock_time(later)
    assert _why(session, campaign) == (
        f"The campaign's limit of 10 a second, 1,000 an hour is reached. The next mail goes out at {when}."
    )


def test_copies_that_wait_for_a_worker_are_counted(session: Session, campaign: Campaign) -> None:
    published = _slice(session, campaign, published_at=utc_now())
    assert _why(session, campaign) == "2 copies are handed out and wait for a free send worker."
    published.worker_id = 1
    assert _why(session, campaign) is None


def test_before_anything_is_published_it_says_what_happens_now(session: Session, campaign: Campaign) -> None:
    assert "Nothing is handed out" in str(_why(session, campaign))
    campaign.mailing.enrolled_at = None
    assert _why(session, campaign) == "The audience is being enrolled: 2 so far."


def test_when_only_retries_are_left_it_says_when_the_next_is_due(session: Session) -> None:
    campaign = factories.make_campaign(session, state=MailingState.SENDING)
    factories.make_worker(session)
    due = utc_now() + timedelta(days=2)
    for wait in (timedelta(), timedelta(hours=1)):
        factories.make_delivery(
            session, campaign.mailing, state=DeliveryState.DEFERRED, reason="greylisted", next_attempt_at=due + wait
        )
    when = clock_time(due)
    assert _why(session, campaign) == f"Only copies that are tried again are left; the next is due at {when}."


@pytest.mark.parametrize("state", [MailingState.DRAFT, MailingState.FINISHED, MailingState.CANCELLED])
def test_what_is_not_on_waits_for_nothing(session: Session, state: MailingState) -> None:
    assert _why(session, factories.make_campaign(session, state=state)) is None
