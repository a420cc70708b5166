"""`email-campaign import`: a CSV file into a list, as the page does it, carried to its end by the command itself."""

import sys
import time
from argparse import ArgumentParser, Namespace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from email_campaign.audience import imports
from email_campaign.audience.import_files import Upload
from email_campaign.audience.importing import IMPORT_HANDLER
from email_campaign.audience.imports import TASK_KIND, Import
from email_campaign.audience.lists import MailingList, create_list
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.errors import Conflict, NotFound
from email_campaign.local.places import named_file
from email_campaign.settings import Settings
from email_campaign.tasks import running
from email_campaign.tasks.tasks import Task, TaskState, get_task

READ_BYTES = 256 * 1024
LOOK_SECONDS = 0.2
REFUSALS_SHOWN = 5


def add_arguments(parser: ArgumentParser) -> None:
    """What `import` is asked with."""
    parser.add_argument("file", type=named_file, metavar="FILE", help="a CSV file whose first line names the columns")
    parser.add_argument("--list", required=True, metavar="NAME", help="the list that they are put on")
    parser.add_argument("--new-list", action="store_true", help="make the list when there is none of this name")


def import_file(arguments: Namespace, settings: Settings, factory: SessionFactory) -> int:
    """Import a file and tell what became of its rows; 1 where it ended before its end. Raises DomainError.

    The command does the steps itself, under the task's lease; a worker that takes one up meanwhile does no harm.
    """
    if not settings.secret_key.get_secret_value():
        raise Conflict("SECRET_KEY is not set: without it addresses cannot be told from suppressed ones.")
    with _opened(arguments.file) as file, factory.begin() as session:
        list_id = _list_of(session, arguments.list, is_new=arguments.new_list)
        upload = Upload(
            file_name=arguments.file.name,
            stream=iter(partial(file.read, READ_BYTES), b""),
            list_id=list_id,
            created_by=None,
        )
        started = imports.start_import(session, upload, settings, utc_now())
        import_id, task_id = started.id, started.task_id
    assert task_id is not None
    task = _carry(factory, task_id, settings)
    with factory() as session:
        _tell(session, session.get_one(Import, import_id), task)
    return 0 if task.state is TaskState.SUCCEEDED else 1


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise NotFound(f"{file} cannot be read: {error.strerror}.") from error


def _list_of(session: Session, name: str, *, is_new: bool) -> int:
    wanted = select(MailingList.id).where(
        func.lower(MailingList.name) == name.strip().lower(), MailingList.archived_at.is_(None)
    )
    list_id = session.scalar(wanted)
    if list_id is None and is_new:
        return create_list(session, name, "", utc_now()).id
    if list_id is None:
        names = session.scalars(
            select(MailingList.name).where(MailingList.archived_at.is_(None)).order_by(MailingList.name).limit(10)
        ).all()
        known = f"There are: {', '.join(names)}." if names else "There is none yet."
        raise NotFound(f"There is no list “{name}”. {known} With --new-list it is made.")
    return list_id


def _carry(factory: SessionFactory, task_id: int, settings: Settings) -> Task:
    began = utc_now()
    while True:
        more = running.run(factory, task_id, {TASK_KIND: IMPORT_HANDLER}, settings)
        with factory() as session:
            task = get_task(session, task_id)
        _show(task, began)
        if task.finished_at is not None:
            return task
        if not more:
            time.sleep(LOOK_SECONDS)  # a worker has it


def _show(task: Task, began: datetime) -> None:
    if sys.stderr.isatty():
        seconds = max(0.1, (utc_now() - began).total_seconds())
        of = f" of {task.total_count:,}" if task.total_count else ""
        print(f"\r{task.done_count:,}{of} lines, {task.done_count / seconds:,.0f} a second ", end="", file=sys.stderr)


def _tell(session: Session, ended: Import, task: Task) -> None:
    counts = imports.counts_of(ended)
    shown = ", ".join(f"{counts[name]:,} {name}" for name in ("created", "changed", "unchanged", "repeated", "refused"))
    print(f"{counts['rows']:,} rows: {shown}.")
    if counts["suppressed"] or counts["unsubscribed"]:
        print(
            f"Not mailed: {counts['suppressed']:,} suppressed, {counts['unsubscribed']:,} unsubscribed from the list."
        )
    refusals = imports.refusals_of(ended.id).order_by(imports.ImportRefusal.line).limit(REFUSALS_SHOWN)
    for one in session.scalars(refusals):
        print(f"  line {one.line}: {one.reason}")
    if counts["refused"] > REFUSALS_SHOWN:
        print(f"  … and {counts['refused'] - REFUSALS_SHOWN:,} more: see import {ended.id} on its page.")
    if task.state is not TaskState.SUCCEEDED:
        print(task.error or f"The import is {task.state}; what is in stays in.", file=sys.stderr)
