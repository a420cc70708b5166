"""Pages: the files that a campaign carries: chosen in its form, and saved from its pages."""

from collections.abc import Sequence

from fastapi import APIRouter
from sqlalchemy.orm import Session
from starlette.responses import Response

from email_campaign.campaigns import attaching, campaigns
from email_campaign.content.attachments import Attachment, attachments_of
from email_campaign.errors import FieldProblem, Invalid
from email_campaign.settings import Settings
from email_campaign.web.deps import PathId, SessionDep
from email_campaign.web.downloads import attached_file
from email_campaign.web.forms import Form

KEPT = "attachment_ids"
NEW = "files"

router = APIRouter(prefix="/campaigns/{campaign_id}/attachments")


@router.get("/{attachment_id}")
def download_attachment(session: SessionDep, campaign_id: PathId, attachment_id: PathId) -> Response:
    """The file itself."""
    return attached_file(attaching.find(session, campaigns.get(session, campaign_id), attachment_id))


def take_files(session: Session, form: Form, settings: Settings) -> tuple[Form, list[FieldProblem]]:
    """The form with its new files among those that are ticked, and what is wrong with the others.

    The good ones are committed at once: a form that is refused for anything comes back with them, since no browser
    sends a file twice by itself. One that is never saved is thrown away after a day.
    """
    ids, problems = form.all(KEPT), []
    for file in form.files(NEW):
        try:
            one = attaching.bring(session, file.filename or "", file.file, file.size or 0, settings)
            ids += [str(one.id)] if str(one.id) not in ids else []
        except Invalid as error:
            problems.append(FieldProblem(NEW, error.message))
    if form.files(NEW):
        session.commit()
        together = attaching.together_problem(attached(session, ids), settings)
        problems += [FieldProblem(KEPT, together)] if together else []
    return form.with_all(KEPT, ids), problems


def attached(session: Session, ids: Sequence[str]) -> list[Attachment]:
    """The files of a form, as far as they are kept."""
    return attachments_of(session, list(dict.fromkeys(int(one) for one in ids if one.isdigit() and len(one) <= 18)))
