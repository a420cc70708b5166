"""Attachments: what a send worker holds while campaigns carry as much as any may, and what a small file costs."""

import os

from bench.campaign import check_ledger, draft, measure, service_for, wait_for_end
from bench.options import Options
from bench.report import Report
from bench.sinks import running_sink
from bench.stand import Stand, add_contacts, running_stand
from bench.usage import peak_bytes
from email_campaign.content.attachments import MOST_BYTES
from tests.service import Service

AT_ONCE = 3
"""Campaigns with the most that one may carry, launched together: their attachments do not fit side by side."""
FEW = 200
SMALL_BYTES = 100_000
CONNECTIONS = 64
MEMORY_MB = 200.0


def run(options: Options, report: Report) -> None:
    """Against `smtp-sink`, with twice the usual connections: the large ones at once, then one with a file of 100 kB."""
    count = options.counted(10_000)
    with running_stand() as stand:
        few, many = add_contacts(stand, FEW), add_contacts(stand, count, first=FEW)
        with (
            running_sink(stand.lifeline, stand.folder) as sink,
            service_for(stand, sink, attachments_max_bytes=MOST_BYTES, send_connections=CONNECTIONS) as service,
        ):
            send_large(stand, service, few)
            memory = max(peak_bytes(service.processes[name].pid) for name in ("send1", "send2")) / 1e6
            bare = measure(stand, service, many, count)
            with_file = measure(stand, service, many, count, file=os.urandom(SMALL_BYTES))
    note = f"the larger, at its most: {AT_ONCE} campaigns with {MOST_BYTES / 1e6:g} MB, {CONNECTIONS} connections"
    report.add("attachments: memory of a send worker", memory, "MB", note=note)
    own = ("send workers",)
    report.add("without an attachment: CPU of send workers", bare.microseconds(*own), "µs a mail")
    report.add("with 100 kB attached: CPU of send workers", with_file.microseconds(*own), "µs a mail")
    report.add("with 100 kB attached", with_file.rate, "recipients/s", note=f"{bare.rate:,.0f} without")
    report.at_most("attachments: memory of a send worker, MB", memory, MEMORY_MB)


def send_large(stand: Stand, service: Service, list_id: int) -> None:
    """Launch the large campaigns together, and wait for the last."""
    ids = [draft(service, list_id, file=os.urandom(MOST_BYTES)) for _ in range(AT_ONCE)]
    for campaign_id in ids:
        service.post(f"/campaigns/{campaign_id}/launch")
    for campaign_id in ids:
        wait_for_end(service, campaign_id)
        check_ledger(stand, campaign_id, FEW)
