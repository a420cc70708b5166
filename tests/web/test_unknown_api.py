"""Unknown copies over the API: the list, what somebody found out, and the policy."""

from datetime import timedelta

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import MailingState
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery.compose import derive_message_id
from email_campaign.delivery.deliveries import Delivery, DeliveryState, count_moves
from email_campaign.delivery.orders import derive_keys
from email_campaign.delivery.unknown_task import TASK_KIND
from email_campaign.settings import Settings
from email_campaign.tasks.tasks import Task
from tests import factories
from tests.invariants import check_counts

Nudges = list[tuple[object, ...]]


def _campaign(session: Session, unknown: int, state: MailingState = MailingState.FINISHED) -> Campaign:
    """Somebody who has it, and so many of whom nobody knows."""
    campaign = factories.make_campaign(session, name="Spring", state=state)
    factories.make_delivery(session, campaign.mailing, state=DeliveryState.ACCEPTED)
    for number in range(unknown):
        contact = factories.make_contact(session, f"p{number}.{campaign.id}@example.org", name=f"Person {number}")
        copy = factories.make_delivery(
            session, campaign.mailing, contact, state=DeliveryState.UNKNOWN, reason="worker_gone"
        )
        factories.make_attempt(
            session, copy, verdict=DeliveryState.UNKNOWN, code=None, enhanced_code=None, reply="It died.", phase="sweep"
        )
    return campaign


@pytest.fixture
def campaign(session_factory: SessionFactory) -> Campaign:
    """A finished campaign with three unknown copies, at the positions 2 to 4."""
    with session_factory.begin() as session:
        return _campaign(session, 3)


def test_unknown_copies_come_in_pages_with_what_one_searches_for(
    api: TestClient, campaign: Campaign, settings: Settings, session_factory: SessionFactory
) -> None:
    with session_factory.begin() as session:
        other = _campaign(session, 1)
    path = f"/api/v1/campaigns/{campaign.id}/unknown"
    first = api.get(path, params={"limit": 2}).json()
    second = api.get(path, params={"limit": 2, "cursor": first["next"]}).json()
    rows = first["items"] + second["items"]
    assert [row["name"] for row in rows] == ["Person 0", "Person 1", "Person 2"]
    assert {(row["phase"], row["reply"], row["campaign_name"]) for row in rows} == {("sweep", "It died.", "Spring")}
    key = derive_keys(settings).message_id
    assert rows[0]["message_id"] == derive_message_id(key, campaign.id, 2, "news@example.com")
    first = api.get("/api/v1/unknown", params={"limit": 3}).json()
    second = api.get("/api/v1/unknown", params={"limit": 3, "cursor": first["next"]}).json()
    everywhere = [row["id"] for row in first["items"] + second["items"]]
    assert everywhere == [f"{other.id}-2"] + [f"{campaign.id}-{position}" for position in (4, 3, 2)]
    log = api.get(f"/api/v1/campaigns/{campaign.id}/deliveries", params={"state": "unknown"}).json()
    assert len(log["items"]) == 3
    assert api.get("/api/v1/campaigns/999/unknown").status_code == 404


def test_some_are_resolved_and_asking_again_changes_nothing(
    api: TestClient, campaign: Campaign, session_factory: SessionFactory, nudges: Nudges
) -> None:
    body = {"resolution": "accepted", "delivery_ids": [f"{campaign.id}-2", f"{campaign.id}-4", f"{campaign.id}-1"]}
    assert api.post("/api/v1/unknown/resolve", json=body).json() == {"count": 2}
    assert api.post("/api/v1/unknown/resolve", json=body).json() == {"count": 0}
    shown = api.get(f"/api/v1/deliveries/{campaign.id}-2").json()
    assert (shown["state"], [a["phase"] for a in shown["attempts"]]) == ("accepted", ["sweep", "hand"])
    assert shown["attempts"][1]["reply"] == "Ada: the relay has it."
    resend = {"resolution": "resend", "delivery_ids": [f"{campaign.id}-3"]}
    assert api.post("/api/v1/unknown/resolve", json=resend).json() == {"count": 1}
    assert nudges == [(queue.DISPATCH,)]
    now = api.get(f"/api/v1/campaigns/{campaign.id}").json()
    assert (now["state"], now["counts"]["accepted"], now["counts"]["unknown"]) == ("sending", 3, 1)
    kinds = [event["kind"] for event in api.get(f"/api/v1/campaigns/{campaign.id}/events").json()["items"]]
    assert kinds == ["unknown_resend", "sending", "unknown_accepted"]
    with session_factory() as session:
        check_counts(session, campaign.id)


def test_a_request_that_is_sent_again_with_its_key_is_carried_out_once(api: TestClient, campaign: Campaign) -> None:
    body = {"resolution": "rejected", "delivery_ids": [f"{campaign.id}-2"]}
    for _ in range(2):
        answer = api.post("/api/v1/unknown/resolve", json=body, headers={"Idempotency-Key": "once"})
        assert answer.json() == {"count": 1}


def test_all_of_a_campaign_that_were_unknown_at_a_time_are_resolved(
    api: TestClient, campaign: Campaign, session_factory: SessionFactory
) -> None:
    with session_factory.begin() as session:
        session.get_one(Delivery, (campaign.id, 4)).changed_at = utc_now() + timedelta(minutes=1)
    path = f"/api/v1/campaigns/{campaign.id}/unknown/resolve"
    answer = api.post(path, json={"resolution": "rejected", "until": utc_now().isoformat()})
    assert (answer.status_code, answer.json()) == (202, {"count": 2, "task_id": None})
    reasons = api.get(f"/api/v1/campaigns/{campaign.id}/reasons").json()
    assert {(one["state"], one["reason"], one["count"]) for one in reasons} == {
        ("rejected", "not_delivered", 2),
        ("unknown", "worker_gone", 1),
    }


def test_many_are_resolved_by_a_task(
    api: TestClient, campaign: Campaign, session_factory: SessionFactory, nudges: Nudges
) -> None:
    with session_factory.begin() as session:  # as the counters of a large campaign say
        count_moves(session, campaign.id, {"unknown": 50_000})
    path = f"/api/v1/campaigns/{campaign.id}/unknown/resolve"
    answer = api.post(path, json={"resolution": "accepted"}).json()
    assert answer["count"] == 0
    assert nudges == [(queue.HOP, answer["task_id"])]
    with session_factory() as session:
        task = session.get_one(Task, answer["task_id"])
        assert (task.kind, task.title, task.total_count) == (
            TASK_KIND,
            "Mark unknown copies as accepted: Spring",
            50_003,
        )
    again = api.post(path, json={"resolution": "resend"})
    assert (again.status_code, again.headers["Content-Type"]) == (409, "application/problem+json")


def test_the_policy_is_changed_after_the_launch_until_it_is_cancelled(
    api: TestClient, campaign: Campaign, session_factory: SessionFactory, nudges: Nudges
) -> None:
    path = f"/api/v1/campaigns/{campaign.id}/unknown"
    changed = api.patch(path, json={"unknown_policy": "resend"}).json()
    assert (changed["unknown_policy"], changed["state"]) == ("resend", "sending")
    assert nudges == [(queue.SWEEP,)]
    assert api.post(f"/api/v1/campaigns/{campaign.id}/cancel").status_code == 200
    refused = api.patch(path, json={"unknown_policy": "hold"})
    assert (refused.status_code, refused.headers["Content-Type"]) == (409, "application/problem+json")
    resend = {"resolution": "resend", "delivery_ids": [f"{campaign.id}-2"]}
    assert api.post("/api/v1/unknown/resolve", json=resend).status_code == 409
    with session_factory.begin() as session:
        draft = factories.make_campaign(session)
    answer = api.patch(f"/api/v1/campaigns/{draft.id}/unknown", json={"unknown_policy": "resend"})
    assert (answer.status_code, answer.json()["state"]) == (200, "draft")


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/unknown/resolve", {"resolution": "perhaps", "delivery_ids": ["1-1"]}, 422),
        ("/unknown/resolve", {"resolution": "accepted", "delivery_ids": []}, 422),
        ("/unknown/resolve", {"resolution": "accepted", "delivery_ids": ["1-1"] * 501}, 422),
        ("/unknown/resolve", {"resolution": "accepted", "delivery_ids": ["nonsense"]}, 404),
        ("/unknown/resolve", {"resolution": "accepted", "delivery_ids": ["987-1"]}, 404),
        ("/campaigns/987/unknown/resolve", {"resolution": "accepted"}, 404),
        ("/campaigns/{}/unknown/resolve", {"resolution": "accepted", "until": "2030-01-31T09:00:00"}, 422),
        ("/campaigns/{}/unknown/resolve", {"resolution": "accepted", "when": "now"}, 422),
    ],
)
def test_a_wrong_request_is_a_problem(
    api: TestClient, campaign: Campaign, path: str, body: dict[str, object], status: int
) -> None:
    answer = api.post("/api/v1" + path.format(campaign.id), json=body)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/problem+json")


def test_nobody_reads_or_resolves_without_a_token(client: TestClient, campaign: Campaign) -> None:
    assert client.get("/api/v1/unknown").status_code == 401
    body = {"resolution": "accepted", "delivery_ids": [f"{campaign.id}-2"]}
    assert client.post("/api/v1/unknown/resolve", json=body).status_code == 401
