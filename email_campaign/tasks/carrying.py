"""A task that one carries to its end, where no step can be a transaction: under a lease of the row, with beats."""

import logging
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import InterfaceError, OperationalError
from sqlalchemy.orm import Session

from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.errors import DomainError
from email_campaign.settings import Settings
from email_campaign.tasks.running import MAX_INTERRUPTIONS
from email_campaign.tasks.tasks import Task, TaskState

log = logging.getLogger(__name__)

BEATS_A_LEASE = 6


class Cancelled(Exception):
    """Somebody asked the task to stop."""


class Taken(Exception):
    """The lease ran out, and another has the task or it is over: nothing more is to be done or written."""


@dataclass(slots=True)
class Beat:
    """Says in the row that the work goes on; the work calls it as often as it likes."""

    factory: SessionFactory
    task_id: int
    token: int
    lease_seconds: float
    next_at: float = 0.0

    def __call__(self, done_count: int, *, at_once: bool = False) -> None:
        """Renew the lease and show the progress, when it is time or `at_once`. Raises Cancelled and Taken."""
        now = utc_now()
        if now.timestamp() < self.next_at and not at_once:
            return
        self.next_at = now.timestamp() + self.lease_seconds / BEATS_A_LEASE
        with self.factory.begin() as session:
            task = _held(session, self)
            if task.cancel_requested_at is not None:
                raise Cancelled
            task.lease_until = now + timedelta(seconds=self.lease_seconds)
            task.done_count = done_count


def carry(
    factory: SessionFactory,
    task_id: int,
    token: int,
    settings: Settings,
    work: Callable[[Beat], tuple[int, Mapping[str, Any]]],
) -> TaskState | None:
    """Do the work under the lease of this token; how it ended, or None where another has it by now or it is over.

    Who starts the work takes the lease, so that one is started and no crowd, however long a start takes. `work`
    returns how much was done, and the result; it raises DomainError for what people can mend. A database that is away
    leaves the task to the sweep. Safe to repeat.
    """
    beat = Beat(factory, task_id, token, settings.task_lease_seconds)
    try:
        if _interruptions(beat) >= MAX_INTERRUPTIONS:
            return _end(beat, TaskState.FAILED, error="It was cut off each time; the log of the worker may say how.")
        done_count, result = work(beat)
        return _end(beat, TaskState.SUCCEEDED, done_count=done_count, result=result)
    except Taken:
        return None
    except (OperationalError, InterfaceError) as error:
        log.warning("task %s: the database gave up (%s); the sweep will go on", task_id, type(error.orig).__name__)
        return None
    except Cancelled:
        return _end(beat, TaskState.CANCELLED)
    except DomainError as error:
        return _end(beat, TaskState.FAILED, error=error.message)
    except Exception:
        error_id = secrets.token_hex(4)
        log.exception("task %s failed, error %s", task_id, error_id)
        return _end(
            beat, TaskState.FAILED, error=f"Something went wrong: report the error {error_id}; the log has more."
        )


def _end(
    beat: Beat,
    state: TaskState,
    *,
    error: str | None = None,
    done_count: int | None = None,
    result: Mapping[str, Any] | None = None,
) -> TaskState | None:
    try:
        with beat.factory.begin() as session:
            task = _held(session, beat)
            task.state, task.error, task.result = state, error, dict(result or {})
            task.finished_at, task.lease_until = utc_now(), None
            if done_count is not None:
                task.done_count = task.total_count = done_count
    except Taken:
        return None
    return state


def _interruptions(beat: Beat) -> int:
    with beat.factory.begin() as session:
        return _held(session, beat).interruption_count


def _held(session: Session, beat: Beat) -> Task:
    task = session.scalar(
        select(Task)
        .where(Task.id == beat.task_id, Task.lease_token == beat.token, Task.finished_at.is_(None))
        .with_for_update()
    )
    if task is None:
        raise Taken
    return task
