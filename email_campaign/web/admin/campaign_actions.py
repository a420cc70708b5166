"""Pages: what is done with a campaign: test, schedule, send, pause, limit, retry, copy, delete.

Each is a posted form: the route commits, then nudges, then leads back to the campaign with a sentence.
"""

from typing import Self

from fastapi import APIRouter, Depends
from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response

from email_campaign import queue
from email_campaign.audience.contacts import checked_address
from email_campaign.campaigns import campaigns, launching, limits
from email_campaign.campaigns.launching import Recipient
from email_campaign.clock import clock_time
from email_campaign.delivery import holds
from email_campaign.delivery.preview import preview_campaign, rehearse
from email_campaign.delivery.retry_by_hand import MOST_AT_ONCE, Retryable, retry
from email_campaign.errors import Conflict, Invalid
from email_campaign.web import written
from email_campaign.web.admin.campaign_content import recipient_for
from email_campaign.web.admin.campaigns import HERE, draft_context, launched_context
from email_campaign.web.admin.fields import read_moment, read_whole
from email_campaign.web.collisions import Sides, collide, show_collision
from email_campaign.web.deps import FactoryDep, NowDep, PageUser, PathId, SessionDep, SettingsDep
from email_campaign.web.formatting import count, number
from email_campaign.web.forms import FormDep
from email_campaign.web.pages import redirect, refuse_form

GROWN_BY = 1.01
"""Whoever agreed to send to n people did not agree to n and half as many more, who were imported meanwhile."""

router = APIRouter(prefix="/campaigns/{campaign_id}")


def _rehearsed(
    session: SessionDep, factory: FactoryDep, settings: SettingsDep, _user: PageUser, campaign_id: PathId
) -> str:
    """Try the words out before the launch's transaction begins; what is wrong with them, or nothing."""
    session.commit()
    try:
        rehearse(factory, campaign_id, settings)
    except Invalid as error:
        return error.message
    return ""


@router.post("/launch")
def launch_campaign(
    request: Request,
    session: SessionDep,
    user: PageUser,
    now: NowDep,
    form: FormDep,
    campaign_id: PathId,
    problem: str = Depends(_rehearsed),
) -> Response:
    """Send now, to those whom the page named."""
    here = f"{HERE}/{campaign_id}"
    if problem:
        return redirect(request, here, problem, "error")
    campaign = campaigns.get(session, campaign_id)
    audience = launching.audience_count(session, campaign.mailing.list_ids)
    if audience > read_whole(form, "audience", audience) * GROWN_BY:
        grown = (
            f"Nothing was sent: the audience has grown to {number(audience)} meanwhile. Send again if that is right."
        )
        return redirect(request, here, grown, "warning")
    with _Move(request, session, campaign_id) as move:
        launching.launch(session, campaign_id, actor=user.name, now=now)
    return move.answer("On its way: the first mails leave within seconds.", queue.LAUNCH, campaign_id)


@router.post("/test")
def send_test(
    request: Request,
    session: SessionDep,
    settings: SettingsDep,
    user: PageUser,
    now: NowDep,
    form: FormDep,
    campaign_id: PathId,
) -> Response:
    """One copy to an address, with the variables of a contact, through the same ledger as every other mail."""
    campaign = campaigns.get(session, campaign_id)
    try:
        address = checked_address(form["address"])
        variables = {**recipient_for(session, campaign, form["contact"]), "address": address}
        preview_campaign(session, campaign, variables, settings, now)
        mailing = launching.send_test(session, campaign, Recipient(address, variables), actor=user.name, now=now)
    except Invalid as error:
        context = draft_context(session, settings, campaign, now, "")
        return refuse_form(request, "admin/campaigns/draft.html", form, error, refused="test", **context)
    session.commit()
    queue.nudge(queue.LAUNCH_ONE, mailing.id)
    return redirect(request, f"{HERE}/{campaign_id}", f"A test to {address} is on its way.")


@router.post("/schedule")
def schedule_campaign(
    request: Request,
    session: SessionDep,
    settings: SettingsDep,
    user: PageUser,
    now: NowDep,
    form: FormDep,
    campaign_id: PathId,
) -> Response:
    """Launch it by itself at a time; given again, the new time holds."""
    try:
        at = read_moment(form, "scheduled_at")
        campaigns.schedule(session, campaign_id, at, actor=user.name, now=now)
    except Invalid as error:
        session.rollback()
        context = draft_context(session, settings, campaigns.get(session, campaign_id), now, "")
        return refuse_form(request, "admin/campaigns/draft.html", form, error, refused="schedule", **context)
    except Conflict as error:
        return redirect(request, f"{HERE}/{campaign_id}", error.message, "warning")
    session.commit()
    return redirect(request, f"{HERE}/{campaign_id}", f"It goes out by itself at {clock_time(at)}.")


@router.post("/unschedule")
def unschedule_campaign(request: Request, session: SessionDep, user: PageUser, campaign_id: PathId) -> Response:
    """Back to a draft, also after a due launch was refused."""
    with _Move(request, session, campaign_id) as move:
        campaigns.unschedule(session, campaign_id, actor=user.name)
    return move.answer("It is a draft again and goes out when you send it.")


@router.post("/pause")
def pause_campaign(request: Request, session: SessionDep, user: PageUser, campaign_id: PathId) -> Response:
    """Once this is answered no copy begins; one a connection may still be on its way."""
    with _Move(request, session, campaign_id) as move:
        campaigns.pause(session, campaign_id, actor=user.name)
    return move.answer("Paused. Nothing goes out until you resume it.")


@router.post("/resume")
def resume_campaign(request: Request, session: SessionDep, user: PageUser, campaign_id: PathId) -> Response:
    """Go on where it was paused."""
    with _Move(request, session, campaign_id) as move:
        campaigns.resume(session, campaign_id, actor=user.name)
    return move.answer("Sending goes on.", queue.DISPATCH)


@router.post("/cancel")
def cancel_campaign(request: Request, session: SessionDep, user: PageUser, campaign_id: PathId) -> Response:
    """For good: what has not gone out does not go out."""
    with _Move(request, session, campaign_id) as move:
        campaigns.cancel(session, campaign_id, actor=user.name)
    return move.answer("Cancelled. What had not gone out does not go out.", queue.SWEEP)


@router.post("/retry")
def retry_copies(
    request: Request, session: SessionDep, user: PageUser, now: NowDep, form: FormDep, campaign_id: PathId
) -> Response:
    """Try the rejected or deferred copies again now."""
    which = next((one for one in Retryable if one == form["state"]), None)
    if which is None:
        raise Invalid.field("state", "Only rejected and deferred copies can be tried again.")
    tried = 0
    with _Move(request, session, campaign_id) as move:
        tried = retry(session, campaign_id, which, actor=user.name, now=now)
    rest = " Ask again for the rest." if tried == MOST_AT_ONCE else ""
    copies = count(tried, f"{which} copy is", f"{which} copies are")
    return move.answer(f"{copies} tried again now.{rest}", queue.DISPATCH)


@router.post("/limits")
def change_limits(request: Request, session: SessionDep, now: NowDep, form: FormDep, campaign_id: PathId) -> Response:
    """How fast it may go; holds within a second, also while it is sending."""
    try:
        wanted = limits.parse(form["limits"])
        theirs = written.rate_limits(campaigns.get_locked(session, campaign_id).mailing.limits)
        if collision := collide(form["version"], theirs, written.rate_limits(wanted)):
            session.rollback()
            sides = Sides(theirs, {"limits": form["limits"]}, {"limits": ("Mails at most", theirs["limits"])})
            context = launched_context(session, campaigns.get(session, campaign_id), now)
            return show_collision(request, "admin/campaigns/launched.html", collision, sides, **context)
        campaigns.change_limits(session, campaign_id, wanted)
    except Invalid as error:
        session.rollback()
        context = launched_context(session, campaigns.get(session, campaign_id), now)
        return refuse_form(request, "admin/campaigns/launched.html", form, error, **context)
    holds.release(session, "limit", campaign_id)
    session.commit()
    queue.nudge(queue.DISPATCH)
    return redirect(request, f"{HERE}/{campaign_id}", "This holds from now on.")


@router.post("/copy")
def copy_campaign(request: Request, session: SessionDep, user: PageUser, campaign_id: PathId) -> Response:
    """A new draft with the same words, sender and lists."""
    made = campaigns.copy(session, campaign_id, created_by=user.id, actor=user.name)
    session.commit()
    return redirect(request, f"{HERE}/{made.id}/edit", "This is the copy. It is a draft of its own.")


@router.post("/delete")
def delete_campaign(request: Request, session: SessionDep, campaign_id: PathId) -> Response:
    """Remove a campaign that was never launched."""
    name = campaigns.get(session, campaign_id).name
    campaigns.delete_draft(session, campaign_id)
    session.commit()
    return redirect(request, HERE, f"“{name}” was deleted.")


class _Move:
    """A move of the campaign that is committed when its block ends; one that is not lawful (any more) is told instead.

    Between the page and the click the campaign may have finished, or somebody else may have paused it.
    """

    def __init__(self, request: Request, session: Session, campaign_id: int) -> None:
        self._request, self._session, self._campaign_id = request, session, campaign_id
        self._refusal = ""
        campaigns.get(session, campaign_id)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> bool:
        if isinstance(error, Conflict | Invalid):
            self._session.rollback()
            reasons = [one.message for one in error.problems] if isinstance(error, Invalid) else []
            self._refusal = " ".join(reasons) or error.message
            return True
        if error is None:
            self._session.commit()
        return False

    def answer(self, done: str, nudge: str = "", *ids: int) -> Response:
        """Back to the campaign, with what was done or why it was not."""
        here = f"{HERE}/{self._campaign_id}"
        if self._refusal:
            return redirect(self._request, here, self._refusal, "warning")
        if nudge:
            queue.nudge(nudge, *ids)
        return redirect(self._request, here, done)
