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
    assert nudges == [(queue.HOP, started["task_id"])]
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
    for body, field in (({"list_id": "1"}, "file"), ({"list_id": "x"}, "list_id"), ({"list_id": "9" * 30}, "list_id")):
        files = None if field == "file" else {"file": ("people.csv", CSV)}
        answer = api.post("/api/v1/imports", data=body, files=files)
        assert answer.status_code == 422
        assert [one["field"] for one in answer.json()["errors"]] == [field]
    assert api.post("/api/v1/imports", data={"list_id": "404"}, files={"file": ("p.csv", CSV)}).status_code == 404
    assert api.post("/api/v1/imports", content=b"x", headers={"Content-Type": "text/csv"}).status_code == 422
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    assert api.post("/api/v1/imports", content=b"--y\r\n", headers=broken).status_code == 400


def test_a_strangers_file_is_not_even_read(client: TestClient) -> None:
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    assert client.post("/api/v1/imports", content=b"--y\r\n", headers=broken).status_code == 401


def test_an_import_that_is_not_there_is_404(api: TestClient) -> None:
    for path in ("", "/refusals", "/refusals.csv"):
        assert api.get(f"/api/v1/imports/404{path}").status_code == 404
