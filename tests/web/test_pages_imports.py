"""The pages of imports: did everybody get in?"""

import re

from sqlalchemy import select
from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.audience import imports
from email_campaign.audience.contacts import Contact
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
    assert answer.status_code == 303, _errors(answer.text)
    return str(answer.headers["Location"])


def _errors(page: str) -> list[str]:
    return re.findall(r'class="field-error".*?<span>(.*?)</span>', page, re.DOTALL)


def _fields(page: str) -> dict[str, str]:
    """What a browser would send of the mapping's form."""
    form = page.partition('id="mapping"')[2].partition("</form>")[0]
    texts = re.findall(r'<input class="control" name="(attribute_\d+)" value="(.*?)"', form)
    fields = dict(texts)
    for name, options in re.findall(r'<select.*?name="(\w+)".*?>(.*?)</select>', form, re.DOTALL):
        chosen = re.findall(r'<option(?: value="([^"]*)")? selected>([^<]*)</option>', options)
        fields[name] = chosen[0][0] or chosen[0][1] if chosen else ""
    if "checked" in form:
        fields["has_header"] = "on"
    return fields


def _start(client: TestClient, here: str, **changes: str) -> None:
    answer = client.post(f"{here}/mapping", data=_fields(client.get(here).text) | changes | {"then": "start"})
    assert answer.status_code == 303, _errors(answer.text)


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
    assert nudges == []
    _start(signed_in, here)
    assert nudges == [(queue.CHECK, int(here.rpartition("/")[2]))]
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
    _start(signed_in, here)
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
        ({"list_id": "9" * 5_000}, "list_id"),
    ):
        answer = signed_in.post(HERE, data=fields, files={"file": ("x.csv", b"email\na@example.org\n", "text/csv")})
        assert answer.status_code == 422
        assert f'id="f-{field}-error"' in answer.text


def test_a_draft_shows_what_was_found_and_imports_nothing(
    signed_in: TestClient, session_factory: SessionFactory, nudges: Nudges
) -> None:
    here = _upload(
        signed_in, "Kunde;E-Mail;Größe;Ort\n".encode("cp1252") + b"Ada;ada@example.org;L;K\xf6ln\nX;nobody;;\n"
    )
    page = signed_in.get(here).text
    for told in (
        "Nothing is imported yet",
        "Found: semicolon ;",
        "Found: Windows-1252",
        "Found: names of columns",
        "Köln",
    ):
        assert told in page
    fields = _fields(page)
    assert (fields["delimiter"], fields["encoding"], fields["has_header"]) == ("semicolon", "windows-1252", "on")
    assert [fields[f"column_{number}"] for number in range(1, 5)] == ["attribute", "address", "attribute", "attribute"]
    assert [fields[f"attribute_{number}"] for number in (1, 3, 4)] == ["kunde", "grosse", "ort"]
    assert "The address needs the form name@domain." in page
    assert nudges == []
    assert "draft" in signed_in.get(HERE).text
    for path in ("/live", "/cancel"):
        answer = signed_in.get(f"{here}{path}") if path == "/live" else signed_in.post(f"{here}{path}")
        assert answer.status_code == 409
    with session_factory() as session:
        assert session.scalars(select(Contact)).all() == []


def test_what_is_chosen_is_what_is_imported(
    signed_in: TestClient, session_factory: SessionFactory, settings: Settings
) -> None:
    here = _upload(signed_in, b"ada@example.org;Ada;L;K\xc3\xb6ln\nbob@example.org;Bob;M;Bonn\n")
    fields = _fields(signed_in.get(here).text)
    assert "has_header" not in fields
    assert (fields["column_1"], fields["column_2"]) == ("address", "")
    _start(signed_in, here, column_2="name", column_4="attribute", attribute_4="Town")
    _run(session_factory, settings, here)
    with session_factory() as session:
        ada, bob = session.scalars(select(Contact).order_by(Contact.address))
    assert (ada.name, ada.attributes) == ("Ada", {"town": "Köln"})
    assert (bob.name, bob.attributes) == ("Bob", {"town": "Bonn"})
    assert "1 column was left out" in signed_in.get(here).text


def test_another_reading_is_shown_before_it_is_imported(signed_in: TestClient, nudges: Nudges) -> None:
    here = _upload(signed_in, "email;name,x\nada@example.org;Ada,1\n")
    fields = _fields(signed_in.get(here).text)
    assert (fields["delimiter"], fields["column_1"], fields["attribute_2"]) == ("semicolon", "address", "name_x")
    for then in ("read", "start"):
        answer = signed_in.post(f"{here}/mapping", data=fields | {"delimiter": "comma", "then": then})
        assert answer.status_code == 303
        assert nudges == []  # the columns are others now: they are looked at first
        again = signed_in.get(here).text
        assert _fields(again)["delimiter"] == "comma"
        assert "email;name" in again
        signed_in.post(f"{here}/mapping", data=fields | {"then": "read"})


def test_bad_choices_come_back_with_the_form_as_it_was(signed_in: TestClient, nudges: Nudges) -> None:
    here = _upload(signed_in, "email,town,street\nada@example.org,Bonn,Main\n")
    fields = _fields(signed_in.get(here).text) | {"then": "start"}
    for changes, field, told in (
        ({"column_1": ""}, "columns", "Say which column holds the addresses."),
        ({"column_2": "address"}, "column_2", "Column 1 becomes address already."),
        ({"attribute_2": ""}, "column_2", "Name the attribute"),
        ({"attribute_2": "name"}, "column_2", "Choose “name” itself"),
        ({"attribute_2": "if"}, "column_2", "a word of the template language"),
        ({"attribute_2": "street"}, "column_3", "Column 2 becomes street already."),
        ({"column_2": "name", "column_3": "last name"}, "column_2", "not both"),
        ({"encoding": "klingon"}, "encoding", "one of utf-8"),
        ({"delimiter": "x"}, "delimiter", "a comma, a semicolon"),
    ):
        answer = signed_in.post(f"{here}/mapping", data=fields | changes)
        assert answer.status_code == 422, changes
        assert f'href="#f-{field}"' in answer.text
        assert f'id="f-{field}"' in answer.text
        assert told in answer.text
        kept = _fields(answer.text)
        assert all(kept[name] == value for name, value in changes.items() if name not in ("encoding", "delimiter"))
    assert nudges == []


def test_a_wide_file_with_huge_cells_stays_a_page(signed_in: TestClient) -> None:
    names = ",".join(["x" * 5_000, *(f"c{number}" for number in range(2_000)), "email"])
    row = ",".join(["y" * 9_000, *("z" * 30 for _ in range(2_000)), "ada@example.org"])
    here = _upload(signed_in, f"{names}\n{row}\n")
    page = signed_in.get(here).text
    assert len(page) < 500_000
    assert "further columns are left out" in page
    assert _fields(page)["column_2002"] == "address"
    _start(signed_in, here)


def test_a_draft_is_discarded(signed_in: TestClient) -> None:
    here = _upload(signed_in, FILE)
    assert signed_in.post(f"{here}/discard").status_code == 303
    assert signed_in.get(here).status_code == 404


def test_an_import_is_cancelled(
    signed_in: TestClient, session_factory: SessionFactory, settings: Settings, nudges: Nudges
) -> None:
    here = _upload(signed_in, FILE)
    _start(signed_in, here)
    assert signed_in.post(f"{here}/cancel").status_code == 303
    assert len(nudges) == 2
    assert '<span data-live-when="cancelling">It stops after the step in hand.</span>' in signed_in.get(here).text
    _run(session_factory, settings, here)
    page = signed_in.get(here).text
    assert "Cancelled after 0 rows" in page
    assert signed_in.post(f"{here}/cancel").status_code == 409
    assert "the file is kept until" in page
    assert signed_in.post(f"{here}/resume").status_code == 303
    assert signed_in.post(f"{here}/resume").status_code == 409
    _run(session_factory, settings, here)
    assert "1 of 3 people got in" in signed_in.get(here).text
    assert signed_in.post(f"{here}/resume").status_code == 409


def test_a_file_of_which_nothing_was_imported_is_looked_at_again(
    signed_in: TestClient, session_factory: SessionFactory, settings: Settings
) -> None:
    here = _upload(signed_in, b"email,name\n" + b"a\xff@example.org,\xff\xff\n" * 9)
    before = _fields(signed_in.get(here).text)
    signed_in.post(f"{here}/mapping", data=before | {"encoding": "shift_jis", "then": "read"})
    _start(signed_in, here)
    _run(session_factory, settings, here)
    page = signed_in.get(here).text
    assert "Nothing was imported: 9 of 10 lines cannot be read." in page
    assert signed_in.post(f"{here}/reopen").status_code == 303
    assert "Nothing is imported yet" in signed_in.get(here).text
