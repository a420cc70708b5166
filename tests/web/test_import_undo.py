"""Undoing an import over the API and on the pages: it is asked first, begun once, and told after."""

import pytest
from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.audience import import_undo, imports
from email_campaign.audience.import_undo import undo_handler
from email_campaign.audience.importing import IMPORT_HANDLER
from email_campaign.db import SessionFactory
from email_campaign.delivery.mailed import mailed
from email_campaign.settings import Settings
from email_campaign.tasks import running
from email_campaign.tasks.tasks import Task, TaskState
from tests.factories import make_contact, make_list

HANDLERS = {imports.TASK_KIND: IMPORT_HANDLER, import_undo.TASK_KIND: undo_handler(mailed)}
CSV = b"address,city\nada@example.test,London\nnew@example.test,Paris\nother@example.test,Rome\n"

Nudges = list[tuple[object, ...]]


@pytest.fixture
def import_id(api: TestClient, session_factory: SessionFactory, settings: Settings, nudges: Nudges) -> int:
    """An import that is over: two contacts were made, and one was changed, one of the new by hand since."""
    with session_factory.begin() as session:
        list_id = make_list(session, "News").id
        make_contact(session, "ada@example.test")
    taken = api.post("/api/v1/imports", files={"file": ("people.csv", CSV)}, data={"list_id": str(list_id)}).json()
    _carry(session_factory, settings, taken["task_id"])
    other = api.get("/api/v1/contacts", params={"q": "other@"}).json()["items"][0]
    assert api.patch(f"/api/v1/contacts/{other['id']}", json={"name": "Other"}).status_code == 200
    nudges.clear()
    made: int = taken["id"]
    return made


def _carry(session_factory: SessionFactory, settings: Settings, task_id: int) -> None:
    while running.run(session_factory, task_id, HANDLERS, settings):
        pass


def test_the_api_says_what_an_undo_would_do_does_it_once_and_tells_what_it_left(
    api: TestClient, import_id: int, session_factory: SessionFactory, settings: Settings, nudges: Nudges
) -> None:
    one = f"/api/v1/imports/{import_id}"
    shown = api.get(one).json()
    assert shown["undoable_until"] is not None
    assert shown["undo_task_id"] is None
    foreseen = api.get(f"{one}/undo").json()
    told = {"contacts_gone": 1, "contacts_restored": 1, "subscriptions_taken_back": 2, "left_changed": 1}
    assert {name: value for name, value in foreseen.items() if value} == told | {"is_exact": True}
    key = {"Idempotency-Key": "undo-it"}
    begun = api.post(f"{one}/undo", headers=key)
    assert begun.status_code == 202, begun.text
    assert api.post(f"{one}/undo", headers=key).json() == begun.json()
    task_id = begun.json()["undo_task_id"]
    assert nudges == [(queue.HOP, task_id)]
    for again in (api.post(f"{one}/undo"), api.get(f"{one}/undo"), api.post(f"{one}/resume")):
        assert again.status_code == 409
    assert api.get(one).json()["undoable_until"] is None
    _carry(session_factory, settings, task_id)
    task = api.get(f"/api/v1/tasks/{task_id}").json()
    assert (task["kind"], task["subject_id"], task["state"]) == ("undo_import", import_id, "succeeded")
    assert task["result"] == told | {"complete": False}
    assert api.get("/api/v1/imports").json()["items"][0]["undo_task_id"] == task_id
    names = {contact["address"]: contact["attributes"] for contact in api.get("/api/v1/contacts").json()["items"]}
    assert names == {"ada@example.test": {}, "other@example.test": {"city": "Rome"}}
    assert api.get("/api/v1/imports/404/undo").status_code == 404


def test_the_page_asks_with_the_numbers_and_tells_what_was_done(
    signed_in: TestClient, import_id: int, session_factory: SessionFactory, settings: Settings, nudges: Nudges
) -> None:
    here = f"/admin/imports/{import_id}"
    assert f'href="{here}/undo"' in signed_in.get(here).text
    asked = " ".join(signed_in.get(f"{here}/undo").text.split())
    told = "1 contact goes, 1 contact gets the earlier values back, 2 people leave the list and stay contacts."
    assert told in asked
    assert "1 person stays: they were changed since the import." in asked
    assert "Undo: 1 contact goes" in asked
    assert signed_in.post(f"{here}/undo").headers["Location"] == here
    assert [told[0] for told in nudges] == [queue.HOP]
    going = signed_in.get(here).text
    assert f'data-live="/admin/tasks/{nudges[-1][1]}/live"' in going
    assert "being undone" in signed_in.get("/admin/imports").text
    assert f'href="{here}/undo"' not in going
    assert signed_in.get(f"{here}/undo").headers["Location"] == here
    task_id = nudges[-1][1]
    assert isinstance(task_id, int)
    _carry(session_factory, settings, task_id)
    done = " ".join(signed_in.get(here).text.split())
    assert "1 contact went, 1 contact got the earlier values back" in done
    assert "1 person stays: they were changed since the import." in done
    assert "Undo the rest…" in done
    assert "undone in part" in signed_in.get("/admin/imports").text
    assert "Nothing of this import can be undone now" in signed_in.get(f"{here}/undo").text
    shown = signed_in.get(f"/admin/tasks/{task_id}").text
    for words in ("Contacts gone again", "Left: changed since", "Undo of an import"):
        assert words in shown


def test_an_undo_that_failed_is_tried_again(
    api: TestClient, import_id: int, session_factory: SessionFactory, settings: Settings
) -> None:
    first = api.post(f"/api/v1/imports/{import_id}/undo").json()["undo_task_id"]
    with session_factory.begin() as session:
        failed = session.get_one(Task, first)
        failed.state, failed.finished_at = TaskState.FAILED, failed.created_at
    again = api.post(f"/api/v1/tasks/{first}/retry")
    assert again.status_code == 202, again.text
    _carry(session_factory, settings, again.json()["id"])
    assert api.get(f"/api/v1/tasks/{again.json()['id']}").json()["result"]["contacts_gone"] == 1


def test_the_history_of_a_contact_says_that_an_import_was_undone(
    signed_in: TestClient, api: TestClient, import_id: int, session_factory: SessionFactory, settings: Settings
) -> None:
    _carry(session_factory, settings, api.post(f"/api/v1/imports/{import_id}/undo").json()["undo_task_id"])
    ada = api.get("/api/v1/contacts", params={"q": "ada@"}).json()["items"][0]["id"]
    page = signed_in.get(f"/admin/contacts/{ada}").text
    assert "Taken off “News”, by an import." in page
    assert f"import {import_id}, undone" in page
