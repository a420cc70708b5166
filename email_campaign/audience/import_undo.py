"""Undoing an import: what it would do, the long task that does it page by page, and what it has left and why.

An undo takes back what nothing else has touched since: contacts that the import made, values that it changed, and the
subscriptions that it gave. It never adds a person, and touches neither an unsubscription nor a suppression.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from email_campaign.audience.import_contacts import ImportContact, take_undo_lock
from email_campaign.audience.import_files import ImportChunk
from email_campaign.audience.import_undo_people import Fate, Left, Mailed, carry_out, decide, lock_people, read_page
from email_campaign.audience.imports import Import, get_import, lock_import
from email_campaign.errors import Conflict
from email_campaign.settings import Settings
from email_campaign.tasks.running import Handler, Step
from email_campaign.tasks.tasks import Task, create_task

TASK_KIND = "undo_import"
PAGE = 1_000
FORESEEN = 10_000
"""So many people are looked at one by one before an undo; of more only the bounds are told."""
_AT_LEAST = timedelta(days=1)
"""An undo that begins at the last moment is not overtaken by the purge."""

GONE, RESTORED, TAKEN_BACK = "contacts_gone", "contacts_restored", "subscriptions_taken_back"
DONE = (GONE, RESTORED, TAKEN_BACK)
"""What an undo does, as its result names it; `Left` names what it leaves."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What an undo would do now, by the names of its result.

    Not `is_exact`: at most so much, without what stays. Who is new and stays leaves the list beside those counted.
    """

    counts: Mapping[str, int]
    is_exact: bool


def is_undoable(one: Import, task: Task | None, now: datetime) -> bool:
    """Whether the import is over, not for too long, and anything of it is left to undo."""
    is_over = task is not None and task.finished_at is not None
    return is_over and one.undoable_until is not None and one.undoable_until > now


def foresee(session: Session, import_id: int, mailed: Mailed, now: datetime) -> Foreseen:
    """What an undo would do now. Raises NotFound, and Conflict where there is nothing to undo, or it is going on."""
    undone = get_import(session, import_id)
    _refuse(session, undone, now)
    met = select(func.count()).select_from(
        select(ImportContact.contact_id).where(ImportContact.import_id == import_id).limit(FORESEEN + 1).subquery()
    )
    if (session.scalar(met) or 0) > FORESEEN:
        known = undone.changed_count + undone.unchanged_count if undone.list_id else 0
        most = {GONE: undone.created_count, RESTORED: undone.changed_count, TAKEN_BACK: known}
        return Foreseen(_in_order(most), is_exact=False)
    tally: Counter[str] = Counter()
    after = 0
    while page := read_page(session, undone, after, PAGE):
        tally += _tally(decide(session, undone, page, mailed))
        after = page[-1]
    return Foreseen(_in_order(tally), is_exact=True)


def begin_undo(session: Session, import_id: int, *, created_by: int | None, now: datetime) -> Task:
    """A task that undoes the import; the door nudges it after commit. Its file goes: it cannot be resumed any more.

    What an earlier undo left is tried again. Raises as `foresee`.
    """
    undone = lock_import(session, import_id)
    _refuse(session, undone, now)
    session.execute(delete(ImportChunk).where(ImportChunk.import_id == import_id))
    undone.undoable_until = max(undone.undoable_until or now, now + _AT_LEAST)
    task = create_task(
        session,
        kind=TASK_KIND,
        subject_id=import_id,
        title=f"Undo the import of {undone.file_name}",
        created_by=created_by,
        now=now,
    )
    task.total_count = session.scalar(
        select(func.count()).select_from(ImportContact).where(ImportContact.import_id == import_id)
    )
    return task


def last_undos(session: Session, import_ids: Sequence[int]) -> Mapping[int, Task]:
    """The undo of each of these imports that was asked for last, in whatever state."""
    undos = select(Task).where(Task.kind == TASK_KIND, Task.subject_id.in_(import_ids)).order_by(Task.id)
    return {task.subject_id: task for task in session.scalars(undos) if task.subject_id is not None}


def undo_handler(mailed: Mailed) -> Handler:
    """For tasks of the kind `TASK_KIND`; `subject_id` is the import's id."""

    def step(session: Session, task: Task, settings: Settings, now: datetime) -> Step:  # noqa: ARG001 – a handler's shape
        take_undo_lock(session)
        undone = session.get_one(Import, task.subject_id)
        page = read_page(session, undone, task.cursor.get("after", 0), PAGE)
        if not page:
            return Step(task.cursor, task.done_count, more=False)
        lock_people(session, undone, page)
        fates = decide(session, undone, page, mailed)
        carry_out(session, undone, page, fates, now)
        counts = _in_order(Counter(task.cursor.get("counts", {})) + _tally(fates))
        cursor = {"after": page[-1], "counts": counts}
        return Step(cursor, task.done_count + len(page), more=len(page) == PAGE)

    return Handler(step=step, close=_close)


def _close(session: Session, task: Task, settings: Settings, now: datetime) -> Mapping[str, Any]:  # noqa: ARG001 – a handler's shape
    """The result says what was done, also when it was only a part; where nothing is left, nothing can be undone."""
    undone = session.get_one(Import, task.subject_id)
    rest = select(ImportContact.contact_id).where(ImportContact.import_id == undone.id).limit(1)
    is_complete = session.scalar(rest) is None
    if is_complete:
        undone.undoable_until = None
    return {**dict.fromkeys(DONE, 0), **task.cursor.get("counts", {}), "complete": is_complete}


def _refuse(session: Session, undone: Import, now: datetime) -> None:
    task = session.get(Task, undone.task_id) if undone.task_id is not None else None
    if task is None or task.finished_at is None:
        raise Conflict("The import is not over: cancel it first, then what it did can be undone.")
    if not is_undoable(undone, task, now):
        raise Conflict("There is nothing to undo: it was undone, or what was before is not kept any more.")
    last = last_undos(session, [undone.id]).get(undone.id)
    if last is not None and last.finished_at is None:
        raise Conflict(f"The import is being undone already, by task {last.id}.")


def _tally(fates: Sequence[Fate]) -> Counter[str]:
    tally: Counter[str] = Counter()
    for fate in fates:
        tally[GONE] += fate.goes
        tally[RESTORED] += fate.restored is not None
        tally[TAKEN_BACK] += fate.leaves_list and not fate.goes
        if fate.left:
            tally[fate.left] += 1
    return tally


def _in_order(tally: Mapping[str, int]) -> dict[str, int]:
    """What was done first, then what was left; what did not happen is not told."""
    return {str(name): tally[name] for name in (*DONE, *Left) if tally.get(name)}
