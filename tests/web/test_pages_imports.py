"""The pages of imports: did everybody get in?"""

import re

from sqlalchemy import select
from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.audience import imports
from email_campaign.audience.importing import IMPORT_HANDLER
from email_campaign.audience.imports import Import
from email_campaign.audience.lists import MailingList
from email_campaign.db import SessionFactory
from email_campaign.settings import Settings
from email_campaign.tasks import running
from tests.factories import make_list

HERE = "/admin/imports"
FILE = "email,name,city\nada@example.org,Ada,London\nnobody,X,Y\nada@example.org,Ada,Paris\n=bad@@x,Z,Y\n"

Nudges = list[tuple[object, ...]]


def _upload(client: TestClient, content: bytes | str, *, name: str = "people.csv", **fields: str | int) -> str:
    answer = client.post(HERE, data=fields, files={"file": (name, content, "text/csv")})
    assert answer.status_code == 303, re.findall(r'class="field-error".*?<span>(.*?)</span>', answer.text)
    return str(answer.headers["Location"])


def _run(session_factory: SessionFactory, settings: Settings, here: str) -> None:
    with session_factory() as session:
        task_id = session.get_one(Import, int(here.rpartition("/")[2])).task_id
    assert task_id is not None
    while running.run(session_factory, task_id, {imports.TASK_KIND: IMPORT_HANDLER}, settings):
        pass


def test_an_empty_page_leads_to_the_form_and_the_form_shows_an_example(signed_in: TestClient) -> None:
    assert "No imports yet" in signed_in.get(HERE).text
    form = signed_in.get(f"{HERE}/new").text
    assert "email,name,city" in form
    assert 'enctype="multipart/form-data" data-upload' in form


def test_an_import_accounts_for_every_row(
    signed_in: TestClient, session_factory: SessionFactory, settings: Settings, nudges: Nudges
) -> None:
    with session_factory.begin() as session:
        list_id = make_list(session, "News").id
    here = _upload(signed_in, FILE, list_id=list_id)
    assert [message[0] for message in nudges] == [queue.HOP]
    waiting = signed_in.get(here).text
    assert f'data-live="{here}/live"' in waiting
    assert signed_in.get(f"{here}/live").json()["done"] is False
    _run(session_factory, settings, here)
    live = signed_in.get(f"{here}/live").json()
    assert live["done"] is True
    rows = live["rows"]
    assert rows["rows"] == 4 == sum(rows[word] for word in ("created", "changed", "unchanged", "repeated", "refused"))
    page = signed_in.get(here).text
    assert "1 of 3 people got in" in page
    assert "nobody,X,Y" in page
    assert "done, 2 refused" in page
    assert "done, 2 refused" in signed_in.get(HERE).text
    table = signed_in.get(f"{here}/refusals.csv")
    assert table.headers["Content-Disposition"] == f'attachment; filename="import-{here[15:]}-refusals.csv"'
    assert table.text.splitlines()[0] == "line,reason,row"
    assert "'=bad@@x" in table.text


def test_a_clean_import_is_good_news(
    signed_in: TestClient, session_factory: SessionFactory, settings: Settings
) -> None:
    here = _upload(signed_in, "address\nada@example.org\n", new_list="Readers")
    _run(session_factory, settings, here)
    page = signed_in.get(here).text
    assert "Everybody got in" in page
    assert "Refused rows" not in page
    with session_factory() as session:
        made = session.scalars(select(MailingList)).one()
    assert made.name == "Readers"
    assert f'href="/admin/lists/{made.id}"' in page


def test_what_is_no_csv_is_refused_and_leaves_nothing(signed_in: TestClient, session_factory: SessionFactory) -> None:
    answer = signed_in.post(HERE, data={"new_list": "Readers"}, files={"file": ("x.csv", b"\x89PNG\r\n", "text/csv")})
    assert answer.status_code == 422
    assert "This is a PNG image, not a CSV file." in answer.text
    assert 'value="Readers"' in answer.text
    with session_factory() as session:
        assert not session.scalars(select(Import)).all()
        assert not session.scalars(select(MailingList)).all()


def test_a_form_without_a_file_or_with_two_lists_names_the_field(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    with session_factory.begin() as session:
        list_id = make_list(session, "News").id
    none = signed_in.post(HERE, data={"list_id": list_id})
    assert none.status_code == 422
    assert 'id="f-file-error"' in none.text
    for fields, field in (
        ({"list_id": str(list_id), "new_list": "Other"}, "new_list"),
        ({"new_list": "news"}, "new_list"),
        ({"list_id": "999"}, "list_id"),
        ({"list_id": "x"}, "list_id"),
    ):
        answer = signed_in.post(HERE, data=fields, files={"file": ("x.csv", b"email\na@example.org\n", "text/csv")})
        assert answer.status_code == 422
        assert f'id="f-{field}-error"' in answer.text


def test_an_import_is_cancelled(
    signed_in: TestClient, session_factory: SessionFactory, settings: Settings, nudges: Nudges
) -> None:
    here = _upload(signed_in, FILE)
    assert signed_in.post(f"{here}/cancel").status_code == 303
    assert len(nudges) == 2
    assert "It stops after the rows in hand." in signed_in.get(here).text
    _run(session_factory, settings, here)
    page = signed_in.get(here).text
    assert "Cancelled after 0 rows" in page
    assert signed_in.post(f"{here}/cancel").status_code == 409
