"""A campaign end to end: launched over the REST API, sent by the real send workers, with the whole ledger."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from bench import letter
from bench.options import Options
from bench.profiles import Sampling, sampling
from bench.report import Report, VoidRun
from bench.sinks import Sink, check_sink, running_sink
from bench.stand import Stand, add_contacts, analyse, running_stand
from bench.usage import cpu_seconds, peak_bytes
from email_campaign.clock import utc_now
from tests.service import Service, running_service

SEND_PROCESSES = ("send1", "send2")
LOOK_SECONDS = 1.0
STALL_SECONDS = 60.0
"""A campaign whose counts stand still for so long is given up."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one campaign took."""

    count: int
    seconds: float
    cpu: dict[str, float]
    """Seconds of processor time from launch to finish, by kind of process."""
    peaks: tuple[int, ...]
    """Bytes that each send worker held at most."""
    commits: int
    wal_bytes: int
    steady_rate: float
    """Mails a second between the first and the last tenth: without start and end."""

    @property
    def rate(self) -> float:
        """Recipients a second, from the launch to the finish."""
        return self.count / self.seconds

    def microseconds(self, *kinds: str) -> float:
        """Processor time a mail of these kinds of processes."""
        return sum(self.cpu[kind] for kind in kinds) / self.count * 1e6


def run(options: Options, report: Report) -> None:
    """One campaign alone, against `smtp-sink`; with `--profile`, where the send workers' time went."""
    count = options.counted(100_000)
    with running_stand() as stand:
        list_id = add_contacts(stand, count)
        watched = sampling(stand.folder / "samples") if options.profile else nullcontext()
        with running_sink(stand.lifeline, stand.folder) as sink, watched as samples:
            with service_for(stand, sink) as service:
                one = measure(stand, service, list_id, count, samples)
                told = samples.tell(len(SEND_PROCESSES), count) if samples else ""
            check_sink(sink, count)
    add_rows(report, "campaign", [one])
    if options.profile:
        options.profile.parent.mkdir(exist_ok=True)
        options.profile.write_text(told + "\n")
        print(f"\n{told}\n\n(kept in {options.profile})")


@contextmanager
def service_for(stand: Stand, sink: Sink, **update: Any) -> Iterator[Service]:
    """Web, two send workers, the other workers and Beat with the product's own settings, on this sink."""
    with running_service(stand.settings, stand.lifeline, stand.folder, ("127.0.0.1", sink.port), **update) as service:
        yield service


def measure(
    stand: Stand, service: Service, list_id: int, count: int, samples: Sampling | None = None, *, file: bytes = b""
) -> Run:
    """Draft and launch a campaign to the list, wait for its end, check that its numbers add up. Raises VoidRun."""
    campaign_id = draft(service, list_id, file)
    analyse(stand)
    roots = _roots(stand, service)
    before, written = _cpu(roots), _written(stand)
    with samples.sampled() if samples else nullcontext():
        launched = utc_now()
        service.post(f"/campaigns/{campaign_id}/launch")
        finished = wait_for_end(service, campaign_id)
        after = _cpu(roots)
    commits, wal_bytes = (now - then for now, then in zip(_written(stand), written, strict=True))
    check_ledger(stand, campaign_id, count)
    return Run(
        count=count,
        seconds=(finished - launched).total_seconds(),
        cpu={kind: after[kind] - before[kind] for kind in roots},
        peaks=tuple(peak_bytes(service.processes[name].pid) for name in SEND_PROCESSES),
        commits=commits,
        wal_bytes=wal_bytes,
        steady_rate=_steady_rate(stand, campaign_id),
    )


def draft(service: Service, list_id: int, file: bytes = b"", **fields: Any) -> int:
    """A campaign with the benchmarks' letter and perhaps a file, not launched; its id."""
    unique = time.monotonic_ns()
    words = {"subject": letter.SUBJECT, "html": letter.HTML, "text": letter.TEXT}
    template_id = service.post("/templates", name=f"Letter {unique}", **words)["id"]
    sender = {"from_name": letter.FROM_NAME, "from_address": letter.FROM_ADDRESS}
    draft = {"template_id": template_id, "list_ids": [list_id], **sender, **fields}
    campaign_id = int(service.post("/campaigns", name=f"Campaign {unique}", **draft)["id"])
    if file:
        answer = service.api.post(f"/campaigns/{campaign_id}/attachments", files={"file": ("prices.pdf", file)})
        answer.raise_for_status()
    return campaign_id


def wait_for_end(service: Service, campaign_id: int) -> datetime:
    """When the campaign finished. Raises VoidRun when nothing moves any more."""
    seen, moved_at = None, time.monotonic()
    while (now := service.get(f"/campaigns/{campaign_id}"))["state"] != "finished":
        if now["counts"] != seen:
            seen, moved_at = now["counts"], time.monotonic()
        if time.monotonic() - moved_at > STALL_SECONDS:
            raise VoidRun(f"The campaign stands still: {now}")
        time.sleep(LOOK_SECONDS)
    return datetime.fromisoformat(now["finished_at"])


def check_ledger(stand: Stand, campaign_id: int, count: int) -> None:
    """Everybody was accepted at the first attempt, by rows, by counters and by the send log. Raises VoidRun."""
    with stand.factory() as session:
        told = session.execute(_LEDGER, {"id": campaign_id}).one()._asdict()
    if wrong := {what: number for what, number in told.items() if number != count}:
        raise VoidRun(f"The run is void: of {count:,} copies the ledger tells {wrong}.")


def add_rows(report: Report, name: str, runs: Sequence[Run], against: str | None = None) -> None:
    """The medians of some runs, under names that begin with `name`."""
    rates = sorted(run.rate for run in runs)
    spread = f"{runs[0].count:,} recipients" + (f"; {rates[0]:,.0f}–{rates[-1]:,.0f}" if len(runs) > 1 else "")
    report.add(name, median(rates), "recipients/s", against=against, note=spread)
    for kind in runs[0].cpu:
        report.add(f"{name}: CPU of {kind}", median([run.microseconds(kind) for run in runs]), "µs a mail")
    own = [run.microseconds("send workers", "Postgres") for run in runs]
    report.add(f"{name}: CPU", median(own), "µs a mail", note="send workers + Postgres")
    peak = max(peak for run in runs for peak in run.peaks)
    report.add(f"{name}: memory", peak / 1e6, "MB", note="the larger send worker, at its most")
    report.add(f"{name}: mails a commit", median([run.count / run.commits for run in runs]), "mails")
    report.add(f"{name}: WAL", median([run.wal_bytes / run.count for run in runs]), "bytes a mail")


def _roots(stand: Stand, service: Service) -> dict[str, list[int]]:
    own = {name: process.pid for name, process in service.processes.items()}
    return {
        "send workers": [own[name] for name in SEND_PROCESSES],
        "Postgres": [stand.postgres.pid],
        "workers and Beat": [own["control"], own["work"], own["beat"]],
        "Valkey": [stand.valkey.pid],
        "web": [own["web"]],
    }


def _cpu(roots: dict[str, list[int]]) -> dict[str, float]:
    return {kind: sum(map(cpu_seconds, pids)) for kind, pids in roots.items()}


def _written(stand: Stand) -> tuple[int, int]:
    with stand.factory() as session:
        commits, wal_bytes = session.execute(_WRITTEN).one()
    return int(commits), int(wal_bytes)


def _steady_rate(stand: Stand, campaign_id: int) -> float:
    with stand.factory() as session:
        return float(session.execute(_STEADY, {"id": campaign_id}).scalar_one())


def median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


_WRITTEN = text("""
SELECT pg_stat_get_db_xact_commit(oid), pg_current_wal_lsn() - '0/0'::pg_lsn
FROM pg_database WHERE datname = current_database()
""")

_STEADY = text("""
SELECT 0.8 * count(*) / extract(epoch FROM percentile_disc(0.9) WITHIN GROUP (ORDER BY finished_at)
    - percentile_disc(0.1) WITHIN GROUP (ORDER BY finished_at))
FROM attempts WHERE mailing_id = :id
""")

_LEDGER = text("""
SELECT
    (SELECT enrolled_count FROM mailings WHERE id = :id) AS enrolled,
    (SELECT count(*) FROM deliveries WHERE mailing_id = :id AND state = 'accepted') AS accepted,
    (SELECT count(*) FROM deliveries WHERE mailing_id = :id) AS deliveries,
    (SELECT sum(count) FROM counters WHERE mailing_id = :id AND state = 'accepted') AS counted,
    (SELECT count(*) FROM attempts WHERE mailing_id = :id AND verdict = 'accepted') AS attempts
""")
