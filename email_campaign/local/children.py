"""The programs that make up the service: what each is started with, and how one sees that it serves."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

from celery import Celery

from email_campaign.local.places import CHECKOUT
from email_campaign.local.ports import is_answering
from email_campaign.local.programs import Program
from email_campaign.queue import CONTROL_QUEUE, SEND_QUEUES, WORK_QUEUE, make_app
from email_campaign.settings import Settings

SEND_THREADS = 48
"""Tasks in hand per send process; all of them share its one event loop and its SMTP connections. A thread waits and
costs little; there must be more than the slices of large campaigns that are in flight, or small ones would wait."""
CONTROL_PROCESSES = 2
"""One may wait for a lock while the other deals out."""
WORK_PROCESSES = 3
WORK_TASKS_PER_CHILD = 500
"""A renewed process gives back what imports and renders took."""
WORK_LIMIT_SECONDS = 90
"""A task lasts 60 s at most; what is still there after this hangs."""
PING_SECONDS = 0.5

_CELERY = "email_campaign.celery"


def children(settings: Settings, data_dir: Path) -> list[Program]:
    """Every program of the service but Postgres and Valkey. Starts nothing."""
    app = make_app(settings)
    send_names = [f"send{number}" for number in range(1, _send_processes(settings) + 1)]
    return [
        _inbox(settings),
        _web(settings),
        *(_worker(settings, app, name, *_send_options()) for name in send_names),
        _worker(settings, app, "control", *_prefork_options(CONTROL_QUEUE, CONTROL_PROCESSES)),
        _worker(settings, app, "work", *_prefork_options(WORK_QUEUE, WORK_PROCESSES)),
        _python(settings, "beat", _CELERY, "beat", "--schedule", str(data_dir / "beat-schedule"), "--pidfile="),
    ]


def answering_workers(app: Celery, *nodes: str) -> set[str]:
    """Which of the nodes (all, when none is named) answer now."""
    replies = app.control.ping(destination=list(nodes) or None, timeout=PING_SECONDS)
    return {node for reply in replies or () for node in reply}


def _send_processes(settings: Settings) -> int:
    """How many send processes there are: as set, else one per core."""
    return settings.send_processes or os.cpu_count() or 1


def _worker(settings: Settings, app: Celery, name: str, *options: str) -> Program:
    """A Celery worker of that node name, ready when it answers to a ping over the broker."""
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    node = f"{name}@localhost"
    return _python(
        settings,
        name,
        *(_CELERY, "worker", "-n", node, "--loglevel", settings.log_level, *options, *quiet),
        is_ready=lambda: node in answering_workers(app, node),
    )


def _send_options() -> tuple[str, ...]:
    return ("-P", "threads", "-c", str(SEND_THREADS), "-Q", ",".join(SEND_QUEUES))


def _prefork_options(queue: str, processes: int) -> tuple[str, ...]:
    pool = ("-P", "prefork", "-c", str(processes), "-Q", queue)
    return (*pool, "--max-tasks-per-child", str(WORK_TASKS_PER_CHILD), "--time-limit", str(WORK_LIMIT_SECONDS))


def _web(settings: Settings) -> Program:
    return _python(
        settings,
        "web",
        *("uvicorn", "email_campaign.web.app:app", "--loop", "uvloop", "--http", "httptools"),
        *("--host", settings.web_host, "--port", str(settings.web_port), "--no-access-log"),
        *("--timeout-graceful-shutdown", "3"),  # live numbers end at once, a long download does not
        is_ready=lambda: is_answering(settings.web_host, settings.web_port),
    )


def _inbox(settings: Settings) -> Program:
    return _python(
        settings,
        "inbox",
        "email_campaign.local.inbox",
        stop_order=1,  # workers still hand their last mails to it
        is_ready=lambda: all(
            is_answering(settings.inbox_host, port) for port in (settings.inbox_smtp_port, settings.inbox_http_port)
        ),
    )


def _python(
    settings: Settings, name: str, *module: str, stop_order: int = 0, is_ready: Callable[[], bool] = lambda: True
) -> Program:
    return Program(
        name=name,
        argv=(sys.executable, "-m", *module),
        environment={**os.environ, **_environment(settings)},
        directory=CHECKOUT,
        stop_order=stop_order,
        is_ready=is_ready,
    )


def _environment(settings: Settings) -> dict[str, str]:
    """The settings that `run` decided on, as every child reads them: they win over `.env`."""
    return {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "SECRET_KEY": settings.secret_key.get_secret_value(),
        "WEB_PORT": str(settings.web_port),
        "PUBLIC_URL": settings.public_url,
        "SMTP_HOST": settings.smtp_host,
        "SMTP_PORT": str(settings.smtp_port),
        "INBOX_SMTP_PORT": str(settings.inbox_smtp_port),
        "INBOX_HTTP_PORT": str(settings.inbox_http_port),
        "DATA_DIR": str(settings.data_dir),
        "PYTHONUNBUFFERED": "1",
    }
