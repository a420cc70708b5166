"""The PDF: it says the figures, is the same each time, and takes names for what they are."""

import io
from dataclasses import replace
from datetime import UTC, date, datetime

from pypdf import PdfReader

from email_campaign.campaigns.mailings import MailingState
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.reports.scheduled import pdf
from email_campaign.reports.scheduled.figures import (
    Audience,
    CampaignLine,
    Copies,
    Figures,
    Headline,
    Imports,
    ListLine,
    Machine,
    Refusals,
)
from email_campaign.reports.scheduled.periods import Period, ReportKind
from email_campaign.reports.scheduled.report import Report
from email_campaign.reports.scheduled.sending_figures import group, steps

REPORT = Report(id=7, kind=ReportKind.WEEKLY, first_day=date(2026, 11, 16), zone="Europe/Zurich")
AT = datetime(2026, 11, 17, 9, tzinfo=UTC)
A4_POINTS = (595, 842)
HOSTILE = (
    '#eval("1+1")',
    "*bold* _x_ $x^2$ @ref <lab> `raw`",
    '#image("/etc/passwd")',
    '"); #panic() //',
    "\\u{41} [ ] { } = heading",
    "#" + "x" * 199,
    "\u202edrawkcab \u200f\u0645\u0631\u062d\u0628\u0627",
    "日本語 🌱",
    " ",
)


def _figures(*campaigns: tuple[str, dict[DeliveryState, int]]) -> Figures:
    lines = [
        CampaignLine(number, name, MailingState.FINISHED, AT, AT, Copies(dict.fromkeys(DeliveryState, 0) | counts))
        for number, (name, counts) in enumerate(campaigns, start=1)
    ]
    launched = group(lines)
    none = Headline(*[0] * 10)
    copies = launched.copies
    now = replace(
        none,
        campaigns=len(lines),
        audience=copies.audience,
        accepted=copies.accepted,
        not_reached=copies.not_reached,
        still_open=copies.still_open,
    )
    return Figures(
        as_of=datetime(2026, 11, 23, 6, 1, tzinfo=UTC),
        now=now,
        before=none,
        launched=launched,
        earlier=group([]),
        reasons=[],
        refusals=Refusals(0, 0, []),
        steps=steps(lines, Period(REPORT.kind, REPORT.first_day, REPORT.zone)),
        audience=Audience([], 0, 0, 0, {}, 0, {}),
        imports=Imports(0, [], 0, 0),
        machine=Machine(0, [], [], [], None),
    )


def _text(figures: Figures) -> str:
    made = pdf.render(REPORT, figures, "https://news.example.com")
    pages = PdfReader(io.BytesIO(made)).pages
    assert {(round(page.mediabox.width), round(page.mediabox.height)) for page in pages} == {A4_POINTS}
    return "\n".join(page.extract_text() for page in pages).replace("\u200b", "")


def test_the_numbers_stand_in_it_with_the_sums() -> None:
    said = _text(
        _figures(
            ("Spring", {DeliveryState.ACCEPTED: 48_000, DeliveryState.REJECTED: 150, DeliveryState.SKIPPED: 60}),
            ("Autumn", {DeliveryState.ACCEPTED: 1_000, DeliveryState.PENDING: 535, DeliveryState.SENDING: 5}),
        )
    )
    assert "16–22 November 2026" in said
    assert "23 Nov 2026, 07:01" in said  # in the report's zone
    assert "2 campaigns launched, 49,750 copies: 49,000 accepted, 210 not reached, 540 still open." in said
    assert "audience accepted rejected pending in flight skipped" in said
    for row in ("48,210 48,000 150 0 0 60", "1,540 1,000 0 535 5 0", "49,750 49,000 150 535 5 60"):
        assert row in said


def test_nothing_that_was_named_is_markup() -> None:
    figures = _figures(*((name, {DeliveryState.ACCEPTED: 1}) for name in HOSTILE))
    lists = [ListLine(1, name, 1, 1, 0, 1) for name in HOSTILE]
    said = _text(replace(figures, audience=Audience(lists, 9, 9, 0, {}, 0, {}))).replace("\n", "")
    for name in HOSTILE[:6]:
        assert said.replace(" ", "").count(name.replace(" ", "")) == 2, name
    assert "root:" not in said


def test_an_empty_period_says_so_on_one_page() -> None:
    made = pdf.render(REPORT, _figures(), "https://news.example.com")
    reader = PdfReader(io.BytesIO(made))
    said = _text(_figures())
    assert "No campaign was launched." in said
    assert "No task failed." in said
    assert "Last backup: never." in said
    assert len(reader.pages) <= 2


def test_the_pdf_of_the_past_is_the_same_to_the_byte() -> None:
    figures = _figures(("Spring", {DeliveryState.ACCEPTED: 3}))
    first = pdf.render(REPORT, figures, "https://news.example.com")
    again = pdf.render(REPORT, Figures.from_json(figures.to_json()), "https://news.example.com")
    assert first == again
    assert pdf.file_name(REPORT) == "weekly-report-2026-11-16.pdf"
