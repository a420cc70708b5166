"""An import accounts for every row, repeats harmlessly, and goes on exactly where a killed worker stopped."""

import csv
import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from email_campaign.audience import contacts, imports, lists, subscriptions, suppressions
from email_campaign.audience import import_drafts as drafts
from email_campaign.audience.contacts import Contact
from email_campaign.audience.import_files import ImportChunk, Upload
from email_campaign.audience.importing import BATCH_ROWS
from email_campaign.audience.imports import Import, ImportRefusal
from email_campaign.audience.subscriptions import Source, Subscription, SubscriptionEvent, SubscriptionState
from email_campaign.audience.suppressions import Cause, SuppressionReason
from email_campaign.errors import Conflict, Invalid, NotFound
from email_campaign.signing import derive_key
from email_campaign.tasks.running import run
from email_campaign.tasks.tasks import Task, TaskState, request_cancel
from tests.audience.conftest import HANDLERS, NOW, Desk


def addresses(session: Session) -> list[str]:
    return list(session.scalars(select(Contact.address).order_by(Contact.id)))


def test_rows_become_contacts_with_attributes_and_confirmed_subscriptions(desk: Desk, session: Session) -> None:
    result = desk.take("E-Mail;First name;Last name;City\nAda@Example.test;Ada;Lovelace;London\nbob@example.test;;;\n")
    assert result == {"rows": 2, "created": 2}
    ada, bob = session.scalars(select(Contact).order_by(Contact.address))
    assert (ada.address, ada.name, ada.attributes) == ("ada@example.test", "Ada Lovelace", {"city": "London"})
    assert (bob.name, bob.attributes) == ("", {"city": ""})
    key = derive_key(desk.settings.secret_key.get_secret_value(), "address")
    assert contacts.save_contact(session, key, contacts.ContactDraft("ada@example.test"), NOW).created is False
    assert (
        ada.address_hash
        == suppressions.suppress(session, key, "ada@example.test", Cause(SuppressionReason.BY_HAND), NOW).address_hash
    )
    assert [one.state for one in subscriptions.subscriptions_of(session, ada.id)] == [SubscriptionState.CONFIRMED]
    event = session.scalars(subscriptions.history_of(ada.id)).one()
    assert (event.source, event.detail) == (Source.IMPORT, "import 1")


def test_blank_lines_are_no_rows(desk: Desk) -> None:
    started = desk.start("address\n" + "\n" * 3_000 + "a@example.test\n\n,,\nb@example.test")
    task = desk.finish(started)
    assert task.result is not None
    assert (task.result["rows"], task.result["created"]) == (2, 2)
    assert (task.done_count, task.total_count) == (3_005, 3_005)


def test_the_same_file_again_changes_nothing(desk: Desk, session: Session) -> None:
    content = "address,name,city\na@example.test,A,Rome\nb@example.test,,\n"
    assert desk.take(content) == {"rows": 2, "created": 2}
    before = session.scalars(select(Contact.updated_at)).all()
    session.rollback()
    assert desk.take(content) == {"rows": 2, "unchanged": 2}
    assert session.scalars(select(Contact.updated_at)).all() == before
    assert session.scalar(select(func.count()).select_from(SubscriptionEvent)) == 2


def test_a_changed_row_changes_what_it_says_and_an_empty_cell_takes_nothing_away(desk: Desk, session: Session) -> None:
    desk.take("address,name,city,plan\na@example.test,Ann,Rome,free\n")
    assert desk.take("address,name,city,plan\na@example.test,,Oslo,\n") == {"rows": 1, "changed": 1}
    contact = session.scalars(select(Contact)).one()
    assert (contact.name, contact.attributes) == ("Ann", {"city": "Oslo", "plan": "free"})


def test_a_repeated_address_has_its_last_word_and_is_counted_apart(desk: Desk, session: Session) -> None:
    far = "".join(f"x{number}@example.test,\n" for number in range(BATCH_ROWS))
    result = desk.take(f"address,city\na@example.test,Rome\nA@example.test,Oslo\n{far}a@EXAMPLE.test,Bonn\n")
    assert result == {"rows": BATCH_ROWS + 3, "created": BATCH_ROWS + 1, "repeated": 2}
    contact = session.scalars(select(Contact).where(Contact.address == "a@example.test")).one()
    assert contact.attributes == {"city": "Bonn"}


def test_refused_rows_are_told_with_line_reason_and_text(desk: Desk, session: Session) -> None:
    started = desk.start(
        "address,name\n\n"
        'nobody,"two\nlines"\n'
        "=cmd@@x,Eve\n"
        "ok@example.test,Ok\n"
        "a@example.test,b,c\n"
        f"long@example.test,{'x' * 201}\n"
        f"cell@example.test,{'y' * 10_001}\n"
    )
    task = desk.finish(started)
    assert task.result is not None
    assert (task.result["rows"], task.result["created"], task.result["refused"]) == (6, 1, 5)
    rows = list(csv.reader(io.StringIO("".join(imports.refusals_csv(desk.factory, started.id)))))
    assert [row[0] for row in rows] == ["line", "3", "5", "7", "8", "9"]
    assert rows[1][1:] == ["The address needs the form name@domain.", 'nobody,"two\nlines"']
    assert rows[2][2] == "'=cmd@@x,Eve"
    assert "3 cells" in rows[3][1]
    assert "10,001 characters" in rows[5][1]
    assert len(rows[5][2]) <= 2_001


def test_who_unsubscribed_stays_so_and_who_is_suppressed_is_counted(desk: Desk, session: Session) -> None:
    content = "address\ngone@example.test\nbad@example.test\nwaiting@example.test\n"
    desk.take(content, list_id=None)
    by_address = {one.address: one.id for one in session.scalars(select(Contact))}
    left, waiting = by_address["gone@example.test"], by_address["waiting@example.test"]
    for contact_id in (left, waiting):
        subscriptions.subscribe(session, contact_id, desk.list_id, SubscriptionState.PENDING, Source.FORM, "", NOW)
    subscriptions.unsubscribe(session, left, [desk.list_id], Source.LINK, "", NOW)
    key = derive_key(desk.settings.secret_key.get_secret_value(), "address")
    suppressions.suppress(session, key, "bad@example.test", Cause(SuppressionReason.COMPLAINT), NOW)
    session.commit()
    assert desk.take(content) == {"rows": 3, "unchanged": 3, "suppressed": 1, "unsubscribed": 1}
    states = {
        one.contact_id: one.state
        for one in session.scalars(select(Subscription).execution_options(populate_existing=True))
    }
    assert states[left] is SubscriptionState.UNSUBSCRIBED
    assert states[waiting] is SubscriptionState.CONFIRMED
    assert states[by_address["bad@example.test"]] is SubscriptionState.CONFIRMED


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_files_of_other_encodings_are_read_and_a_guess_is_said(desk: Desk, session: Session, encoding: str) -> None:
    result = desk.take("address,name\njose@example.test,José\n".encode(encoding))
    assert session.scalars(select(Contact.name)).one() == "José"
    assert result.get("read_as_windows_1252", 0) == (1 if encoding == "cp1252" else 0)


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n", b"address\n", b"name\nAnn\n", b"a\0b"])
def test_a_file_that_is_none_leaves_nothing_behind(desk: Desk, session: Session, content: bytes) -> None:
    with pytest.raises(Invalid) as refused:
        desk.start(content)
    assert refused.value.problems[0].field == "file"
    for table in (Import, ImportChunk, Task):
        assert session.scalar(select(func.count()).select_from(table)) == 0


def test_a_file_that_is_too_large_is_refused_while_it_comes_in(desk: Desk) -> None:
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        yield b"address\n"
        while True:
            taken += 1
            yield b"a@example.test\n" * 1000

    desk.settings = desk.settings.model_copy(update={"import_max_bytes": 1_000_000})
    with pytest.raises(Invalid, match="larger than 1,000,000 bytes"):
        desk.start(b"", stream=endless())
    assert taken < 70


def test_a_list_that_is_archived_or_not_there_is_said_before_anything_is_stored(desk: Desk, session: Session) -> None:
    with pytest.raises(NotFound):
        desk.start("address\na@example.test\n", list_id=404)
    lists.archive_list(session, desk.list_id, NOW)
    session.commit()
    with pytest.raises(Conflict, match="archived"):
        desk.start("address\na@example.test\n")


def test_the_file_goes_when_its_import_ends_and_old_refusals_after_a_while(desk: Desk, session: Session) -> None:
    started = desk.start("address\na@example.test\nnobody\n")
    assert imports.purge_imports(session, NOW) == 0
    session.commit()
    task = desk.finish(started)
    assert task.finished_at is not None
    assert session.scalar(select(func.count()).select_from(ImportChunk)) == 0
    session.add(ImportChunk(import_id=started.id, number=0, content=b"left by a failed close"))
    assert imports.purge_imports(session, task.finished_at + timedelta(days=1)) == 1
    assert imports.purge_imports(session, task.finished_at + timedelta(days=31)) == 1  # whom it met
    assert imports.purge_imports(session, task.finished_at + timedelta(days=91)) == 1
    assert session.scalars(imports.refusals_of(started.id)).all() == []


def test_a_cancelled_import_keeps_what_is_in_and_says_so(desk: Desk, session: Session) -> None:
    started = desk.start("address\n" + "".join(f"a{n}@example.test\n" for n in range(3 * BATCH_ROWS)))
    assert started.task_id is not None
    one_step = desk.settings.model_copy(update={"task_hop_seconds": 0.0001})
    run(desk.factory, started.task_id, HANDLERS, one_step)
    with desk.factory.begin() as other:
        request_cancel(other, started.task_id, NOW)
    task = desk.finish(started)
    assert task.result is not None
    assert (task.state, task.result["created"], task.result["complete"]) == (TaskState.CANCELLED, BATCH_ROWS, False)
    assert len(addresses(session)) == BATCH_ROWS
    assert (task.done_count, task.total_count) == (BATCH_ROWS + 1, 3 * BATCH_ROWS + 1)


def test_a_cancelled_import_goes_on_where_it_stopped(desk: Desk, session: Session) -> None:
    started = desk.start("address\n" + "".join(f"a{n}@example.test\n" for n in range(2 * BATCH_ROWS)))
    assert started.task_id is not None
    run(desk.factory, started.task_id, HANDLERS, desk.settings.model_copy(update={"task_hop_seconds": 0.0001}))
    with desk.factory.begin() as other:
        request_cancel(other, started.task_id, NOW)
    cancelled = desk.finish(started)
    assert cancelled.finished_at is not None
    with desk.factory.begin() as other:
        until = drafts.resumable_until(other, other.get_one(Import, started.id), cancelled)
        assert until == cancelled.finished_at + timedelta(days=imports.FILE_KEPT_DAYS)
        resumed = drafts.resume_import(other, started.id, None, NOW)
    with desk.factory.begin() as other, pytest.raises(Conflict, match="nothing to resume"):
        drafts.resume_import(other, started.id, None, NOW)
    task = desk.finish(resumed)
    assert (task.state, task.earlier_count, task.done_count) == (
        TaskState.SUCCEEDED,
        BATCH_ROWS + 1,
        2 * BATCH_ROWS + 1,
    )
    counts = imports.counts_of(session.get_one(Import, started.id))
    assert (counts["rows"], counts["created"], counts["repeated"]) == (2 * BATCH_ROWS, 2 * BATCH_ROWS, 0)
    assert len(addresses(session)) == 2 * BATCH_ROWS


def test_the_file_of_an_import_that_stopped_goes_after_a_week_and_cannot_be_resumed(
    desk: Desk, session: Session
) -> None:
    started = desk.start("address\na@example.test\n")
    request_cancel(session, started.task_id or 0, NOW)
    session.commit()
    ended = desk.finish(started)
    assert ended.finished_at is not None
    assert imports.purge_imports(session, ended.finished_at + timedelta(days=6)) == 0
    assert imports.purge_imports(session, ended.finished_at + timedelta(days=8)) == 1
    with pytest.raises(Conflict, match="not kept any more"):
        drafts.resume_import(session, started.id, None, NOW)


def test_an_import_whose_file_went_while_it_was_resumed_does_not_end_as_if_everybody_were_in(
    desk: Desk, session: Session
) -> None:
    started = desk.start("address\na@example.test\n")
    session.execute(delete(ImportChunk))
    session.commit()
    task = desk.finish(started)
    assert task.state is TaskState.FAILED
    assert "The file is not kept any more." in (task.error or "")


def test_a_draft_that_nobody_confirms_is_gone_after_a_day(desk: Desk, session: Session) -> None:
    upload = Upload(file_name="people.csv", stream=[b"who\na@example.test\n"], list_id=None, created_by=None)
    draft = drafts.draft_import(session, upload, desk.settings, NOW)
    session.commit()
    assert imports.purge_imports(session, NOW + timedelta(hours=23)) == 0
    assert imports.purge_imports(session, NOW + timedelta(hours=25)) == 1
    session.commit()
    assert session.scalar(select(func.count()).select_from(ImportChunk)) == 0
    with pytest.raises(NotFound):
        drafts.start_draft(session, draft.id, desk.settings, NOW)


def test_an_import_into_a_list_that_is_archived_meanwhile_stops(desk: Desk, session: Session) -> None:
    started = desk.start("address\na@example.test\n")
    lists.archive_list(session, desk.list_id, NOW)
    session.commit()
    task = desk.finish(started)
    assert task.state is TaskState.FAILED
    assert "archived" in (task.error or "")


def test_two_imports_of_the_same_people_at_once_wait_for_each_other_and_agree(desk: Desk, session: Session) -> None:
    numbers = list(range(3 * BATCH_ROWS))
    files = [
        "address,city\n" + "".join(f"a{n}@example.test,Rome\n" for n in order) for order in (numbers, numbers[::-1])
    ]
    desk.settings = desk.settings.model_copy(update={"task_lease_seconds": 60.0})
    with ThreadPoolExecutor(2) as pool:
        results = [task.result or {} for task in pool.map(desk.finish, [desk.start(file) for file in files])]
    assert [result["complete"] for result in results] == [True, True]
    assert sum(result["created"] for result in results) == len(numbers)
    assert len(addresses(session)) == len(numbers)
    assert session.scalar(select(func.count()).select_from(SubscriptionEvent)) == len(numbers)


def test_a_killed_worker_loses_and_doubles_nobody(desk: Desk, session: Session) -> None:
    rows = 12 * BATCH_ROWS
    content = "address,name\n" + "".join(
        f"a{n % (rows - 500)}@example.test,A{n}\n" if n % 100 else f"nobody{n},\n" for n in range(rows)
    )
    started = desk.start(content)
    assert started.task_id is not None
    for at_least in (2 * BATCH_ROWS, 5 * BATCH_ROWS):
        desk.kill(started.task_id, at_least)
        with desk.factory.begin() as other:
            task = other.get_one(Task, started.task_id)
            assert task.state is TaskState.RUNNING
            assert run(desk.factory, task.id, HANDLERS, desk.settings) is False, "the dead worker's lease still holds"
            task.lease_until = NOW  # as when the lease has run out
    task = desk.finish(started)
    assert task.state is TaskState.SUCCEEDED, task.error
    good = [n for n in range(rows) if n % 100]
    people = {n % (rows - 500) for n in good}
    ended = session.get_one(Import, started.id)
    assert imports.counts_of(ended) == {
        "rows": rows,
        "created": len(people),
        "changed": 0,
        "unchanged": 0,
        "repeated": len(good) - len(people),
        "refused": rows // 100,
        "suppressed": 0,
        "unsubscribed": 0,
        "read_as_windows_1252": 0,
        "ignored_columns": 0,
    }
    assert sorted(addresses(session)) == sorted(f"a{n}@example.test" for n in people)
    counts = lists.member_counts(session, [desk.list_id])[desk.list_id]
    assert counts.confirmed == len(people)
    assert session.scalar(select(func.count()).select_from(SubscriptionEvent)) == len(people)
    refused = session.scalars(imports.refusals_of(started.id).order_by(ImportRefusal.line))
    assert [(one.line, one.row) for one in refused] == [(n + 2, f"nobody{n},") for n in range(0, rows, 100)]
