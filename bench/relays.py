"""Other relays: one that does not offer PIPELINING, and one that takes 50 ms for every mail."""

from bench import bare
from bench.campaign import SEND_PROCESSES, add_rows, measure, service_for
from bench.options import Options
from bench.report import Report
from bench.sinks import check_sink, running_sink, running_slow_sink
from bench.speed import add_side, one_campaign
from bench.stand import add_contacts, running_stand

NO_PIPELINING = "-p"
DELAY_SECONDS = 0.05


def run_stepwise(options: Options, report: Report) -> None:
    """Without PIPELINING, beside aiosmtplib alone, which never pipelines, in turn."""
    count = options.counted(50_000)
    runs, rates = [], []
    with running_stand() as stand:
        list_id = add_contacts(stand, count)
        for _ in range(options.repeated()):
            runs.append(one_campaign(stand, list_id, count, NO_PIPELINING))
            with running_sink(stand.lifeline, stand.folder, NO_PIPELINING) as sink:
                rates.append(bare.send(sink.port, count))
                check_sink(sink, count)
    add_side(report, "aiosmtplib, no PIPELINING", rates, count)
    add_rows(report, "no PIPELINING", runs, against="aiosmtplib, no PIPELINING")
    ratio = report.ratio("no PIPELINING", "aiosmtplib, no PIPELINING")
    report.at_least("campaign / aiosmtplib, without PIPELINING", ratio, 0.9)


def run_slow(options: Options, report: Report) -> None:
    """Every mail takes 50 ms: all connections must be busy all the time."""
    count = options.counted(40_000)
    with running_stand() as stand:
        list_id = add_contacts(stand, count)
        with running_slow_sink(stand.lifeline, stand.folder, DELAY_SECONDS) as sink:
            with service_for(stand, sink) as service:
                slow = measure(stand, service, list_id, count)
            check_sink(sink, count)
        possible = len(SEND_PROCESSES) * stand.settings.send_connections / DELAY_SECONDS
    report.add("50 ms: possible", possible, "mails/s", note=f"{stand.settings.send_connections} connections a process")
    add_rows(report, "50 ms", [slow], against="50 ms: possible")
    report.add("50 ms: steady", slow.steady_rate, "mails/s", against="50 ms: possible", note="without start and end")
    report.at_least("campaign / connections ÷ delay, at 50 ms a mail", slow.steady_rate / possible, 0.9)
