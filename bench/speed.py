"""The product beside others, in turn on one stand: each side is run several times, and medians are compared."""

import time
from collections.abc import Callable, Sequence

from bench import bare, chapter, post_office
from bench.campaign import Run, add_rows, measure, median, service_for
from bench.options import Options
from bench.report import Report
from bench.sinks import Sink, check_sink, run_source, running_sink
from bench.stand import Stand, add_contacts, running_stand

SOURCE = ("-s", "32", "-l", "5500")
SLOW_SHARE = 10
"""Sides that are ten times slower send a tenth of the mails, so that all take about as long."""

CPU_GATE = 190.0
MEMORY_GATE = 200.0


def run(options: Options, report: Report) -> None:
    """Rows 1 to 5 with their gates."""
    count = options.counted(100_000)
    few = max(1, count // SLOW_SHARE)
    others: dict[str, tuple[int, Callable[[Stand, Sink, int], float]]] = {
        "smtp-source": (count, _smtp_source),
        "smtp-source, connections kept": (count, _smtp_source_kept),
        "aiosmtplib alone": (count, _aiosmtplib),
        "one Celery task a mail": (few, chapter.send),
        "django-post-office": (few, post_office.send),
    }
    runs: list[Run] = []
    rates: dict[str, list[float]] = {name: [] for name in others}
    with running_stand() as stand:
        list_id = add_contacts(stand, count)
        for _ in range(options.repeated()):
            runs.append(one_campaign(stand, list_id, count))
            for name, (mails, send) in others.items():
                with running_sink(stand.lifeline, stand.folder) as sink:
                    rates[name].append(send(stand, sink, mails))
                    check_sink(sink, mails)
    for name, (mails, _) in others.items():
        add_side(report, name, rates[name], mails)
    add_rows(report, "campaign", runs, against="smtp-source")
    # Microseconds are a machine's own; beside the C client's time a mail they can be compared with another machine's.
    source = 1e6 / report.rows["smtp-source"].value
    report.add("smtp-source: time a mail", source, "µs a mail")
    report.add(
        "campaign: CPU beside it", report.rows["campaign: CPU"].value, "µs a mail", against="smtp-source: time a mail"
    )
    for other, bound in (("smtp-source", 0.7), ("django-post-office", 5.0), ("one Celery task a mail", 10.0)):
        report.at_least(f"campaign / {other}", report.ratio("campaign", other), bound)
    report.at_most("campaign: CPU of send workers + Postgres, µs a mail", report.rows["campaign: CPU"].value, CPU_GATE)
    report.at_most("campaign: memory of a send worker, MB", report.rows["campaign: memory"].value, MEMORY_GATE)


def one_campaign(stand: Stand, list_id: int, count: int, *sink_options: str) -> Run:
    """A campaign with fresh workers on a fresh sink."""
    with running_sink(stand.lifeline, stand.folder, *sink_options) as sink:
        with service_for(stand, sink) as service:
            run = measure(stand, service, list_id, count)
        check_sink(sink, count)
    return run


def add_side(report: Report, name: str, rates: Sequence[float], mails: int) -> None:
    """The median of another side's runs."""
    report.add(name, median(rates), "mails/s", note=f"{mails:,} mails; {min(rates):,.0f}–{max(rates):,.0f}")


def _smtp_source(_stand: Stand, sink: Sink, mails: int) -> float:
    return _timed_source(sink, mails, *SOURCE)


def _smtp_source_kept(_stand: Stand, sink: Sink, mails: int) -> float:
    return _timed_source(sink, mails, *SOURCE, "-d")


def _timed_source(sink: Sink, mails: int, *options: str) -> float:
    started = time.perf_counter()
    run_source(sink, mails, options)
    return mails / (time.perf_counter() - started)


def _aiosmtplib(_stand: Stand, sink: Sink, mails: int) -> float:
    return bare.send(sink.port, mails)
