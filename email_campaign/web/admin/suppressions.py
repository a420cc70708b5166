"""Pages: suppressions, the addresses that are not mailed."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy import select
from starlette.requests import Request
from starlette.responses import Response

from email_campaign.audience import suppressions
from email_campaign.audience.contacts import Contact
from email_campaign.audience.suppressions import Cause, Suppression, SuppressionReason
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.errors import Invalid
from email_campaign.web.admin import people
from email_campaign.web.admin.listing import read_listing
from email_campaign.web.deps import NowDep, PathId, SessionDep, SettingsDep
from email_campaign.web.forms import FormDep
from email_campaign.web.pages import redirect, refuse_form, render
from email_campaign.web.paging import PageDep

LIST = "admin/suppressions/list.html"
NEW = "admin/suppressions/new.html"
ONE = "admin/suppressions/suppression.html"
HERE = "/admin/suppressions"
MAX_DETAIL_CHARACTERS = 1000

router = APIRouter(prefix="/suppressions")


@router.get("")
def list_suppressions(
    request: Request,
    session: SessionDep,
    settings: SettingsDep,
    page: PageDep,
    q: Annotated[str, Query(max_length=320)] = "",
    reason: Annotated[str, Query(max_length=20)] = "",
) -> Response:
    """Suppressions, the newest first."""
    chosen = SuppressionReason(reason) if reason in list(SuppressionReason) else None
    statement = suppressions.suppressions_matching(people.address_key(settings), q)
    if chosen is not None:
        statement = statement.where(Suppression.reason == chosen)
    is_filtered = bool(q.strip() or chosen)
    listing = read_listing(request, session, statement, [Suppression.id], page, is_filtered=is_filtered)
    return render(
        request,
        LIST,
        listing=listing,
        q=q.strip(),
        reason=chosen.value if chosen else "",
        is_filtered=is_filtered,
        reasons=people.REASONS,
    )


@router.get("/new")
def new_suppression(request: Request, q: Annotated[str, Query(max_length=320)] = "") -> Response:
    """The form for an address."""
    return render(request, NEW, values={"address": q}, errors={}, form_error="", reasons=people.REASONS)


@router.post("/new")
def suppress(request: Request, session: SessionDep, settings: SettingsDep, form: FormDep, now: NowDep) -> Response:
    """Mail an address no more."""
    try:
        if form["reason"] not in list(SuppressionReason):
            raise Invalid.field("reason", "Choose a reason.")
        if len(form["detail"]) > MAX_DETAIL_CHARACTERS:
            raise Invalid.field("detail", f"The note has at most {MAX_DETAIL_CHARACTERS:,} characters.")
        cause = Cause(SuppressionReason(form["reason"]), form["detail"])
        made = suppressions.suppress(session, people.address_key(settings), form["address"], cause, now)
    except Invalid as error:
        return refuse_form(request, NEW, form, error, reasons=people.REASONS)
    session.commit()
    said = "is mailed no more" if made.created_at == now else "was suppressed already; the first reason stays"
    return redirect(request, f"{HERE}/{made.id}", f"{made.address or 'The address'} {said}.")


@router.get("/{suppression_id}")
def show_suppression(request: Request, session: SessionDep, suppression_id: PathId) -> Response:
    """Why an address is not mailed."""
    one = suppressions.get_suppression(session, suppression_id)
    contact = session.scalar(select(Contact).where(Contact.address_hash == one.address_hash))
    return render(
        request,
        ONE,
        one=one,
        word=people.REASONS[one.reason],
        sentence=people.REASON_SENTENCES[one.reason],
        contact=contact,
        campaign=session.get(Campaign, one.mailing_id) if one.mailing_id else None,
    )


@router.post("/{suppression_id}/lift")
def lift(request: Request, session: SessionDep, suppression_id: PathId) -> Response:
    """Allow an address to be mailed again."""
    address = suppressions.get_suppression(session, suppression_id).address or "The address"
    suppressions.lift_suppression(session, suppression_id)
    session.commit()
    return redirect(request, HERE, f"{address} may be mailed again.")
