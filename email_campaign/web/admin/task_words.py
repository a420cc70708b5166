"""Tasks in words: what kind of work it is, what it is about, how far it is, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from email_campaign.audience.import_undo import TASK_KIND as UNDO_IMPORT
from email_campaign.audience.imports import TASK_KIND as IMPORT
from email_campaign.delivery.proof_task import TASK_KIND as PROOF
from email_campaign.delivery.unknown_task import TASK_KIND as RESOLVE_UNKNOWN
from email_campaign.media.images import TASK_KIND as IMAGE
from email_campaign.reports.scheduled.report import TASK_KIND as REPORT
from email_campaign.tasks import tasks
from email_campaign.tasks.tasks import Task
from email_campaign.web.formatting import number, visible_rate

HERE = "/admin/tasks"

RESULT_WORDS = {
    "rows": "Rows in all",
    "created": "New contacts",
    "changed": "Changed contacts",
    "unchanged": "Unchanged contacts",
    "repeated": "Repeated rows",
    "refused": "Refused rows",
    "suppressed": "Suppressed, and stay so",
    "unsubscribed": "Unsubscribed, and stay so",
    "read_as_windows_1252": "Rows read as Windows-1252",
    "ignored_columns": "Columns left out",
    "contacts_gone": "Contacts gone again",
    "contacts_restored": "Contacts as they were before",
    "subscriptions_taken_back": "Taken off the list again",
    "left_changed": "Left: changed since",
    "left_imported": "Left: met by another import since",
    "left_mailed": "Left: in the send log of a mailing",
    "left_unsubscribed": "Left: unsubscribed since",
    "left_listed": "Left: put on a list in another way",
    "complete": "Complete",
    "line_count": "Lines read",
    "bytes": "Size in bytes",
    "sha256": "SHA-256",
    "old_ones_deleted": "Older backups deleted",
    "bytes_before": "Bytes of the original",
    "bytes_after": "Bytes of all widths together",
    "resolved": "Copies resolved",
    "as": "Resolved as",
    "mails": "Mails",
}
"""A result's names as the page says them; one that is not known here reads as it is stored."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of task as people read it. `subject` names what it is about, `subject_url` is where that stands.

    `tells_itself` says that the subject's page shows the task, better than its own page does.
    """

    word: str
    subject: str = ""
    subject_url: str = ""
    tells_itself: bool = False


KINDS: Mapping[str, Kind] = {
    IMPORT: Kind("Import", "the import", "/admin/imports/{}", tells_itself=True),
    UNDO_IMPORT: Kind("Undo of an import", "the import", "/admin/imports/{}", tells_itself=True),
    IMAGE: Kind("Image", "the image", "/admin/images/{}", tells_itself=True),
    PROOF: Kind("Proof", "the proof", "/admin/campaigns/{}/proof", tells_itself=True),
    RESOLVE_UNKNOWN: Kind("Unknown copies", "the unknown copies", "/admin/campaigns/{}/unknown"),
    "backup": Kind("Backup"),
    "back_up": Kind("Asking for a backup"),
    "recount": Kind("Recount"),
    "put_away": Kind("Putting away of attempts"),
    "tidy_images": Kind("Look after images"),
    REPORT: Kind("Report", "the report", "/admin/reports/{}", tells_itself=True),
    "ask_for_reports": Kind("Looking for due reports"),
}


def kind_word(kind: str) -> str:
    """The kind in words; one that is not known here reads as it is stored."""
    return KINDS[kind].word if kind in KINDS else kind.replace("_", " ").capitalize()


def subject_of(task: Task) -> tuple[str, str] | None:
    """What the task is about and its address; None where it has no page."""
    kind = KINDS.get(task.kind)
    return (kind.subject, kind.subject_url.format(task.subject_id)) if kind and task.subject_id is not None else None


def address_of(task: Task) -> str:
    """Where the task is told best."""
    subject = subject_of(task)
    return subject[1] if subject and KINDS[task.kind].tells_itself else f"{HERE}/{task.id}"


def phase(task: Task) -> str:
    """The task's state; `cancelling` while it was asked to stop and has not yet."""
    return "cancelling" if task.cancel_requested_at and task.finished_at is None else task.state.value


def task_progress(task: Task, now: datetime) -> dict[str, Any]:
    """What of a task moves by itself, for live.js; `done` once nothing does."""
    pace = tasks.pace(task, now)
    return {
        "state": phase(task),
        "done": task.finished_at is not None,
        "done_count": task.done_count,
        "total_count": task.total_count,
        "rate": visible_rate(pace.per_second),
        "seconds_left": pace.seconds_left,
        "sentence": _said(task),
    }


def result_shown(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A result as names and values in words, the known ones first."""
    names = sorted(result, key=lambda name: _PLACE.get(name, len(_PLACE)))
    return [
        (RESULT_WORDS.get(name, name.replace("_", " ").capitalize()), _value_shown(result[name]))
        for name in names
        if isinstance(result[name], str | int | float)
    ]


def _said(task: Task) -> str:
    whole = f" of {number(task.total_count)}" if task.total_count else ""
    return f"{task.title}: {number(task.done_count)}{whole} done."


def _value_shown(value: str | float) -> str:
    """A value in words, as every page writes numbers."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value if isinstance(value, str) else number(value)


_PLACE = {name: place for place, name in enumerate(RESULT_WORDS)}
