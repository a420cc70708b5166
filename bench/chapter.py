"""How books tell it: one Celery task per mail, which renders, opens a connection, sends and hangs up. No ledger."""

import os
import smtplib
import sys
import time
from email.message import EmailMessage
from functools import cache

from celery import Celery
from jinja2 import Environment, Template

from bench import letter
from bench.sinks import Sink
from bench.stand import Stand
from email_campaign.local.children import answering_workers
from email_campaign.local.places import CHECKOUT
from email_campaign.local.programs import Program, running

PROCESSES = 2
LOOK_SECONDS = 0.02
STALL_SECONDS = 60.0
QUEUE = "chapter"
NODE = "chapter@localhost"

app = Celery("chapter", broker=os.environ.get("BENCH_BROKER"))
app.conf.update(task_ignore_result=True, task_default_queue=QUEUE, worker_hijack_root_logger=True)


@app.task(name="chapter.send_mail")
def send_mail(address: str, name: str, code: str) -> None:
    """One mail."""
    url = f"https://mail.example/u/{code:0>44}"
    known = {"name": name, "address": address, "city": "Leipzig", "code": code, "unsubscribe_url": url}
    subject, text, html = _templates()
    message = EmailMessage()
    message["Subject"] = subject.render(known)
    message["From"] = f"{letter.FROM_NAME} <{letter.FROM_ADDRESS}>"
    message["To"] = f"{name} <{address}>"
    message["List-Unsubscribe"] = f"<{url}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(text.render(known))
    message.add_alternative(html.render(known), subtype="html")
    with smtplib.SMTP("127.0.0.1", int(os.environ["BENCH_SMTP_PORT"])) as client:
        client.send_message(message)


def send(stand: Stand, sink: Sink, mails: int) -> float:
    """Mails a second from the first task published to the last mail taken, with Celery's default pool (prefork)."""
    broker = stand.settings.redis_url.removesuffix("/0") + "/1"  # a database of its own
    launcher = Celery("launcher", broker=broker)
    program = Program(
        name="chapter",
        argv=(
            *(sys.executable, "-m", "celery", "-A", "bench.chapter", "worker", "-n", NODE),
            *("-c", str(PROCESSES), "--loglevel", "WARNING"),
        ),
        environment={**os.environ, "BENCH_BROKER": broker, "BENCH_SMTP_PORT": str(sink.port)},
        directory=CHECKOUT,
        is_ready=lambda: NODE in answering_workers(launcher, NODE),
    )
    with running(stand.lifeline, program, stand.folder / "chapter.log"):
        started = time.perf_counter()
        for number in range(mails):
            person = (f"person.{number}@domain-{number % 97}.example", f"Anna Muster {number}", f"{number:08x}")
            launcher.send_task(send_mail.name, person, queue=QUEUE, ignore_result=True)
        _wait(sink, mails)
        seconds = time.perf_counter() - started
    launcher.close()
    return mails / seconds


def _wait(sink: Sink, mails: int) -> None:
    """Until the sink has them all, or nothing moves any more (then the caller's check of the sink fails)."""
    seen, moved_at = -1, time.monotonic()
    while (now := sink.count()) < mails and time.monotonic() - moved_at < STALL_SECONDS:
        if now != seen:
            seen, moved_at = now, time.monotonic()
        time.sleep(LOOK_SECONDS)


@cache
def _templates() -> tuple[Template, Template, Template]:
    escaping, plain = Environment(autoescape=True), Environment(autoescape=False)
    return (
        plain.from_string(letter.SUBJECT),
        plain.from_string(letter.TEXT),
        escaping.from_string(letter.HTML),
    )
