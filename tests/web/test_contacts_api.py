"""Contacts over HTTP."""

import pytest
from starlette.testclient import TestClient

from email_campaign.campaigns.mailings import MailingState
from email_campaign.db import SessionFactory
from email_campaign.delivery.attempts import Attempt
from email_campaign.delivery.deliveries import DeliveryState
from tests.factories import make_attempt, make_campaign, make_contact, make_delivery

ADA = {"address": "Ada@Example.test", "name": "Ada", "attributes": {"city": "London"}}


def test_a_contact_is_created_then_changed_then_shown(api: TestClient) -> None:
    created = api.post("/api/v1/contacts", json=ADA)
    assert created.status_code == 201, created.text
    again = api.post("/api/v1/contacts", json={"address": "ada@example.test", "attributes": {"plan": "free"}})
    assert (again.status_code, again.json()["id"]) == (200, created.json()["id"])
    patched = api.patch(f"/api/v1/contacts/{created.json()['id']}", json={"attributes": {"city": None}})
    shown = api.get(f"/api/v1/contacts/{created.json()['id']}").json()
    assert shown == patched.json()
    assert (shown["address"], shown["name"], shown["attributes"]) == ("ada@example.test", "Ada", {"plan": "free"})
    assert (shown["subscriptions"], shown["suppression"]) == ([], None)


def test_a_contact_tells_whether_it_is_mailed(api: TestClient) -> None:
    contact = api.post("/api/v1/contacts", json=ADA).json()["id"]
    mailing_list = api.post("/api/v1/lists", json={"name": "News"}).json()["id"]
    api.put(f"/api/v1/lists/{mailing_list}/members/{contact}", json={"state": "pending"})
    api.post("/api/v1/suppressions", json={"address": "ada@example.test", "detail": "by letter"})
    shown = api.get(f"/api/v1/contacts/{contact}").json()
    assert [(one["list_id"], one["state"]) for one in shown["subscriptions"]] == [(mailing_list, "pending")]
    assert (shown["suppression"]["reason"], shown["suppression"]["detail"]) == ("by_hand", "by letter")


def test_contacts_are_searched_and_paged(api: TestClient) -> None:
    for number in range(5):
        api.post("/api/v1/contacts", json={"address": f"a{number}@example.test", "name": f"Person {number}"})
    first = api.get("/api/v1/contacts", params={"q": "PERSON", "limit": 3}).json()
    rest = api.get("/api/v1/contacts", params={"q": "PERSON", "limit": 3, "cursor": first["next"]}).json()
    assert [one["name"][-1] for one in first["items"] + rest["items"]] == ["4", "3", "2", "1", "0"]
    assert rest["next"] is None
    assert api.get("/api/v1/contacts", params={"q": "nobody"}).json()["items"] == []


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "address"),
        ({"address": "nobody"}, "address"),
        ({"address": "a@example.test", "name": "x" * 201}, "name"),
        ({"address": "a@example.test", "name": "a\0"}, "name"),
        ({"address": "a@example.test", "attributes": {"Campaign Name": 1}}, "attributes.Campaign Name"),
        ({"address": "a@example.test", "attributes": {"x": {"deep": 1}}}, "attributes.x"),
        ({"address": "a@example.test", "attributes": {"x": "\0"}}, "attributes.x"),
        ({"address": "a@example.test", "attributes": []}, "attributes"),
        ({"address": "a@example.test", "adress": "x"}, "adress"),
    ],
)
def test_a_wrong_field_is_named(api: TestClient, body: dict[str, object], field: str) -> None:
    answer = api.post("/api/v1/contacts", json=body)
    assert answer.status_code == 422, answer.text
    assert [one["field"] for one in answer.json()["errors"]] == [field]


def test_an_erased_contact_is_gone(api: TestClient) -> None:
    contact = api.post("/api/v1/contacts", json=ADA).json()["id"]
    assert api.delete(f"/api/v1/contacts/{contact}").status_code == 204
    assert api.get(f"/api/v1/contacts/{contact}").status_code == 404
    assert api.delete(f"/api/v1/contacts/{contact}").status_code == 404
    assert api.patch(f"/api/v1/contacts/{contact}", json={}).status_code == 404


def test_the_send_log_forgets_an_erased_person_and_nobody_else(
    api: TestClient, session_factory: SessionFactory
) -> None:
    with session_factory.begin() as session:
        mailing = make_campaign(session, state=MailingState.FINISHED).mailing
        attempts = []
        for contact in (make_contact(session, "ada@example.org"), make_contact(session, "bob@example.org")):
            copy = make_delivery(session, mailing, contact, state=DeliveryState.REJECTED)
            attempts.append(
                make_attempt(session, copy, code=550, reply=f"<{contact.address}>: no such user (x@y.example)")
            )
            attempts[-1].variables = {"name": contact.name, "city": "London"}
        gone = copy.contact_id
    assert api.delete(f"/api/v1/contacts/{gone}").status_code == 204
    with session_factory() as session:
        kept = [session.get_one(Attempt, (one.mailing_id, one.position, one.number)) for one in attempts]
    assert [(one.variables is None, one.reply) for one in kept] == [
        (False, "<ada@example.org>: no such user (x@y.example)"),
        (True, "<…@example.org>: no such user (…@y.example)"),
    ]
    assert [one.code for one in kept] == [550, 550]
