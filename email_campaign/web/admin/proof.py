"""Pages: the proof of a campaign: does it hold, what was checked, and what does not hold."""

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from email_campaign import queue
from email_campaign.campaigns import campaigns
from email_campaign.delivery.proof import Verdict
from email_campaign.delivery.proof_task import ask_for_proof, last_proof, proof_of
from email_campaign.reports.progress import progress
from email_campaign.reports.reasons import not_reached
from email_campaign.reports.sealed_log import Wanted
from email_campaign.tasks import tasks
from email_campaign.web.admin.campaigns import HERE
from email_campaign.web.deps import FactoryDep, NowDep, PageUser, PathId, SessionDep, SettingsDep
from email_campaign.web.downloads import stream_log
from email_campaign.web.pages import redirect, render

VERDICTS = {
    Verdict.HOLDS: ("success", "It holds", "Everything was recounted from rows, and all of it is as it should be."),
    Verdict.DOES_NOT_HOLD: (
        "error",
        "It does not hold",
        "Something in the rows contradicts something else. What it is stands below; nothing was changed.",
    ),
    Verdict.NOT_CHECKED: ("warning", "It could not be checked", "Why not stands below. Check it again."),
}
"""How a verdict looks, and what it says."""

router = APIRouter(prefix="/campaigns/{campaign_id}")


@router.get("/proof")
def show_proof(request: Request, session: SessionDep, now: NowDep, campaign_id: PathId) -> Response:
    """The proof that was made last, and the one that is being made."""
    campaign = campaigns.get(session, campaign_id)
    going = progress(session, campaign.mailing, now)
    task = last_proof(session, campaign_id)
    made = proof_of(task) if task else None
    return render(
        request,
        "admin/campaigns/proof.html",
        campaign=campaign,
        going=going,
        not_reached=not_reached,
        task=task,
        pace=tasks.pace(task, now) if task else None,
        proof=made,
        said=VERDICTS[made.verdict] if made else None,
    )


@router.post("/proof")
def make_proof(request: Request, session: SessionDep, user: PageUser, now: NowDep, campaign_id: PathId) -> Response:
    """Ask for a proof; a worker makes it."""
    campaign = campaigns.get(session, campaign_id)
    task = ask_for_proof(session, campaign_id, name=campaign.name, created_by=user.id, now=now)
    session.commit()
    queue.nudge(queue.HOP, task.id)
    return redirect(request, f"{HERE}/{campaign_id}/proof")


@router.get("/log.jsonl")
def download_log(
    factory: FactoryDep, settings: SettingsDep, now: NowDep, campaign_id: PathId, addresses: bool = False
) -> Response:
    """The send log as a file that proves itself."""
    return stream_log(factory, Wanted(campaign_id, addresses), settings, now)
