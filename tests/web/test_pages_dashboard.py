"""The dashboard: is everything all right?"""

from datetime import timedelta

from starlette.testclient import TestClient

from email_campaign.campaigns.mailings import MailingState
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery.deliveries import count_moves
from email_campaign.delivery.relays import Relay, RelayState
from tests.factories import make_campaign, make_contact, make_template, make_worker

HERE = "/admin"


def test_a_new_install_shows_the_three_steps_and_which_is_next(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    page = signed_in.get(HERE).text
    assert "Three steps to the first campaign" in page
    assert 'class="button primary" href="/admin/imports/new"' in page
    assert "The last 30 days" not in page
    with session_factory.begin() as session:
        make_contact(session)
    assert 'class="button primary" href="/admin/templates/new"' in signed_in.get(HERE).text
    with session_factory.begin() as session:
        make_template(session)
    assert 'class="button primary" href="/admin/campaigns/new"' in signed_in.get(HERE).text


def test_a_quiet_service_says_that_nothing_needs_anybody(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    with session_factory.begin() as session:
        make_campaign(session)
    page = signed_in.get(HERE).text
    assert "Nothing needs you." in page
    assert "Nothing is going out at the moment." in page
    assert "Three steps" not in page


def test_what_is_going_out_stands_there_with_its_numbers(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    with session_factory.begin() as session:
        make_worker(session)
        campaign = make_campaign(session, name="Spring <news>", state=MailingState.SENDING)
        campaign.mailing.rate_per_second = 42.5
        count_moves(session, campaign.id, {"accepted": 1200, "sending": 10, "pending": 300, "rejected": 20})
    page = signed_in.get(HERE).text
    assert "Spring &lt;news&gt;" in page
    assert "1,200 of 1,530 accepted, 310 still to go, 20 not reached." in page
    assert f'href="/admin/campaigns/{campaign.id}/log?state=rejected"' in page
    assert f'data-live="/admin/campaigns/{campaign.id}/live" data-live-seen="sending"' in page


def test_what_needs_somebody_leads_to_where_it_is_looked_after(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    with session_factory.begin() as session:
        failed = make_campaign(session, name="Recall", state=MailingState.FAILED)
        late = make_campaign(session, name="Easter", state=MailingState.SCHEDULED)
        late.scheduled_at = utc_now() - timedelta(hours=1)
        done = make_campaign(session, name="Survey", state=MailingState.FINISHED)
        count_moves(session, done.id, {"accepted": 90, "unknown": 3, "rejected": 10})
        relay = session.get_one(Relay, 1)
        relay.state, relay.state_reason = RelayState.PAUSED, "it refuses our credentials"
    page = signed_in.get(HERE).text
    assert "Nothing needs you." not in page
    for href in (
        "/admin/relay",
        f"/admin/campaigns/{failed.id}",
        f"/admin/campaigns/{late.id}",
        f"/admin/campaigns/{done.id}/unknown",
        f"/admin/campaigns/{done.id}/log?state=rejected",
    ):
        assert f'<a href="{href}">' in page
    assert "it refuses our credentials" in page


def test_what_is_due_and_the_last_days_are_there(signed_in: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        due = make_campaign(session, name="Opening hours", state=MailingState.SCHEDULED)
        due.scheduled_at = utc_now() + timedelta(hours=20)
        done = make_campaign(session, name="Survey", state=MailingState.FINISHED)
        count_moves(session, done.id, {"accepted": 990, "rejected": 10})
    page = signed_in.get(HERE).text
    assert f'href="/admin/campaigns/{due.id}"' in page
    assert "990 accepted, 10 not reached" in page


def test_a_stranger_is_led_to_the_sign_in(client: TestClient) -> None:
    answer = client.get(HERE)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in?next=%2Fadmin")
