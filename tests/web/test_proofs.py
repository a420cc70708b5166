"""The proof of a campaign over HTTP: asked for, made by a task, read on its page and by API, taken away as a file."""

import io
import json

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.campaigns.mailings import MailingState
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.proof import Verdict
from email_campaign.delivery.proof_task import PROOF_HANDLER, TASK_KIND
from email_campaign.reports.sealed_file import verify
from email_campaign.reports.sealed_log import seal_key
from email_campaign.settings import Settings
from email_campaign.tasks.running import run
from tests import factories

PAGE = "/admin/campaigns/{}/proof"
API = "/api/v1/campaigns/{}/proof"


@pytest.fixture
def campaign_id(session_factory: SessionFactory) -> int:
    """A finished campaign to three."""
    with session_factory.begin() as session:
        campaign = factories.make_campaign(session, name="Spring", state=MailingState.FINISHED)
        for _ in range(3):
            contact = factories.make_contact(session)
            delivery = factories.make_delivery(session, campaign.mailing, contact, state=DeliveryState.ACCEPTED)
            factories.make_attempt(session, delivery)
        session.execute(text("INSERT INTO stretches VALUES (:m, 1, 3, 4, 0)"), {"m": campaign.id})
        return campaign.id


def work(factory: SessionFactory, settings: Settings, task_id: int) -> None:
    while run(factory, task_id, {TASK_KIND: PROOF_HANDLER}, settings):
        pass


def test_a_proof_is_asked_for_and_read_by_api(
    api: TestClient,
    session_factory: SessionFactory,
    settings: Settings,
    campaign_id: int,
    nudges: list[tuple[object, ...]],
) -> None:
    assert api.get(API.format(campaign_id)).status_code == 404
    asked = api.post(API.format(campaign_id))
    assert asked.status_code == 202
    task_id = asked.json()["task_id"]
    assert nudges == [(queue.HOP, task_id)]
    assert (asked.json()["state"], asked.json()["verdict"]) == ("waiting", None)
    assert api.post(API.format(campaign_id)).json()["task_id"] == task_id  # the same while it is under way
    work(session_factory, settings, task_id)
    seen = api.get(API.format(campaign_id)).json()
    assert (seen["state"], seen["verdict"], seen["counts"]["accepted"]) == ("succeeded", "holds", 3)
    assert [one["check"] for one in seen["checks"]][:2] == ["audience", "counters"]
    with session_factory.begin() as session:
        session.execute(text("DELETE FROM attempts WHERE position = 2"))
    again = api.post(API.format(campaign_id)).json()["task_id"]
    assert again != task_id
    work(session_factory, settings, again)
    seen = api.get(API.format(campaign_id)).json()
    assert seen["verdict"] == "does_not_hold"
    found = {one["check"]: one["found"] for one in seen["checks"] if one["wrong_count"]}
    assert {check: [one["delivery_id"] for one in all_] for check, all_ in found.items()} == {
        "accepted": [f"{campaign_id}-2"],
        "attempts": [f"{campaign_id}-2"],
    }


def test_the_page_leads_from_asking_to_the_verdict(
    signed_in: TestClient, session_factory: SessionFactory, settings: Settings, campaign_id: int
) -> None:
    page = PAGE.format(campaign_id)
    assert f'href="{page}"' in signed_in.get(f"/admin/campaigns/{campaign_id}").text
    assert "Not proved yet" in signed_in.get(page).text
    assert signed_in.post(page).headers["location"] == page
    assert "Proof of Spring" in signed_in.get(page).text
    work(session_factory, settings, 1)
    seen = signed_in.get(page).text
    assert "It holds" in seen
    assert "Every accepted copy has the attempt that was accepted." in seen
    assert "3 checked." in seen
    assert page in signed_in.get("/admin/tasks").text
    assert "Open the proof" in signed_in.get("/admin/tasks/1").text
    with session_factory.begin() as session:
        session.execute(text("UPDATE attempts SET code = 450 WHERE position = 2"))
    signed_in.post(page)
    work(session_factory, settings, 2)
    seen = signed_in.get(page).text
    assert "It does not hold" in seen
    assert f'href="/admin/deliveries/{campaign_id}-2"' in seen
    assert "no attempt says that the relay took it" in seen


def test_a_proof_of_what_was_never_launched_is_refused(
    api: TestClient, signed_in: TestClient, session_factory: SessionFactory
) -> None:
    with session_factory.begin() as session:
        campaign = factories.make_campaign(session)
    assert api.post(API.format(campaign.id)).status_code == 409
    assert api.get(f"/api/v1/campaigns/{campaign.id}/sealed-log").status_code == 409
    assert api.get(f"/api/v1/campaigns/{campaign.id + 1}/sealed-log").status_code == 404
    assert "Check now" not in signed_in.get(PAGE.format(campaign.id)).text


def test_the_send_log_is_taken_away_and_proves_itself(
    api: TestClient, signed_in: TestClient, settings: Settings, campaign_id: int
) -> None:
    answer = api.get(f"/api/v1/campaigns/{campaign_id}/sealed-log")
    assert answer.headers["Content-Type"] == "application/jsonl"
    assert verify(io.BytesIO(answer.content), seal_key(settings)).verdict is Verdict.HOLDS
    assert b'address":' not in answer.content
    page = signed_in.get(f"/admin/campaigns/{campaign_id}/log.jsonl?addresses=1")
    assert verify(io.BytesIO(page.content), seal_key(settings)).verdict is Verdict.HOLDS
    assert "@example.org" in json.loads(page.content.splitlines()[1])["address"]


def test_a_copy_whose_attempts_were_put_away_says_so(
    api: TestClient, signed_in: TestClient, session_factory: SessionFactory, campaign_id: int
) -> None:
    with session_factory.begin() as session:
        session.execute(text("DELETE FROM attempts"))
        session.execute(text("UPDATE mailings SET attempts_put_away_at = :now"), {"now": utc_now()})
        session.execute(text("INSERT INTO mailing_events (mailing_id, actor, kind) VALUES (1, 'system', 'put_away')"))
    page = signed_in.get(f"/admin/deliveries/{campaign_id}-1").text
    assert "1 attempt was put away" in page
    assert "Nothing was tried yet" not in page
    assert "on the first try" in page
    answer = api.get(f"/api/v1/deliveries/{campaign_id}-1").json()
    assert (answer["attempts"], answer["attempt_count"]) == ([], 1)
    assert answer["attempts_put_away_at"] is not None
    assert "Its attempts were put away" in signed_in.get(f"/admin/campaigns/{campaign_id}").text
