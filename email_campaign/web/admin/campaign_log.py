"""Pages: the send log of a campaign, one line a copy, and the same lines as CSV."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from email_campaign.campaigns import campaigns
from email_campaign.db import SessionFactory
from email_campaign.delivery.deliveries import Delivery, DeliveryState
from email_campaign.delivery.orders import derive_keys
from email_campaign.reports import queries
from email_campaign.reports.progress import progress
from email_campaign.reports.queries import Copy, Filters
from email_campaign.reports.reasons import not_reached, reason_words
from email_campaign.web.admin.campaigns import HERE
from email_campaign.web.deps import FactoryDep, NowDep, PathId, SessionDep, SettingsDep
from email_campaign.web.formatting import machine_time
from email_campaign.web.pages import render
from email_campaign.web.paging import PageDep, PageParams, read_page

EXPORT_PAGE = 500
COLUMNS = ("delivery", "address", "name", "state", "reason", "attempts", "first_attempt_at", "changed_at")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A cell that begins with one of these is carried out by spreadsheets, and names come from strangers."""

router = APIRouter(prefix="/campaigns/{campaign_id}")


def _filters(
    state: str = "",
    reason: Annotated[str, Query(max_length=100)] = "",
    q: Annotated[str, Query(max_length=300)] = "",
) -> Filters:
    return Filters(next((one for one in DeliveryState if one == state), None), reason, q)


FiltersDep = Annotated[Filters, Depends(_filters)]


@router.get("/log")
def show_log(
    request: Request,
    session: SessionDep,
    settings: SettingsDep,
    now: NowDep,
    page: PageDep,
    campaign_id: PathId,
    filters: FiltersDep,
    first: Annotated[int, Query(ge=1)] = 1,
) -> Response:
    """What became of every copy, in the order in which they go out."""
    campaign = campaigns.get(session, campaign_id)
    log = queries.deliveries_of(campaign_id, filters, derive_keys(settings).address)
    rows = read_page(session, log, [Delivery.position], page, ascending=True)
    reasons = queries.reasons_of(session, campaign_id)
    going = progress(session, campaign.mailing, now)
    chosen = {"state": filters.state.value if filters.state else "", "reason": filters.reason, "q": filters.term}
    here = f"{HERE}/{campaign_id}/log"
    return render(
        request,
        "admin/campaigns/log.html",
        campaign=campaign,
        copies=queries.read_copies(session, rows.items),
        going=going,
        not_reached=not_reached,
        reasons=[(one, reason_words(one)) for one in sorted({r.reason for r in reasons if r.reason})],
        reason_words=reason_words,
        filters=chosen,
        states=[(one.value, one.value) for one in DeliveryState],
        matching=_matching(filters, going.counts, reasons),
        first=first,
        before=_page_url(here, chosen, rows.previous, max(1, first - page.limit)),
        after=_page_url(here, chosen, rows.next, first + len(rows.items)),
    )


@router.get("/log.csv")
def export_log(
    session: SessionDep, factory: FactoryDep, settings: SettingsDep, campaign_id: PathId, filters: FiltersDep
) -> Response:
    """Every line that matches, read page by page while it is sent."""
    campaigns.get(session, campaign_id)
    lines = _csv_lines(factory, campaign_id, filters, derive_keys(settings).address)
    name = f"campaign-{campaign_id}-log.csv"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)


def _matching(filters: Filters, counts: Mapping[DeliveryState, int], reasons: Sequence[queries.Reason]) -> int | None:
    """How many lines match; None where that would have to be counted from rows."""
    if filters.term:
        return None
    if filters.reason:
        of_state = [one for one in reasons if filters.state in (None, one.state)]
        return sum(one.count for one in of_state if one.reason == filters.reason)
    return counts[filters.state] if filters.state else sum(counts.values())


def _page_url(path: str, filters: Mapping[str, str], cursor: str | None, first: int) -> str:
    """The address of a neighbouring page; empty where there is none. `first` is the number of its first row."""
    if cursor is None:
        return ""
    chosen = {name: value for name, value in filters.items() if value}
    return f"{path}?{urlencode(chosen | {'cursor': cursor, 'first': str(first)})}"


def _csv_lines(factory: SessionFactory, campaign_id: int, filters: Filters, address_key: bytes) -> Iterator[str]:
    """A transaction a page: none lasts as long as a slow reader takes."""
    yield _csv_line(COLUMNS)
    cursor: str | None = ""
    while cursor is not None:
        with factory() as session:
            log = queries.deliveries_of(campaign_id, filters, address_key)
            rows = read_page(session, log, [Delivery.position], PageParams(EXPORT_PAGE, cursor), ascending=True)
            copies = queries.read_copies(session, rows.items)
        yield "".join(_csv_line(_cells(copy)) for copy in copies)
        cursor = rows.next


def _cells(copy: Copy) -> Sequence[str]:
    row = copy.delivery
    times = machine_time(row.first_attempt_at), machine_time(row.changed_at)
    return (copy.id, copy.address or "", copy.name, row.state, row.reason or "", str(row.attempt_count), *times)


def _csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line).writerow([f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell for cell in cells])
    return line.getvalue()
