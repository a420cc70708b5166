"""Campaigns over HTTP, from the draft to the launch."""

from datetime import timedelta

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import Mailing, MailingKind, MailingState
from email_campaign.clock import utc_now
from email_campaign.content.templates import Template
from email_campaign.db import SessionFactory
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.windows import Slice
from tests import factories

Nudges = list[tuple[object, ...]]


@pytest.fixture
def ready(session_factory: SessionFactory) -> Campaign:
    """A draft with a template and one confirmed contact, which lacks nothing."""
    with session_factory.begin() as session:
        garden = factories.make_list(session, "Garden")
        contact = factories.make_contact(session, "ada@example.org", name="Ada", attributes={"plan": "gold"})
        factories.make_subscription(session, contact, garden)
        template = factories.make_template(session, subject="Hello {{ name }}, {{ plan }}")
        return factories.make_campaign(session, name="Spring", template=template, lists=[garden])


def test_a_campaign_is_written_read_changed_and_removed(api: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        garden, template = factories.make_list(session), factories.make_template(session)
    made = api.post("/api/v1/campaigns", json={"name": " Spring  news ", "from_name": "Garden"})
    assert made.status_code == 201
    assert made.json()["name"] == "Spring news"
    assert made.json()["from_address"] == "campaigns@example.com"
    assert [problem["field"] for problem in made.json()["problems"]] == ["template_id", "list_ids"]
    path = f"/api/v1/campaigns/{made.json()['id']}"
    changed = api.patch(
        path, json={"template_id": template.id, "list_ids": [garden.id], "limits": [{"count": 5, "seconds": 1}]}
    )
    assert changed.status_code == 200
    shown = api.get(path).json()
    assert shown == changed.json()
    assert (shown["from_name"], shown["template_id"], shown["limits"][0]["count"]) == ("Garden", template.id, 5)
    assert "Nobody on these lists" in shown["problems"][0]["message"]
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404


@pytest.mark.parametrize(
    ("field", "wrong"),
    [
        ("name", " "),
        ("name", "a\0b"),
        ("from_address", "nobody"),
        ("reply_to", "a@b@c.example"),
        ("template_id", 99),
        ("list_ids", [99]),
        ("limits", [{"count": 0, "seconds": 1}]),
        ("limits", [{"count": 1, "seconds": 86_401}]),
        ("limits", [{"count": 1, "seconds": 60}, {"count": 2, "seconds": 60}]),
        ("limits", [{"count": 1, "seconds": window} for window in range(1, 7)]),
        ("unknown_policy", "guess"),
        ("colour", "red"),
        ("template_id", 2**63),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_kept(api: TestClient, field: str, wrong: object) -> None:
    answer = api.post("/api/v1/campaigns", json={"name": "Spring", field: wrong})
    assert answer.status_code == 422
    assert [problem["field"] for problem in answer.json()["errors"]] == [field]
    assert api.get("/api/v1/campaigns").json()["items"] == []


def test_campaigns_are_listed_by_state_and_name_newest_first(api: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        first = factories.make_campaign(session, name="Spring")
        second = factories.make_campaign(session, name="Late spring", state=MailingState.SENDING)
        factories.make_campaign(session, name="Autumn", state=MailingState.SENDING)
        factories.make_delivery(session, second.mailing, state=DeliveryState.ACCEPTED)
    listed = api.get("/api/v1/campaigns", params={"q": "spring"}).json()["items"]
    assert [row["id"] for row in listed] == [second.id, first.id]
    assert (listed[0]["audience"], listed[0]["counts"]["accepted"]) == (1, 1)
    both = api.get("/api/v1/campaigns", params={"q": "spring", "state": ["sending", "paused"]}).json()["items"]
    assert [row["id"] for row in both] == [second.id]
    page = api.get("/api/v1/campaigns", params={"limit": 2}).json()
    rest = api.get("/api/v1/campaigns", params={"limit": 2, "cursor": page["next"]}).json()
    assert [row["id"] for row in rest["items"]] == [first.id]


def test_a_launch_takes_the_audience_of_now_and_tells_the_queue(
    api: TestClient, ready: Campaign, nudges: Nudges
) -> None:
    path = f"/api/v1/campaigns/{ready.id}"
    assert api.get(path).json()["confirmed_count"] == 1
    launched = api.post(f"{path}/launch")
    assert launched.status_code == 202
    assert launched.json()["state"] == "sending"
    assert launched.json()["launched_at"]
    assert nudges == [(queue.LAUNCH, ready.id)]
    again = api.post(f"{path}/launch")
    assert again.status_code == 409
    assert len(nudges) == 1


def test_a_launch_that_is_sent_again_with_its_key_is_answered_the_same(
    api: TestClient, ready: Campaign, nudges: Nudges
) -> None:
    path, key = f"/api/v1/campaigns/{ready.id}/launch", {"Idempotency-Key": "k"}
    first, second = api.post(path, headers=key), api.post(path, headers=key)
    assert (first.status_code, second.status_code) == (202, 202)
    assert second.json() == first.json()
    assert second.headers["Idempotent-Replayed"] == "true"
    assert nudges == [(queue.LAUNCH, ready.id)]


def test_a_launch_says_what_is_missing(api: TestClient, session_factory: SessionFactory, nudges: Nudges) -> None:
    with session_factory.begin() as session:
        campaign = factories.make_campaign(session)
    answer = api.post(f"/api/v1/campaigns/{campaign.id}/launch")
    assert answer.status_code == 422
    assert [problem["field"] for problem in answer.json()["errors"]] == ["template_id", "list_ids"]
    assert nudges == []
    assert api.post("/api/v1/campaigns/999/launch").status_code == 404


def test_a_launch_is_refused_where_the_words_do_not_fit_a_contact(
    api: TestClient, ready: Campaign, session_factory: SessionFactory, nudges: Nudges
) -> None:
    with session_factory.begin() as session:
        template = session.get_one(Template, ready.template_id)
        template.html = "<p>Hello</p>\n<p>{{ shoe_size }}</p>"
    answer = api.post(f"/api/v1/campaigns/{ready.id}/launch")
    assert answer.status_code == 422
    (problem,) = answer.json()["errors"]
    assert (problem["field"], problem["line"], problem["variable"]) == ("template_id", 2, "shoe_size")
    assert "ada@example.org" in problem["message"]
    assert "Line 2 of the HTML part" in problem["message"]
    assert api.get(f"/api/v1/campaigns/{ready.id}").json()["state"] == "draft"
    assert nudges == []


def test_a_campaign_is_scheduled_and_taken_back(api: TestClient, ready: Campaign) -> None:
    path = f"/api/v1/campaigns/{ready.id}"
    past = (utc_now() - timedelta(hours=1)).isoformat()
    refused = api.post(f"{path}/schedule", json={"scheduled_at": past})
    assert [problem["field"] for problem in refused.json()["errors"]] == ["scheduled_at"]
    assert api.post(f"{path}/schedule", json={"scheduled_at": "2099-01-01T09:00:00"}).status_code == 422
    at = (utc_now() + timedelta(hours=1)).isoformat()
    assert api.post(f"{path}/schedule", json={"scheduled_at": at}).json()["state"] == "scheduled"
    taken_back = api.post(f"{path}/unschedule").json()
    assert (taken_back["state"], taken_back["scheduled_at"]) == ("draft", None)


def test_a_sending_campaign_is_paused_resumed_and_cancelled_by_name(
    api: TestClient, session_factory: SessionFactory, nudges: Nudges
) -> None:
    with session_factory.begin() as session:
        campaign = factories.make_campaign(session, state=MailingState.SENDING)
        factories.make_delivery(session, campaign.mailing)
    path = f"/api/v1/campaigns/{campaign.id}"
    assert api.post(f"{path}/resume").status_code == 409
    paused = api.post(f"{path}/pause").json()
    assert (paused["state"], paused["why_waiting"]) == ("paused", "Paused by Ada.")
    assert nudges == []
    assert api.post(f"{path}/resume").json()["state"] == "sending"
    assert api.post(f"{path}/cancel").json()["state"] == "cancelled"
    assert nudges == [(queue.DISPATCH,), (queue.SWEEP,)]
    assert api.post(f"{path}/launch").status_code == 409
    assert api.delete(path).status_code == 409
    events = api.get(f"{path}/events").json()["items"]
    assert [(event["actor"], event["kind"]) for event in events] == [
        ("Ada", "cancelled"),
        ("Ada", "sending"),
        ("Ada", "paused"),
    ]


def test_what_was_launched_cannot_be_changed_but_copied(api: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        garden = factories.make_list(session)
        campaign = factories.make_campaign(session, name="Spring", lists=[garden], state=MailingState.FINISHED)
    path = f"/api/v1/campaigns/{campaign.id}"
    assert api.patch(path, json={"name": "Summer"}).status_code == 409
    copied = api.post(f"{path}/copy")
    assert copied.status_code == 201
    assert (copied.json()["name"], copied.json()["state"]) == ("Spring (copy)", "draft")
    assert copied.json()["list_ids"] == [garden.id]


def test_a_test_is_a_mailing_of_one_of_its_own(
    api: TestClient, ready: Campaign, session_factory: SessionFactory, nudges: Nudges
) -> None:
    path = f"/api/v1/campaigns/{ready.id}/test"
    sent = api.post(path, json={"address": "Boss@Example.com"})
    assert sent.status_code == 202
    mailing_id = sent.json()["mailing_id"]
    assert sent.json()["delivery_id"] == f"{mailing_id}-1"
    assert nudges == [(queue.LAUNCH_ONE, mailing_id)]
    with session_factory() as session:
        mailing = session.get_one(Mailing, mailing_id)
    assert (mailing.kind, mailing.campaign_id) == (MailingKind.TEST, ready.id)
    assert mailing.recipient_address == "boss@example.com"
    assert mailing.recipient_variables["plan"] == "gold"
    assert api.get(f"/api/v1/campaigns/{ready.id}").json()["state"] == "draft"


def test_a_test_that_cannot_go_is_refused_with_its_field(
    api: TestClient, ready: Campaign, session_factory: SessionFactory, nudges: Nudges
) -> None:
    path = f"/api/v1/campaigns/{ready.id}/test"
    with session_factory.begin() as session:
        stranger = factories.make_contact(session)
    for body, field in (
        ({"address": "boss"}, "address"),
        ({"address": "boss@example.com", "contact_id": 999}, "contact_id"),
        ({"address": "boss@example.com", "contact_id": stranger.id}, "subject"),
    ):
        answer = api.post(path, json=body)
        assert answer.status_code == 422
        assert [problem["field"] for problem in answer.json()["errors"]] == [field]
    assert answer.json()["errors"][0]["variable"] == "plan"
    assert nudges == []
    with session_factory() as session:
        assert session.scalar(select(Mailing.id).where(Mailing.kind == MailingKind.TEST)) is None


def test_a_limit_is_changed_while_sending_and_frees_what_waits_for_the_old_one(
    api: TestClient, session_factory: SessionFactory, nudges: Nudges
) -> None:
    with session_factory.begin() as session:
        campaign = factories.make_campaign(session, state=MailingState.SENDING)
        held = [
            Slice(
                mailing_id=mailing_id,
                first_position=1,
                last_position=1,
                row_count=1,
                lane=0,
                due_at=utc_now() + timedelta(hours=1),
                hold_reason=reason,
            )
            for mailing_id, reason in ((campaign.id, "limit"), (campaign.id, "relay"), (campaign.id + 1, "limit"))
        ]
        session.add_all(held)
    wanted = [{"count": 9, "seconds": 60}]
    answer = api.patch(f"/api/v1/campaigns/{campaign.id}/limits", json={"limits": wanted})
    assert answer.json()["limits"] == wanted
    assert nudges == [(queue.DISPATCH,)]
    with session_factory() as session:
        due = session.scalars(select(Slice.due_at).order_by(Slice.id)).all()
    assert [at is None for at in due] == [True, False, False]
    refused = api.patch(f"/api/v1/campaigns/{campaign.id}/limits", json={"limits": wanted * 2})
    assert [problem["field"] for problem in refused.json()["errors"]] == ["limits"]


def test_rejected_copies_are_tried_again_and_open_a_finished_campaign(
    api: TestClient, session_factory: SessionFactory, nudges: Nudges
) -> None:
    with session_factory.begin() as session:
        campaign = factories.make_campaign(session, state=MailingState.FINISHED)
        for state in (DeliveryState.ACCEPTED, DeliveryState.REJECTED, DeliveryState.REJECTED):
            factories.make_delivery(session, campaign.mailing, state=state)
    path = f"/api/v1/campaigns/{campaign.id}"
    answer = api.post(f"{path}/retry", json={"state": "rejected"})
    assert (answer.status_code, answer.json()) == (202, {"count": 2})
    assert api.get(path).json()["state"] == "sending"
    assert nudges == [(queue.DISPATCH,)]
    assert api.post(f"{path}/retry", json={"state": "accepted"}).status_code == 422


def test_nobody_without_a_token_sees_or_launches(client: TestClient, ready: Campaign) -> None:
    assert client.get(f"/api/v1/campaigns/{ready.id}").status_code == 401
    assert client.post(f"/api/v1/campaigns/{ready.id}/launch").status_code == 401


def test_half_a_character_in_a_name_is_refused(api: TestClient) -> None:
    answer = api.post(
        "/api/v1/campaigns", content=b'{"name": "a\\ud800"}', headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 422
    assert [problem["field"] for problem in answer.json()["errors"]] == ["name"]
