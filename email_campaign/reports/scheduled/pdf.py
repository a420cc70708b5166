"""The report as a PDF: typeset by typst from `templates/reports/report.typ`, with the fonts that it brings.

What people have named is data: it goes in as JSON, and the template shows texts and reads no markup out of them.
"""

import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import typst

from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.reports.scheduled import words
from email_campaign.reports.scheduled.figures import CampaignGroup, Copies, Figures, Step
from email_campaign.reports.scheduled.report import Report

TEMPLATE = Path(__file__).parents[3] / "templates" / "reports" / "report.typ"
MEDIA_TYPE = "application/pdf"


def file_name(report: Report) -> str:
    """`weekly-report-2026-11-16.pdf`."""
    return f"{report.kind}-report-{report.first_day.isoformat()}.pdf"


def render(report: Report, figures: Figures, service_url: str) -> bytes:
    """The PDF of a report; the same figures give the same bytes. Takes some 50 ms of processor time."""
    said = json.dumps(_said(report, figures, service_url))
    pdf = typst.compile(
        TEMPLATE.read_bytes(),
        format="pdf",
        font_paths=_fonts(),
        sys_inputs={"report": said},
        timestamp=int(figures.as_of.timestamp()),
    )
    assert isinstance(pdf, bytes)  # a list where pages become files
    return pdf


@cache
def _fonts() -> typst.Fonts:
    """Those in the wheel; the machine's own only for letters that these do not have."""
    return typst.Fonts(include_system_fonts=True, include_embedded_fonts=True)


def _said(report: Report, figures: Figures, service_url: str) -> dict[str, Any]:
    """Everything that the template shows, in words."""
    people, files, machine = figures.audience, figures.imports, figures.machine
    at = report.zone
    groups = {
        "Launched in this period": figures.launched,
        "Launched before, and still on in it": figures.earlier,
    }
    shown = [state for state in words.STATES if any(group.copies.counts[state] for group in groups.values())]
    return {
        "title": report.title,
        "period": report.period.words,
        "zone": report.zone,
        "as_of": words.local_time(figures.as_of, at),
        "url": f"{service_url}/admin/reports/{report.id}",
        "headline": words.headline(figures.now),
        "trouble": words.trouble(figures),
        "compared": [[one.label, one.now, one.before, one.change] for one in words.compared(figures)],
        "steps": [_step(step) for step in figures.steps],
        "columns": ["audience", *(words.STATES[state] for state in shown)],
        "groups": [{"title": title, **_group(group, shown, at)} for title, group in groups.items() if group.lines],
        "reasons": [[words.missed_words(one), words.STATES[one.state], f"{one.count:,}"] for one in figures.reasons],
        "refusals": [
            [words.domain_words(one), words.domain_note(one), f"{one.count:,}"] for one in figures.refusals.lines
        ],
        "refusals_note": words.refusals_note(figures.refusals),
        "lists": [
            [
                one.name,
                f"{one.asked:,}",
                f"{one.confirmed:,}",
                f"{one.left:,}",
                "" if one.members is None else f"{one.members:,}",
            ]
            for one in people.lists
        ],
        "lists_sum": [f"{people.asked:,}", f"{people.confirmed:,}", f"{people.left:,}"],
        "left_by": words.shares(people.left_by, words.LEFT_BY),
        "suppressed": f"{people.suppressed:,}",
        "suppressed_for": words.shares(people.suppressed_for, words.SUPPRESSED_FOR),
        "imports": [
            [one.file_name, one.state, f"{one.rows:,}", f"{one.created:,}", f"{one.changed:,}", f"{one.refused:,}"]
            for one in files.lines
        ],
        "imports_note": words.imports_note(files),
        "failures": [
            [words.local_time(one.at, at), one.title, one.error, "works again" if one.works_again else ""]
            for one in machine.failures
        ],
        "failures_note": words.failures_note(machine),
        "halts": [[words.local_time(one.at, at), one.name, one.why] for one in machine.halts],
        "relays": machine.relays,
        "last_backup": words.local_time(machine.last_backup_at, at),
    }


def _group(group: CampaignGroup, shown: Sequence[DeliveryState], zone: str) -> dict[str, Any]:
    rows = [
        {
            "name": line.name,
            "note": f"{words.state_words(line.state)}, launched {words.local_time(line.launched_at, zone)}",
            "numbers": _numbers(line.copies, shown),
        }
        for line in group.lines
    ]
    if group.other_count:
        others = words.counted(group.other_count, "other campaign")
        rows.append({"name": others, "note": "", "numbers": _numbers(group.others, shown)})
    return {"rows": rows, "sum": _numbers(group.copies, shown)}


def _numbers(copies: Copies, shown: Sequence[DeliveryState]) -> list[str]:
    """The audience, and the states that it is the sum of; those that nobody is in are left out of all rows."""
    return [f"{count:,}" for count in (copies.audience, *(copies.counts[state] for state in shown))]


def _step(step: Step) -> dict[str, Any]:
    """A bar, in numbers to be drawn and in words for the table."""
    counts = {"accepted": step.accepted, "not_reached": step.not_reached, "open": step.still_open}
    return {"label": step.label, **counts, **{f"{name}_words": f"{count:,}" for name, count in counts.items()}}
