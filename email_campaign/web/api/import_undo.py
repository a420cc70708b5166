"""API: undoing an import: what that would do, and doing it."""

from fastapi import APIRouter
from pydantic import BaseModel, Field

from email_campaign import queue
from email_campaign.audience import import_undo, imports
from email_campaign.delivery.mailed import mailed
from email_campaign.tasks.tasks import get_task
from email_campaign.web.api.imports import ImportOut, shown_import
from email_campaign.web.deps import ApiUser, NowDep, PathId, SessionDep
from email_campaign.web.idempotency import OnceDep

router = APIRouter(prefix="/imports/{import_id}/undo", tags=["imports"])


class UndoOut(BaseModel):
    """What an undo would do now; the result of its task has the same names."""

    is_exact: bool = Field(
        description="False for an import of more than 10,000 people: then the first two are the most that it may be, "
        "the third tells of those who were contacts before, and what stays is found out while it is done."
    )
    contacts_gone: int = Field(0, description="Contacts that the import made, and nothing else has touched since.")
    contacts_restored: int = Field(0, description="Contacts that get their earlier name and attributes back.")
    subscriptions_taken_back: int = Field(
        0, description="People who stay contacts and leave the list, or are pending on it again."
    )
    left_changed: int = Field(0, description="Stay as they are: they were changed since.")
    left_imported: int = Field(0, description="Stay as they are: another import met them since.")
    left_mailed: int = Field(0, description="Stay contacts: a mailing has them in its ledger.")
    left_unsubscribed: int = Field(0, description="Stay as they are: they unsubscribed since, which is never undone.")
    left_listed: int = Field(0, description="Stay as they are: somebody else put them on a list.")


@router.get("")
def foresee_undo(session: SessionDep, now: NowDep, import_id: PathId) -> UndoOut:
    """What an undo would do. 409 where there is nothing to undo, the import is not over, or it is being undone."""
    foreseen = import_undo.foresee(session, import_id, mailed, now)
    return UndoOut(is_exact=foreseen.is_exact, **foreseen.counts)


@router.post("", status_code=202)
def undo_import(session: SessionDep, user: ApiUser, now: NowDep, once: OnceDep, import_id: PathId) -> ImportOut:
    """Take back what the import did and nothing else has touched since, in the background (`undo_task_id`).

    Its file goes, so that it cannot be resumed. Unsubscribed and suppressed people stay so. 409 as above.
    """
    undo = import_undo.begin_undo(session, import_id, created_by=user.id, now=now)
    undone = imports.get_import(session, import_id)
    answer = shown_import(session, undone, get_task(session, undone.task_id or 0), now, undo)
    once.keep(202, answer)
    session.commit()
    queue.nudge(queue.HOP, undo.id)
    return answer
