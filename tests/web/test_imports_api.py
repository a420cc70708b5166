"""Imports over HTTP: the file, the nudge, the counts and the refused rows."""

import csv
import io

import pytest
from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.audience import imports
from email_campaign.audience.importing import IMPORT_HANDLER
from email_campaign.db import SessionFactory
from email_campaign.settings import Settings
from email_campaign.tasks.running import run

CSV = b"address,name\nada@example.test,Ada\nnobody,Bob\n=1+1,Eve\n"


@pytest.fixture
def list_id(api: TestClient) -> int:
    made: int = api.post("/api/v1/lists", json={"name": "News"}).json()["id"]
    return made


def test_an_import_is_taken_nudged_and_accounted_for(
    api: TestClient,
    list_id: int,
    nudges: list[tuple[object, ...]],
    session_factory: SessionFactory,
    settings: Settings,
) -> None:
    taken = api.post("/api/v1/imports", files={"file": ("../people.csv", CSV)}, data={"list_id": str(list_id)})
    assert taken.status_code == 202, taken.text
    started = taken.json()
    assert nudges == [(queue.CHECK, started["id"])]
    assert (started["state"], started["file_name"], started["counts"]["rows"]) == ("waiting", "people.csv", 0)
    run(session_factory, started["task_id"], {imports.TASK_KIND: IMPORT_HANDLER}, settings)
    one = f"/api/v1/imports/{started['id']}"
    ended = api.get(one).json()
    assert (ended["state"], ended["counts"]["created"], ended["counts"]["refused"]) == ("succeeded", 1, 2)
    assert api.get("/api/v1/imports").json()["items"] == [ended]
    task = api.get(f"/api/v1/tasks/{started['task_id']}").json()
    assert (task["title"], task["done_count"], task["total_count"]) == ("Import of people.csv into News", 4, 4)
    assert task["result"]["complete"] is True
    page = api.get(f"{one}/refusals", params={"limit": 1}).json()
    assert [(row["line"], row["row"]) for row in page["items"]] == [(3, "nobody,Bob")]
    rest = api.get(f"{one}/refusals", params={"cursor": page["next"]}).json()
    assert [row["line"] for row in rest["items"]] == [4]
    download = api.get(f"{one}/refusals.csv")
    assert download.headers["Content-Disposition"] == f'attachment; filename="import-{started["id"]}-refusals.csv"'
    rows = list(csv.reader(io.StringIO(download.text)))
    assert [(row[0], row[2]) for row in rows] == [("line", "row"), ("3", "nobody,Bob"), ("4", "'=1+1,Eve")]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"\x89PNG\r\n\x1a\n\0\0", "PNG image"),
        (b"PK\x03\x04\x14\0", "spreadsheet"),
        (b"", "empty"),
        (b"name,city\nAnn,Rome\n", "No column is called address or email"),
    ],
)
def test_a_file_that_is_none_is_refused_at_once(
    api: TestClient, nudges: list[tuple[object, ...]], content: bytes, told: str
) -> None:
    answer = api.post("/api/v1/imports", files={"file": ("people.csv", content)})
    assert answer.status_code == 422
    assert told in answer.json()["detail"]
    assert [one["field"] for one in answer.json()["errors"]] == ["file"]
    assert nudges == []
    assert api.get("/api/v1/imports").json()["items"] == []


def test_a_missing_file_and_a_wrong_list_are_named(api: TestClient) -> None:
    bodies = ({"list_id": "1"}, "file"), ({"list_id": "x"}, "list_id"), ({"list_id": "9" * 5_000}, "list_id")
    for body, field in bodies:
        files = None if field == "file" else {"file": ("people.csv", CSV)}
        answer = api.post("/api/v1/imports", data=body, files=files)
        assert answer.status_code == 422
        assert [one["field"] for one in answer.json()["errors"]] == [field]
    assert api.post("/api/v1/imports", data={"list_id": "404"}, files={"file": ("p.csv", CSV)}).status_code == 404
    assert api.post("/api/v1/imports", content=b"x", headers={"Content-Type": "text/csv"}).status_code == 422
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    assert api.post("/api/v1/imports", content=b"--y\r\n", headers=broken).status_code == 400


def test_a_draft_is_mapped_and_started(
    api: TestClient, nudges: list[tuple[object, ...]], session_factory: SessionFactory, settings: Settings
) -> None:
    content = b"who;where\nada@example.test;Bonn\n"
    draft = api.post("/api/v1/imports", files={"file": ("p.csv", content)}, data={"start": "false"}).json()
    assert (draft["state"], draft["task_id"], draft["counts"]["rows"]) == ("draft", None, 0)
    assert nudges == []
    one = f"/api/v1/imports/{draft['id']}"
    assert api.get(f"{one}/mapping").json() == {
        "delimiter": ";",
        "encoding": "utf-8",
        "has_header": True,
        "columns": ["address", "where"],
        "names": ["who", "where"],
        "rows": [["ada@example.test", "Bonn"]],
    }
    anew = api.patch(f"{one}/mapping", json={"delimiter": ","}).json()
    assert anew["columns"] == ["who_where"]
    assert api.post(f"{one}/start").json()["errors"][0]["field"] == "columns"
    odd = api.patch(f"{one}/mapping", json={"columns": ["address", "a\0b"]})
    assert (odd.status_code, odd.json()["errors"][0]["field"]) == (422, "column_2")
    api.patch(f"{one}/mapping", json={"delimiter": ";", "columns": ["address", "town"]})
    started = api.post(f"{one}/start")
    assert (started.status_code, started.json()["state"]) == (202, "waiting")
    assert nudges == [(queue.CHECK, draft["id"])]
    for again in (api.post(f"{one}/start"), api.patch(f"{one}/mapping", json={}), api.delete(one)):
        assert again.status_code == 409
    run(session_factory, started.json()["task_id"], {imports.TASK_KIND: IMPORT_HANDLER}, settings)
    assert api.get(one).json()["counts"]["created"] == 1
    assert api.get("/api/v1/contacts").json()["items"][0]["attributes"] == {"town": "Bonn"}


def test_a_mapping_that_comes_with_the_file_is_used_at_once(
    api: TestClient, nudges: list[tuple[object, ...]], session_factory: SessionFactory, settings: Settings
) -> None:
    files = {"file": ("p.csv", b"ada@example.test,J\xe1nos\n")}
    mapping = '{"encoding": "windows-1250", "has_header": false, "columns": ["address", "name"]}'
    taken = api.post("/api/v1/imports", files=files, data={"mapping": mapping}).json()
    assert nudges == [(queue.CHECK, taken["id"])]
    run(session_factory, taken["task_id"], {imports.TASK_KIND: IMPORT_HANDLER}, settings)
    assert api.get("/api/v1/contacts").json()["items"][0]["name"] == "János"
    for wrong, field in (
        ({"mapping": "{"}, "mapping"),
        ({"mapping": '{"columns": "x"}'}, "mapping"),
        ({"mapping": '{"delimiter": "x"}'}, "delimiter"),
        ({"mapping": '{"columns": ["name", "address", "x"]}'}, "column_3"),
        ({"start": "perhaps"}, "start"),
    ):
        answer = api.post("/api/v1/imports", files=files, data=wrong)
        assert answer.status_code == 422, wrong
        assert [one["field"] for one in answer.json()["errors"]] == [field]
    assert len(api.get("/api/v1/imports").json()["items"]) == 1


def test_a_draft_is_discarded_and_what_was_not_stopped_is_not_resumed(api: TestClient) -> None:
    files = {"file": ("p.csv", CSV)}
    draft = api.post("/api/v1/imports", files=files, data={"start": "false"}).json()
    assert api.post(f"/api/v1/imports/{draft['id']}/resume").status_code == 409
    assert api.delete(f"/api/v1/imports/{draft['id']}").status_code == 204
    assert api.get(f"/api/v1/imports/{draft['id']}/mapping").status_code == 404
    started = api.post("/api/v1/imports", files=files).json()
    assert api.post(f"/api/v1/imports/{started['id']}/resume").status_code == 409
    assert api.get(f"/api/v1/imports/{started['id']}/mapping").status_code == 409


def test_a_cancelled_import_is_resumed(
    api: TestClient, nudges: list[tuple[object, ...]], session_factory: SessionFactory, settings: Settings
) -> None:
    started = api.post("/api/v1/imports", files={"file": ("p.csv", CSV)}).json()
    api.post(f"/api/v1/tasks/{started['task_id']}/cancel")
    run(session_factory, started["task_id"], {imports.TASK_KIND: IMPORT_HANDLER}, settings)
    one = f"/api/v1/imports/{started['id']}"
    cancelled = api.get(one).json()
    assert cancelled["state"] == "cancelled"
    assert cancelled["resumable_until"] is not None
    resumed = api.post(f"{one}/resume").json()
    assert resumed["task_id"] != started["task_id"]
    assert nudges[-1] == (queue.HOP, resumed["task_id"])
    run(session_factory, resumed["task_id"], {imports.TASK_KIND: IMPORT_HANDLER}, settings)
    assert api.get(one).json()["counts"]["rows"] == 3


def test_a_strangers_file_is_not_even_read(client: TestClient) -> None:
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    assert client.post("/api/v1/imports", content=b"--y\r\n", headers=broken).status_code == 401


def test_an_import_that_is_not_there_is_404(api: TestClient) -> None:
    for path in ("", "/refusals", "/refusals.csv"):
        assert api.get(f"/api/v1/imports/404{path}").status_code == 404
