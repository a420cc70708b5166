"""The desk at which files are handed in, imported to their end, and undone."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest

from email_campaign.accounts.users import User
from email_campaign.audience import import_undo, imports, lists
from email_campaign.audience.import_files import Upload
from email_campaign.audience.importing import IMPORT_HANDLER
from email_campaign.audience.imports import Import
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery.mailed import mailed
from email_campaign.settings import Settings
from email_campaign.tasks.running import run
from email_campaign.tasks.tasks import Task, TaskState, get_task

NOW = datetime(2026, 3, 4, 14, 0, tzinfo=UTC)
HANDLERS = {imports.TASK_KIND: IMPORT_HANDLER, import_undo.TASK_KIND: import_undo.undo_handler(mailed)}

assert User.__tablename__ == "users"  # tasks and imports refer to it


KILLED_WORKER = """
import sys
from sqlalchemy.orm import sessionmaker
from email_campaign.worker import HANDLERS
from email_campaign.db import make_engine
from email_campaign.settings import Settings
from email_campaign.tasks.running import run
settings = Settings.model_validate_json(sys.stdin.readline())
run(sessionmaker(make_engine(settings)), int(sys.argv[1]), HANDLERS, settings)
"""


@dataclass
class Desk:
    """Where files are handed in."""

    factory: SessionFactory
    settings: Settings
    list_id: int

    def start(self, content: bytes | str, **changes: Any) -> Import:
        raw = content.encode() if isinstance(content, str) else content
        given: dict[str, Any] = {
            "file_name": "people.csv",
            "stream": [raw],
            "list_id": self.list_id,
            "created_by": None,
        } | changes
        with self.factory.begin() as session:
            return imports.start_import(session, Upload(**given), self.settings, NOW)

    def finish(self, started: Import) -> Task:
        assert started.task_id is not None
        return self.carry(started.task_id)

    def carry(self, task_id: int) -> Task:
        while run(self.factory, task_id, HANDLERS, self.settings):
            pass
        with self.factory() as session:
            return get_task(session, task_id)

    def undo(self, import_id: int) -> dict[str, Any]:
        with self.factory.begin() as session:
            task_id = import_undo.begin_undo(session, import_id, created_by=None, now=utc_now()).id
        task = self.carry(task_id)
        assert task.state is TaskState.SUCCEEDED, task.error
        assert task.result is not None
        return {key: value for key, value in task.result.items() if value}

    def take(self, content: bytes | str, **changes: Any) -> dict[str, Any]:
        task = self.finish(self.start(content, **changes))
        assert task.state is TaskState.SUCCEEDED, task.error
        assert task.result is not None
        return {key: value for key, value in task.result.items() if value and key not in ("complete", "line_count")}

    def kill(self, task_id: int, at_least: int) -> None:
        """Let a process of its own carry the task until so much is done, and kill it there."""
        settings = self.settings.model_copy(update={"task_hop_seconds": 60.0, "task_lease_seconds": 60.0})
        dumped = settings.model_dump_json().replace('"**********"', '"test-secret-key-of-no-value"', 1)
        worker = subprocess.Popen([sys.executable, "-c", KILLED_WORKER, str(task_id)], stdin=subprocess.PIPE, text=True)
        assert worker.stdin is not None
        with worker:
            worker.stdin.write(dumped + "\n")
            worker.stdin.close()
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline and worker.poll() is None:
                with self.factory() as session:
                    if get_task(session, task_id).done_count >= at_least:
                        break
            assert worker.poll() is None, "the worker ended before it could be killed"
            os.kill(worker.pid, signal.SIGKILL)


@pytest.fixture
def desk(session_factory: SessionFactory, settings: Settings) -> Desk:
    with session_factory.begin() as session:
        list_id = lists.create_list(session, "News", "", NOW).id
    return Desk(session_factory, settings, list_id)
