"""Fairness: an audience of a million is launched, and beside it a campaign of 500 and mails that people wait for."""

import time
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import TextClause, text

from bench import letter
from bench.campaign import draft, service_for
from bench.options import Options
from bench.report import Report, VoidRun
from bench.scale_tables import fill_contacts, fill_list
from bench.sinks import running_sink
from bench.stand import Stand, running_stand
from bench.usage import peak_bytes
from tests.service import Service

AUDIENCE = 1_000_000
SMALL = 500
SYSTEM_MAILS = 60
PATIENCE_SECONDS = 120.0
FIRST_MAIL_SECONDS = 2.0
SMALL_FIRST_SECONDS, SMALL_LAST_SECONDS = 5.0, 30.0
SYSTEM_SECONDS = 1.0
MEMORY_MB = 200.0


def run(options: Options, report: Report) -> None:
    """Launch all three, and read from the send log when their mails left."""
    size = options.counted(AUDIENCE)
    with running_stand() as stand:
        engine = stand.factory.kw["bind"]
        fill_contacts(engine, 1, size + SMALL)
        large = fill_list(engine, "Everybody", 1, size)
        small = fill_list(engine, "A few", size + 1, size + SMALL)
        with running_sink(stand.lifeline, stand.folder) as sink, service_for(stand, sink) as service:
            large_id, small_id = draft(service, large), draft(service, small)
            first = launch_large(stand, service, large_id)
            small_first, small_last = launch_small(stand, service, small_id)
            system = send_system_mails(stand, service, small_id)
            memory = max(peak_bytes(service.processes[name].pid) for name in ("send1", "send2")) / 1e6
            if told(stand, large_id) != "sending":
                raise VoidRun("The large campaign was finished too soon: take a larger --count.")
    report.add("launch → first mail", first, "s", note=f"audience {size:,}, from the request to the first body")
    report.add("small campaign → first mail", small_first, "s", note=f"{SMALL} beside {size:,}")
    report.add("small campaign → finished", small_last, "s")
    worst = system[min(len(system) - 1, int(len(system) * 0.99))]
    report.add("system mail", worst, "s, p99", note=f"of {len(system)}; median {system[len(system) // 2]:.3f} s")
    report.add("memory of a send worker", memory, "MB", note=f"the larger, at its most, audience {size:,}")
    report.at_most("launch → first mail, s", first, FIRST_MAIL_SECONDS)
    report.at_most("small campaign → first mail, s", small_first, SMALL_FIRST_SECONDS)
    report.at_most("small campaign → finished, s", small_last, SMALL_LAST_SECONDS)
    report.at_most("system mail, s, p99", worst, SYSTEM_SECONDS)
    report.at_most("memory of a send worker, MB", memory, MEMORY_MB)


def launch_large(stand: Stand, service: Service, campaign_id: int) -> float:
    """Seconds from the request to the first mail that was accepted."""
    began = now(stand)
    service.post(f"/campaigns/{campaign_id}/launch")
    wait(stand, _SENT, campaign_id, "its first mail")
    return seconds(stand, _FIRST, campaign_id, began)


def launch_small(stand: Stand, service: Service, campaign_id: int) -> tuple[float, float]:
    """Seconds from the request to its first mail, and until it is finished."""
    began = now(stand)
    service.post(f"/campaigns/{campaign_id}/launch")
    wait(stand, _FINISHED, campaign_id, "its end")
    return seconds(stand, _FIRST, campaign_id, began), seconds(stand, _FINISHED, campaign_id, began)


def send_system_mails(stand: Stand, service: Service, campaign_id: int) -> Sequence[float]:
    """Seconds from the request until each was accepted, in order. A test takes the way of every system mail."""
    taken = []
    for number in range(SYSTEM_MAILS):
        began = now(stand)
        address = f"person.{number}@{letter.FROM_ADDRESS.partition('@')[2]}"
        mailing_id = service.post(f"/campaigns/{campaign_id}/test", address=address)["mailing_id"]
        wait(stand, _SENT, mailing_id, "a system mail")
        taken.append(seconds(stand, _FIRST, mailing_id, began))
    return sorted(taken)


def told(stand: Stand, campaign_id: int) -> str:
    """The campaign's state."""
    with stand.factory() as session:
        return str(session.scalar(text("SELECT state FROM mailings WHERE id = :id"), {"id": campaign_id}))


def now(stand: Stand) -> datetime:
    """By the clock of the database."""
    with stand.factory() as session:
        at: datetime = session.execute(text("SELECT clock_timestamp()")).scalar_one()
    return at


def wait(stand: Stand, query: TextClause, mailing_id: int, what: str) -> None:
    """Until the query answers with something. Raises VoidRun."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with stand.factory() as session:
            if session.scalar(query, {"id": mailing_id}):
                return
        if time.monotonic() > deadline:
            raise VoidRun(f"Mailing {mailing_id} did not come to {what} within {PATIENCE_SECONDS:g} s.")
        time.sleep(0.02)


def seconds(stand: Stand, query: TextClause, mailing_id: int, since: datetime) -> float:
    """From then to the time that the query tells."""
    with stand.factory() as session:
        at: datetime = session.execute(query, {"id": mailing_id}).scalar_one()
    return (at - since).total_seconds()


_SENT = text("SELECT true FROM attempts WHERE mailing_id = :id LIMIT 1")
_FIRST = text("SELECT min(finished_at) FROM attempts WHERE mailing_id = :id")
_FINISHED = text("SELECT finished_at FROM mailings WHERE id = :id")
