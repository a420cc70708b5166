"""The send log over HTTP."""

import hashlib
from datetime import timedelta

import pytest
from starlette.testclient import TestClient

from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import MailingState
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery.compose import derive_message_id
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.orders import derive_keys
from email_campaign.settings import Settings
from tests import factories

A = DeliveryState


@pytest.fixture
def campaign(session_factory: SessionFactory) -> Campaign:
    """Six copies: two accepted, two rejected for two reasons, one deferred, one skipped."""
    with session_factory.begin() as session:
        made = factories.make_campaign(session, state=MailingState.FINISHED)
        for name, state, reason in (
            ("Ada", A.ACCEPTED, None),
            ("Bob", A.REJECTED, "hard_bounce"),
            ("Cleo", A.DEFERRED, "greylisted"),
            ("Dora", A.ACCEPTED, None),
            ("Ed", A.REJECTED, "content"),
            ("Flo", A.SKIPPED, "suppressed"),
        ):
            contact = factories.make_contact(session, f"{name.lower()}@example.org", name=name)
            due = utc_now() + timedelta(hours=1) if state is A.DEFERRED else None
            factories.make_delivery(session, made.mailing, contact, state=state, reason=reason, next_attempt_at=due)
        return made


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({}, ["Ada", "Bob", "Cleo", "Dora", "Ed", "Flo"]),
        ({"state": "accepted"}, ["Ada", "Dora"]),
        ({"state": "rejected"}, ["Bob", "Ed"]),
        ({"state": "rejected", "reason": "content"}, ["Ed"]),
        ({"reason": "suppressed"}, ["Flo"]),
        ({"q": "CLEO@example.org"}, ["Cleo"]),
        ({"q": "dor"}, ["Dora"]),
        ({"q": "@example", "state": "accepted"}, ["Ada", "Dora"]),
        ({"state": "unknown"}, []),
        ({"q": "%"}, []),
    ],
)
def test_the_log_is_filtered_by_state_reason_and_person(
    api: TestClient, campaign: Campaign, filters: dict[str, str], names: list[str]
) -> None:
    answer = api.get(f"/api/v1/campaigns/{campaign.id}/deliveries", params=filters)
    assert [row["name"] for row in answer.json()["items"]] == names


def test_the_log_comes_in_pages(api: TestClient, campaign: Campaign) -> None:
    path = f"/api/v1/campaigns/{campaign.id}/deliveries"
    first = api.get(path, params={"limit": 4}).json()
    second = api.get(path, params={"limit": 4, "cursor": first["next"]}).json()
    assert second["next"] is None
    names = [row["name"] for row in first["items"] + second["items"]]
    assert names == ["Ada", "Bob", "Cleo", "Dora", "Ed", "Flo"]
    assert api.get(path, params={"state": "lost"}).status_code == 422
    assert api.get("/api/v1/campaigns/999/deliveries").status_code == 404


def test_the_reasons_add_up_to_the_counts(api: TestClient, campaign: Campaign) -> None:
    reasons = api.get(f"/api/v1/campaigns/{campaign.id}/reasons").json()
    assert {(one["state"], one["reason"], one["count"]) for one in reasons} == {
        ("rejected", "hard_bounce", 1),
        ("rejected", "content", 1),
        ("deferred", "greylisted", 1),
        ("skipped", "suppressed", 1),
    }
    shown = api.get(f"/api/v1/campaigns/{campaign.id}").json()
    assert shown["audience"] == sum(shown["counts"].values()) == 6
    assert sum(one["count"] for one in reasons) == 6 - shown["counts"]["accepted"]


def test_one_copy_is_shown_with_every_attempt(
    api: TestClient, session_factory: SessionFactory, settings: Settings
) -> None:
    with session_factory.begin() as session:
        campaign = factories.make_campaign(session, state=MailingState.FINISHED)
        contact = factories.make_contact(session, "ada@example.org", name="Ada")
        copy = factories.make_delivery(session, campaign.mailing, contact, state=A.ACCEPTED)
        factories.make_attempt(
            session, copy, verdict=A.DEFERRED, code=451, enhanced_code="4.7.1", reply="later", phase="rcpt"
        )
        last = factories.make_attempt(session, copy)
        last.message_sha256, last.variables = hashlib.sha256(b"mail").digest(), {"name": "Ada"}
    shown = api.get(f"/api/v1/deliveries/{campaign.id}-1").json()
    assert (shown["address"], shown["state"], shown["attempt_count"]) == ("ada@example.org", "accepted", 2)
    assert (shown["mailing_id"], shown["campaign_id"], shown["kind"]) == (campaign.id, campaign.id, "campaign")
    key = derive_keys(settings).message_id
    assert shown["message_id"] == derive_message_id(key, campaign.id, 1, "news@example.com")
    first, second = shown["attempts"]
    assert (first["number"], first["code"], first["enhanced_code"], first["reply"]) == (1, 451, "4.7.1", "later")
    assert (first["verdict"], first["phase"], first["relay"]) == ("deferred", "rcpt", "relay")
    assert second["message_sha256"] == hashlib.sha256(b"mail").hexdigest()
    assert second["variables"] == {"name": "Ada"}


def test_a_test_is_found_with_the_campaign_that_it_belongs_to(api: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        campaign = factories.make_campaign(session)
        mailing = factories.make_mailing(session, recipient_address="boss@example.com", campaign=campaign)
        factories.make_delivery(session, mailing)
    shown = api.get(f"/api/v1/deliveries/{mailing.id}-1").json()
    assert (shown["address"], shown["kind"], shown["campaign_id"]) == ("boss@example.com", "test", campaign.id)
    assert shown["attempts"] == []


@pytest.mark.parametrize("unknown", ["1-1", "1", "x-y", "0-1", "1-2-3", "9" * 30 + "-1", "%00"])
def test_a_copy_that_nobody_has_is_404(api: TestClient, unknown: str) -> None:
    assert api.get(f"/api/v1/deliveries/{unknown}").status_code == 404
