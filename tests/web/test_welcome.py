"""The welcome mail of a list, over the API and on its pages."""

import re

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.audience import imports
from email_campaign.audience.importing import IMPORT_HANDLER
from email_campaign.audience.lists import MailingList
from email_campaign.audience.welcomes import Welcome
from email_campaign.campaigns.mailings import MailingEvent, MailingKind, MailingState
from email_campaign.db import SessionFactory
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.settings import Settings
from email_campaign.tasks.running import run
from tests import factories

Nudges = list[tuple[object, ...]]


@pytest.fixture
def template_id(session_factory: SessionFactory) -> int:
    with session_factory.begin() as session:
        return factories.make_template(session, name="Hello there").id


@pytest.fixture
def club(api: TestClient, template_id: int) -> int:
    made = api.post("/api/v1/lists", json={"name": "Club", "welcome_template_id": template_id})
    assert made.status_code == 201, made.text
    list_id: int = made.json()["id"]
    return list_id


def _contact(api: TestClient, number: int = 0) -> int:
    made: int = api.post("/api/v1/contacts", json={"address": f"a{number}@example.test"}).json()["id"]
    return made


def test_the_api_chooses_changes_and_takes_away_the_welcome_mail(api: TestClient, club: int, template_id: int) -> None:
    path = f"/api/v1/lists/{club}"
    assert api.get(path).json()["welcome_template_id"] == template_id
    assert api.patch(path, json={"name": "Society"}).json()["welcome_template_id"] == template_id
    assert api.patch(path, json={"welcome_template_id": None}).json()["welcome_template_id"] is None
    for wrong in (99, -1, 2**70):
        assert api.patch(path, json={"welcome_template_id": wrong}).status_code == 422
        assert api.post("/api/v1/lists", json={"name": "New", "welcome_template_id": wrong}).status_code == 422
    assert [one["name"] for one in api.get("/api/v1/lists").json()["items"]] == ["Society"]


def test_every_door_that_confirms_somebody_tells_the_queue_after_its_commit(
    api: TestClient, signed_in: TestClient, club: int, nudges: Nudges
) -> None:
    told = (queue.WELCOME, club)
    contact_id = _contact(api)
    assert api.put(f"/api/v1/lists/{club}/members/{contact_id}", json={"state": "pending"}).status_code == 200
    assert nudges == []
    assert api.put(f"/api/v1/lists/{club}/members/{contact_id}", json={}).status_code == 200
    assert nudges == [told]
    fields = {"address": "by-list@example.test", "state": "confirmed"}
    assert signed_in.post(f"/admin/lists/{club}/add", data=fields).status_code == 303
    fields = {"list_id": str(club), "state": "confirmed"}
    assert signed_in.post(f"/admin/contacts/{_contact(api, 2)}/lists", data=fields).status_code == 303
    fields = {"address": "new@example.test", "lists": str(club), "state": "confirmed"}
    assert signed_in.post("/admin/contacts/new", data=fields).status_code == 303
    assert nudges == [told] * 4


def test_a_list_without_a_welcome_mail_tells_the_queue_nothing(api: TestClient, nudges: Nudges) -> None:
    plain = api.post("/api/v1/lists", json={"name": "Plain"}).json()["id"]
    api.put(f"/api/v1/lists/{plain}/members/{_contact(api)}", json={})
    assert nudges == []


def test_the_form_of_a_list_chooses_its_welcome_mail(
    signed_in: TestClient, api: TestClient, club: int, template_id: int
) -> None:
    page = signed_in.get(f"/admin/lists/{club}/edit").text
    assert f'<option value="{template_id}" selected>Hello there</option>' in page
    for chosen, kept in (("", None), (str(template_id), template_id)):
        fields = {"name": "Club", "description": "", "welcome_template_id": chosen}
        assert signed_in.post(f"/admin/lists/{club}/edit", data=fields).status_code == 303
        assert api.get(f"/api/v1/lists/{club}").json()["welcome_template_id"] == kept
    refused = signed_in.post(f"/admin/lists/{club}/edit", data={"name": "Club", "welcome_template_id": "999"})
    assert refused.status_code == 422
    assert 'id="f-welcome_template_id-error"' in refused.text


def test_a_template_that_welcomes_is_not_archived(
    signed_in: TestClient, api: TestClient, template_id: int, club: int
) -> None:
    answer = api.delete(f"/api/v1/templates/{template_id}")
    assert (answer.status_code, "the list “Club”" in answer.json()["detail"]) == (409, True)
    assert signed_in.post(f"/admin/templates/{template_id}/archive").status_code == 409
    api.delete(f"/api/v1/lists/{club}")
    assert api.delete(f"/api/v1/templates/{template_id}").status_code == 204


def test_the_page_of_a_list_says_how_its_welcome_mail_goes_and_lets_it_go_on(
    signed_in: TestClient, club: int, session_factory: SessionFactory, nudges: Nudges
) -> None:
    with session_factory.begin() as session:
        one = session.get_one(MailingList, club)
        mailing = factories.make_mailing(session, kind=MailingKind.TRANSACTIONAL, state=MailingState.PAUSED)
        mailing.list_ids, mailing.list_name, one.welcome_mailing_id = [club], "Club", mailing.id
        session.add(MailingEvent(mailing_id=mailing.id, actor="system", kind="paused", detail="The key is gone."))
        contact = factories.make_contact(session)
        factories.make_subscription(session, contact, one)
        factories.make_delivery(session, mailing, contact, state=DeliveryState.ACCEPTED)
        for state in (DeliveryState.PENDING, DeliveryState.REJECTED):
            factories.make_delivery(session, mailing, factories.make_contact(session), state=state)
        delivery_id = f"{mailing.id}-1"
    page = signed_in.get(f"/admin/lists/{club}").text
    assert "Hello there" in page
    assert "1 sent, 1 on the way, 1 not reached" in page
    assert "The key is gone." in page
    assert "The welcome mail of “Club” is paused" in signed_in.get("/admin").text
    assert "Welcome mail of “Club”" in signed_in.get(f"/admin/contacts/{contact.id}").text
    delivery = signed_in.get(f"/admin/deliveries/{delivery_id}").text
    assert "everybody gets it once" in delivery
    assert signed_in.post(f"/admin/lists/{club}/welcome/resume").status_code == 303
    assert nudges == [(queue.DISPATCH,)]
    assert "The key is gone." not in signed_in.get(f"/admin/lists/{club}").text
    assert signed_in.post(f"/admin/lists/{club}/welcome/resume").status_code == 409


def test_the_api_says_how_the_welcome_mail_goes_and_lets_a_paused_one_go_on(
    api: TestClient, club: int, template_id: int, session_factory: SessionFactory, nudges: Nudges
) -> None:
    path = f"/api/v1/lists/{club}/welcome"
    quiet = {"template_id": template_id, "why_paused": None, "sent_count": 0, "waiting_count": 0, "missed_count": 0}
    assert api.get(path).json() == quiet
    assert api.post(f"{path}/resume").status_code == 404
    with session_factory.begin() as session:
        mailing = factories.make_mailing(session, kind=MailingKind.TRANSACTIONAL, state=MailingState.PAUSED)
        mailing.list_ids = [club]
        session.get_one(MailingList, club).welcome_mailing_id = mailing.id
        session.add(MailingEvent(mailing_id=mailing.id, actor="system", kind="paused", detail="The key is gone."))
        factories.make_delivery(session, mailing, factories.make_contact(session))
    assert api.get(path).json() == quiet | {"why_paused": "The key is gone.", "waiting_count": 1}
    key = {"Idempotency-Key": "go-on"}
    assert api.post(f"{path}/resume", headers=key).json() == quiet | {"waiting_count": 1}
    assert api.post(f"{path}/resume", headers=key).status_code == 200
    assert nudges == [(queue.DISPATCH,)]
    assert api.post(f"{path}/resume").status_code == 409


def test_an_import_sends_the_welcome_mail_only_where_that_is_asked_for(
    api: TestClient, signed_in: TestClient, club: int, session_factory: SessionFactory, settings: Settings
) -> None:
    file = {"file": ("people.csv", b"address\nnew@example.test\n")}
    plain = api.post("/api/v1/imports", files=file, data={"list_id": str(club)}).json()
    asked = api.post("/api/v1/imports", files=file, data={"list_id": str(club), "sends_welcome": "true"}).json()
    assert (plain["sends_welcome"], asked["sends_welcome"]) == (False, True)
    other = api.post("/api/v1/lists", json={"name": "Plain"}).json()["id"]
    for wrong in ({"sends_welcome": "true"}, {"sends_welcome": "true", "list_id": str(other)}, {"sends_welcome": "1"}):
        answer = api.post("/api/v1/imports", files=file, data=wrong)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "sends_welcome")
    fields = {"delimiter": "comma", "encoding": "utf-8", "has_header": "on", "column_1": "address", "then": "start"}
    for list_id, box in ((other, False), (club, True)):
        here = signed_in.post("/admin/imports", data={"list_id": str(list_id)}, files=file).headers["Location"]
        assert ("Send “Hello there” to those whom this import confirms" in signed_in.get(here).text) is box
    read = fields | {"sends_welcome": "on", "then": "read"}
    assert signed_in.post(f"{here}/mapping", data=read).status_code == 303
    assert re.search(r'name="sends_welcome"[^>]* checked', signed_in.get(here).text), (
        "it is kept while the file is read"
    )
    assert signed_in.post(f"{here}/mapping", data=fields | {"sends_welcome": "on"}).status_code == 303
    task_id = api.get(f"/api/v1/imports/{here.rpartition('/')[2]}").json()["task_id"]
    while run(session_factory, task_id, {imports.TASK_KIND: IMPORT_HANDLER}, settings):
        pass
    with session_factory() as session:
        assert len(session.scalars(select(Welcome)).all()) == 1
