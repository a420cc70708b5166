"""The daily backup: when one is due, the task that carries it, where it goes, and which of the old ones stay."""

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from email_campaign.backups.backup import write_backup
from email_campaign.backups.manifest import manifest_of
from email_campaign.clock import clock_time, utc_now
from email_campaign.errors import Conflict
from email_campaign.settings import Settings
from email_campaign.tasks.carrying import Beat
from email_campaign.tasks.outcomes import TITLES, tell_failure
from email_campaign.tasks.tasks import Task, TaskState, create_task

TASK_KIND = "backup"
AT_NIGHT = timedelta(hours=12)
"""The tick of the night makes one unless the last is younger than this: a second Beat ticks too."""
OVERDUE = timedelta(hours=25)
"""The sweep makes one when the last is as old as this: the night's message was lost, or it failed."""
BETWEEN = timedelta(hours=1)
"""After a failure it is tried again, but not all the time."""
TOLD = timedelta(hours=36)
"""Without a backup for so long, people are told; a large one may take hours."""
BACKUP_LOCK = 0x6D6267
MEGABYTE = 1_000_000

_NAME = re.compile(r"email-campaign-(\d{8}T\d{6}Z)\.dump")
_TIME = "%Y%m%dT%H%M%SZ"
_LEFT_OVER = timedelta(days=1)


def begin_if_due(session: Session, settings: Settings, now: datetime, age: timedelta) -> int | None:
    """The task of a backup that is to be made now; the door nudges it. None where none is due, or none is wanted.

    Due is it when the last whole one is older than `age`, none is being made, and none was begun in the last hour.
    """
    if settings.backup_dir is None or not _is_due(session, now, age):
        return None
    session.execute(select(func.pg_advisory_xact_lock(BACKUP_LOCK)))  # two sweeps at once make one
    if not _is_due(session, now, age):
        return None
    task = create_task(session, kind=TASK_KIND, subject_id=None, title=TITLES[TASK_KIND], created_by=None, now=now)
    task.total_count = session.scalar(
        select(Task.total_count)
        .where(Task.kind == TASK_KIND, Task.state == TaskState.SUCCEEDED, Task.total_count.is_not(None))
        .order_by(Task.id.desc())
        .limit(1)
    )
    return task.id


def look_after(session: Session, settings: Settings, now: datetime) -> int | None:
    """For the sweep: begin what the night's message did not, and tell when none came of it. The task to nudge."""
    task_id = begin_if_due(session, settings, now, OVERDUE)
    if settings.backup_dir is None or task_id is not None:
        return task_id
    first = session.scalar(select(func.min(Task.created_at)).where(Task.kind == TASK_KIND))
    since = _last_whole(session) or first
    if since is not None and since <= now - TOLD:
        tell_failure(session, TASK_KIND, f"No backup has been made since {clock_time(since)}.", now)
    return None


def make_daily(settings: Settings, beat: Beat) -> tuple[int, Mapping[str, Any]]:
    """Make the backup and let go of the old ones: megabytes, and the task's result. Raises Conflict, and as `beat`."""
    folder = folder_of(settings)
    now = utc_now()
    file = folder / name_at(now)
    made = write_backup(settings, file, now, lambda size: beat(size // MEGABYTE))
    gone = put_away_old(folder, settings.backup_keep_days, now)
    result = {"file": str(file), "bytes": made.bytes, "sha256": made.sha256, "old_ones_deleted": gone}
    return max(1, made.bytes // MEGABYTE), result


def folder_of(settings: Settings) -> Path:
    """The folder of backups, made when it is not there. Raises Conflict."""
    folder = settings.backup_dir
    if folder is None:
        raise Conflict("Set BACKUP_DIR, or name a file: there is no folder for backups.")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Conflict(f"BACKUP_DIR={folder} cannot be made: {error.strerror}.") from error
    return folder


def name_at(now: datetime) -> str:
    """What a backup of this moment is called."""
    return f"email-campaign-{now.astimezone(UTC).strftime(_TIME)}.dump"


def put_away_old(folder: Path, keep_days: int, now: datetime) -> int:
    """Delete the backups in this folder that are older than that (0: none), and halves of yesterday. How many went.

    Only files of the names that we give; the newest always stays. Safe to repeat.
    """
    for half in folder.glob(".email-campaign-*.part"):
        with suppress(FileNotFoundError):  # another backup that ends at this moment
            if datetime.fromtimestamp(half.stat().st_mtime, UTC) < now - _LEFT_OVER:
                half.unlink()
    if not keep_days:
        return 0
    named = {file: _NAME.fullmatch(file.name) for file in folder.iterdir()}
    made = {file: datetime.strptime(name[1], _TIME).replace(tzinfo=UTC) for file, name in named.items() if name}
    old = [file for file in sorted(made, key=made.__getitem__)[:-1] if made[file] < now - timedelta(days=keep_days)]
    for file in old:
        file.unlink(missing_ok=True)
        manifest_of(file).unlink(missing_ok=True)
    return len(old)


def _is_due(session: Session, now: datetime, age: timedelta) -> bool:
    going = select(Task.id).where(
        Task.kind == TASK_KIND, Task.finished_at.is_(None) | (Task.created_at > now - BETWEEN)
    )
    if session.scalar(going.limit(1)) is not None:
        return False
    last = _last_whole(session)
    return last is None or last <= now - age


def _last_whole(session: Session) -> datetime | None:
    return session.scalar(
        select(func.max(Task.created_at)).where(Task.kind == TASK_KIND, Task.state == TaskState.SUCCEEDED)
    )
