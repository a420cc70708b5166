"""The peer of the Django world: fills and runs django-post-office in a database of its own on the same Postgres."""

import json
import subprocess
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psycopg

from bench import letter
from bench.report import VoidRun
from bench.sinks import Sink
from bench.stand import Stand
from email_campaign.content.language import compile_content
from email_campaign.local.places import CHECKOUT

PYTHON = CHECKOUT / ".venv-bench" / "bin" / "python"
SCRIPT = CHECKOUT / "bench" / "peers" / "django_post_office.py"
DATABASE = "post_office"
PROCESSES = 2
THREADS = 16
BATCH = 5_000
"""Far above its default of 100, so that it seldom forks anew: its best."""


class NotInstalled(Exception):
    """The peers' venv is not there; the message says how it comes."""


@dataclass(frozen=True, slots=True)
class Told:
    """What the peer says of its run."""

    seconds: float
    sent: int
    logs: int


def send(stand: Stand, sink: Sink, mails: int) -> float:
    """Mails a second from start to end of `send_queued_mail`; filling the queue, rendering included, is free."""
    if not PYTHON.exists():
        raise NotInstalled("django-post-office is not installed; `make bench` does that, or `make .venv-bench/.done`.")
    url = urlsplit(stand.conninfo)
    asked = {
        "database": {
            "NAME": DATABASE,
            "USER": url.username,
            "PASSWORD": url.password,
            "HOST": url.hostname,
            "PORT": url.port,
        },
        "smtp_port": sink.port,
        "folder": str(stand.folder),
        "processes": PROCESSES,
        "threads": THREADS,
        "batch": BATCH,
        "sender": f"{letter.FROM_NAME} <{letter.FROM_ADDRESS}>",
        "mails": _mails(mails),
    }
    with psycopg.connect(stand.conninfo, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
        try:
            ran = subprocess.run(
                [PYTHON, SCRIPT], input=json.dumps(asked), check=False, capture_output=True, text=True, cwd=stand.folder
            )
        finally:
            connection.execute(f"DROP DATABASE {DATABASE} WITH (FORCE)")
    if ran.returncode:
        raise VoidRun(f"django-post-office ended with code {ran.returncode}:\n{ran.stderr[-2000:]}")
    told = Told(**json.loads(ran.stdout))
    if told.sent != mails:
        raise VoidRun(f"The run is void: of {mails:,} mails django-post-office sent {told.sent:,}.")
    return mails / told.seconds


def _mails(count: int) -> list[dict[str, Any]]:
    content = compile_content(letter.SUBJECT, letter.HTML, letter.TEXT)
    mails: list[dict[str, Any]] = []
    for number in range(count):
        address, url = f"person.{number}@domain-{number % 97}.example", f"https://mail.example/u/{number:044x}"
        known = {"name": f"Anna Muster {number}", "address": address, "city": "Leipzig", "code": f"{number:08x}"}
        rendered = content.render({**known, "unsubscribe_url": url})
        headers = {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
        mails.append(
            {
                "address": address,
                "subject": rendered.subject,
                "text": rendered.text,
                "html": rendered.html,
                "headers": headers,
            }
        )
    return mails
