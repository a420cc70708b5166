"""API: the proof of a campaign, and its send log as a file that proves itself."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field

from email_campaign import queue
from email_campaign.campaigns import campaigns
from email_campaign.delivery.proof import Proof, Verdict
from email_campaign.delivery.proof_checks import Check, Tally
from email_campaign.delivery.proof_task import ask_for_proof, last_proof, proof_of
from email_campaign.errors import NotFound
from email_campaign.reports.sealed_log import Wanted
from email_campaign.tasks.tasks import Task, TaskState
from email_campaign.web.deps import ApiUser, FactoryDep, NowDep, PathId, SessionDep, SettingsDep
from email_campaign.web.downloads import LOG_MEDIA_TYPE, stream_log
from email_campaign.web.idempotency import OnceDep

router = APIRouter(prefix="/campaigns/{campaign_id}", tags=["campaigns"])


class FindingOut(BaseModel):
    """Something that does not hold."""

    delivery_id: Annotated[str | None, Field(description="Null where it is about no single copy.", examples=["7-1204"])]
    words: Annotated[str, Field(examples=["It is accepted, and no attempt says that the relay took it."])]


class CheckOut(BaseModel):
    """One statement, and what came of it."""

    check: Check
    statement: Annotated[str, Field(examples=["Every accepted copy has the attempt that was accepted."])]
    checked_count: int
    wrong_count: int
    note: str = Field(description="What is worth saying beside the numbers, or why it could not be checked.")
    found: list[FindingOut] = Field(description="The first twenty that are wrong, by delivery.")

    @classmethod
    def read(cls, tally: Tally) -> Self:
        """The check as it was counted."""
        return cls(
            check=tally.check,
            statement=tally.check.statement,
            checked_count=tally.checked_count,
            wrong_count=tally.wrong_count,
            note=tally.note,
            found=[FindingOut(delivery_id=one.delivery, words=one.words) for one in tally.found],
        )


class ProofOut(BaseModel):
    """The proof that was asked for last. Its task has the progress."""

    task_id: int
    state: TaskState
    verdict: Verdict | None = Field(description="Null until the task has succeeded.")
    began_at: datetime | None
    counts: Mapping[str, int] = Field(description="The states as they were recounted from rows.")
    checks: list[CheckOut]

    @classmethod
    def read(cls, task: Task) -> Self:
        """The task with what it found."""
        made: Proof | None = proof_of(task)
        return cls(
            task_id=task.id,
            state=task.state,
            verdict=made.verdict if made else None,
            began_at=datetime.fromisoformat(made.subject.began_at) if made else None,
            counts=made.counts if made else {},
            checks=[CheckOut.read(tally) for tally in made.tallies] if made else [],
        )


LOG_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {"description": "JSON lines, see the operations manual.", "content": {LOG_MEDIA_TYPE: {}}}
}


@router.post("/proof", status_code=202)
def ask_for_a_proof(session: SessionDep, user: ApiUser, now: NowDep, once: OnceDep, campaign_id: PathId) -> ProofOut:
    """Recount the campaign from its rows in the background; one that is under way is not begun again."""
    campaign = campaigns.get(session, campaign_id)
    task = ask_for_proof(session, campaign_id, name=campaign.name, created_by=user.id, now=now)
    answer = ProofOut.read(task)
    once.keep(202, answer)
    session.commit()
    queue.nudge(queue.HOP, task.id)
    return answer


@router.get("/proof")
def show_proof(session: SessionDep, campaign_id: PathId) -> ProofOut:
    """The proof that was asked for last: what was checked, and what does not hold."""
    campaigns.get(session, campaign_id)
    task = last_proof(session, campaign_id)
    if task is None:
        raise NotFound("This campaign was not proved yet. Ask for it with POST.")
    return ProofOut.read(task)


@router.get("/sealed-log", response_class=StreamingResponse, responses=LOG_RESPONSE)
def download_sealed_log(
    factory: FactoryDep,
    settings: SettingsDep,
    now: NowDep,
    campaign_id: PathId,
    addresses: Annotated[bool, Query(description="With addresses, and replies as they were.")] = False,
) -> StreamingResponse:
    """The send log as JSON lines in a chain, sealed, with the proof in the last one. `email-campaign prove --file`
    verifies it."""
    return stream_log(factory, Wanted(campaign_id, addresses), settings, now)
