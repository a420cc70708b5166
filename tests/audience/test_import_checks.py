"""The check of a file counts every line once, whoever checks which part, and stops a file that nobody can read."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from email_campaign.accounts.users import User
from email_campaign.audience import import_checks, imports
from email_campaign.audience.contacts import Contact
from email_campaign.audience.import_checks import PART_CHUNKS, check_part, unchecked_parts
from email_campaign.audience.import_files import CHUNK_BYTES, ImportChunk, Upload
from email_campaign.audience.importing import IMPORT_HANDLER
from email_campaign.audience.imports import Import
from email_campaign.db import SessionFactory
from email_campaign.settings import Settings
from email_campaign.tasks.running import run
from email_campaign.tasks.tasks import TaskState, get_task

NOW = datetime(2026, 3, 4, 14, 0, tzinfo=UTC)
PART_BYTES = PART_CHUNKS * CHUNK_BYTES
HANDLERS = {imports.TASK_KIND: IMPORT_HANDLER}

assert User.__tablename__ == "users"  # tasks and imports refer to it


def start(session: Session, content: bytes, settings: Settings) -> Import:
    upload = Upload(file_name="people.csv", stream=[content], list_id=None, created_by=None)
    return imports.start_import(session, upload, settings, NOW)


def line_counts(session: Session, import_id: int) -> list[int]:
    query = select(ImportChunk.line_count).where(
        ImportChunk.import_id == import_id, ImportChunk.line_count.is_not(None)
    )
    return [count or 0 for count in session.scalars(query.order_by(ImportChunk.number))]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("shift", [-2, -1, 0, 1])
def test_a_line_belongs_to_the_part_in_which_it_begins(
    session: Session, settings: Settings, end: bytes, shift: int
) -> None:
    """Wherever the border falls: before, within or behind the end of a line."""
    first = b"address" + end
    long = b"a@example.test," + b"x" * (PART_BYTES + shift - len(first) - 15 - len(end)) + end
    started = start(session, first + long + b"b@example.test" + end + b"c@example.test", settings)
    for number in reversed(unchecked_parts(session, started.id)):
        check_part(session, started.id, number, settings)
        check_part(session, started.id, number, settings)  # a message may come twice
    assert sum(line_counts(session, started.id)) == 4
    assert unchecked_parts(session, started.id) == []


def test_what_no_message_checked_the_import_checks_itself(
    session: Session, session_factory: SessionFactory, settings: Settings
) -> None:
    filler = b"".join(b"a%d@example.test,%s\n" % (number, b"y" * 9_000) for number in range(600))
    started = start(session, b"address,word\n" + filler, settings)
    assert unchecked_parts(session, started.id) == [0, PART_CHUNKS, 2 * PART_CHUNKS]
    check_part(session, started.id, PART_CHUNKS, settings)
    session.commit()
    assert import_checks.checked_parts(session, started.id) == (1, 3)
    assert started.task_id is not None
    while run(session_factory, started.task_id, HANDLERS, settings):
        pass
    session.rollback()
    task = get_task(session, started.task_id)
    assert (task.state, task.done_count, task.total_count) == (TaskState.SUCCEEDED, 601, 601)
    session.refresh(started)
    assert (started.line_count, started.unreadable_count) == (601, 0)


def test_a_file_that_is_mostly_unreadable_is_refused_before_anybody_gets_in(
    session: Session, session_factory: SessionFactory, settings: Settings
) -> None:
    good = b"".join(b"a%d@example.test\n" % number for number in range(10))
    content = b"address\n" + good + b" " * 70_000 + b"\n" + b"\x81\x81\n" * 30  # behind the head, which is looked at
    refused = start(session, content, settings)
    session.commit()
    assert refused.task_id is not None
    run(session_factory, refused.task_id, HANDLERS, settings)
    session.rollback()
    task = get_task(session, refused.task_id)
    assert task.state is TaskState.FAILED
    assert "30 of 41 lines cannot be read" in (task.error or "")
    assert session.scalar(select(func.count()).select_from(Contact)) == 0


def test_a_check_of_an_import_that_is_gone_does_nothing(session: Session, settings: Settings) -> None:
    check_part(session, 404, 0, settings)
