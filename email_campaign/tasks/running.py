"""Running a task: lease it, do steps for some seconds, let go; whatever happens to the worker, the row stays true."""

import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.errors import Conflict, DomainError
from email_campaign.settings import Settings
from email_campaign.tasks.tasks import Task, TaskState

log = logging.getLogger(__name__)

MAX_INTERRUPTIONS = 5
"""Workers in a row that died before one step was done: then the work itself is the killer."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one step achieved: where to go on, how much is done, and whether there is more."""

    cursor: Mapping[str, Any]
    done_count: int
    more: bool


@dataclass(frozen=True, slots=True)
class Handler:
    """How tasks of one kind are done.

    `step` does about a tenth of a second of work (never more than the lease) in the session's transaction, beginning at
    `task.cursor`; the transaction is committed with the returned cursor, so a step happens wholly or not at all.
    `close` tidies up and returns the result when the task ends, in whatever way; `task.state` says in which.
    Both raise DomainError for what people can mend. Neither commits.
    """

    step: Callable[[Session, Task, Settings, datetime], Step]
    close: Callable[[Session, Task, Settings, datetime], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a task: `token` fences every earlier holder off."""

    token: int
    kind: str
    interruption_count: int


@dataclass(frozen=True, slots=True)
class _Held:
    """A task under a lease of ours."""

    factory: SessionFactory
    task_id: int
    token: int
    handler: Handler
    settings: Settings


def run(factory: SessionFactory, task_id: int, handlers: Mapping[str, Handler], settings: Settings) -> bool:
    """Work on a task for at most `task_hop_seconds`; whether it wants another nudge. Safe to repeat and to kill.

    Never raises for what the work does: the task becomes failed, with words for people and an id for the log. A
    database that is away leaves the task to the sweep.
    """
    try:
        taken = lease(factory, task_id, settings.task_lease_seconds, utc_now())
        if taken is None:
            return False
        held = _Held(factory, task_id, taken.token, handlers.get(taken.kind, _unknown(taken.kind)), settings)
        if taken.interruption_count >= MAX_INTERRUPTIONS:
            return _end(
                held, TaskState.FAILED, "The work stopped every worker that took it; the log of the worker says how."
            )
        return _hop(held)
    except (OperationalError, InterfaceError) as error:
        log.warning("task %s: the database gave up (%s); the sweep will go on", task_id, type(error.orig).__name__)
        return False


def lease(factory: SessionFactory, task_id: int, lease_seconds: float, now: datetime) -> Lease | None:
    """Take the task, or None when it is over or somebody has it."""
    with factory.begin() as session:
        task = session.scalar(
            select(Task)
            .where(
                Task.id == task_id,
                Task.finished_at.is_(None),
                or_(Task.lease_until.is_(None), Task.lease_until <= now),
            )
            .with_for_update(skip_locked=True)
        )
        if task is None:
            return None
        task.interruption_count += 1 if task.lease_until is not None else 0
        task.state = TaskState.RUNNING
        task.lease_token = (task.lease_token or 0) + 1
        task.lease_until = now + timedelta(seconds=lease_seconds)
        task.started_at = task.started_at or now
        return Lease(task.lease_token, task.kind, task.interruption_count)


def _hop(held: _Held) -> bool:
    until = utc_now() + timedelta(seconds=held.settings.task_hop_seconds)
    try:
        while utc_now() < until:
            if not _do_step(held):
                return False
    except DomainError as error:
        return _end(held, TaskState.FAILED, error.message)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        error_id = secrets.token_hex(4)
        log.exception("task %s failed, error %s", held.task_id, error_id)
        message = (
            "Something went wrong that is not your fault. What was done before is kept. Try again; if it fails again, "
            f"report the error {error_id}: the log tells more."
        )
        return _end(held, TaskState.FAILED, message)
    _let_go(held)
    return True


def _do_step(held: _Held) -> bool:
    """One step and its cursor in one transaction; whether there is more for us to do."""
    with held.factory.begin() as session:
        task = _locked(session, held)
        if task is None:
            return False
        now = utc_now()
        if task.cancel_requested_at is not None:
            return _finish(session, task, held, TaskState.CANCELLED)
        step = held.handler.step(session, task, held.settings, now)
        task.cursor = dict(step.cursor)
        task.done_count = step.done_count
        task.interruption_count = 0
        task.lease_until = now + timedelta(seconds=held.settings.task_lease_seconds)
        return True if step.more else _finish(session, task, held, TaskState.SUCCEEDED)


def _end(held: _Held, state: TaskState, error: str) -> bool:
    try:
        with held.factory.begin() as session:
            task = _locked(session, held)
            if task is not None:
                task.error = error
                _finish(session, task, held, state)
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("task %s could not be closed", held.task_id)
        with held.factory.begin() as session:
            task = _locked(session, held)
            if task is not None:
                task.error = error
                _mark_finished(task, state, utc_now())
    return False


def _finish(session: Session, task: Task, held: _Held, state: TaskState) -> bool:
    now = utc_now()
    _mark_finished(task, state, now)
    task.result = dict(held.handler.close(session, task, held.settings, now))
    return False


def _mark_finished(task: Task, state: TaskState, now: datetime) -> None:
    task.state = state
    task.finished_at = now
    task.lease_until = None


def _let_go(held: _Held) -> None:
    """The door nudges the next hop now, so the sweep need not."""
    with held.factory.begin() as session:
        task = _locked(session, held)
        if task is not None:
            task.lease_until = None
            task.nudged_at = utc_now()


def _locked(session: Session, held: _Held) -> Task | None:
    """The task under our lease, or None when another took it. The lock keeps others out for as long as we work."""
    return session.scalar(
        select(Task)
        .where(Task.id == held.task_id, Task.lease_token == held.token, Task.finished_at.is_(None))
        .with_for_update()
    )


def _unknown(kind: str) -> Handler:
    def refuse(session: Session, task: Task, settings: Settings, now: datetime) -> Step:  # noqa: ARG001 – a step's shape
        raise Conflict(f"This version of the service does not know how to do “{kind}”.")

    def nothing(session: Session, task: Task, settings: Settings, now: datetime) -> Mapping[str, Any]:  # noqa: ARG001 – a close's shape
        return {}

    return Handler(refuse, nothing)
