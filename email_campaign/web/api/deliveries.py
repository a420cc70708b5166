"""API: the send log: what became of every copy."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from email_campaign.campaigns import campaigns
from email_campaign.campaigns.mailings import Mailing, MailingKind
from email_campaign.delivery.attempts import Attempt
from email_campaign.delivery.compose import derive_message_id
from email_campaign.delivery.deliveries import Delivery, DeliveryState
from email_campaign.delivery.orders import derive_keys
from email_campaign.reports import queries
from email_campaign.reports.queries import Copy, Filters
from email_campaign.web.deps import PathId, SessionDep, SettingsDep
from email_campaign.web.paging import Page, PageDep, read_page

router = APIRouter(tags=["deliveries"])


class DeliveryRow(BaseModel):
    """One copy in the send log."""

    id: Annotated[str, Field(description="Mailing and position.", examples=["7-1204"])]
    contact_id: int | None = Field(description="Null for a test.")
    address: str | None = Field(description="Null once the person was erased.")
    name: str
    state: DeliveryState
    reason: Annotated[str | None, Field(description="Why it is in this state.", examples=["hard_bounce"])]
    attempt_count: int
    first_attempt_at: datetime | None
    next_attempt_at: datetime | None = Field(description="When it is tried again.")
    changed_at: datetime


class AttemptOut(BaseModel):
    """One SMTP transaction for one copy, as it is kept for ATTEMPTS_KEPT_DAYS."""

    number: int
    started_at: datetime
    finished_at: datetime
    verdict: DeliveryState
    phase: Annotated[str, Field(description="The step that brought the verdict.", examples=["rcpt"])]
    code: Annotated[int | None, Field(examples=[550])]
    enhanced_code: Annotated[str | None, Field(examples=["5.1.1"])]
    reply: Annotated[str, Field(description="What the relay said.", examples=["no such user"])]
    relay: Annotated[str, Field(examples=["relay"])]
    worker_id: int = Field(description="The send process; 0 where it was none.")
    spared: bool = Field(description="Not the recipient's fault: their retries do not count it.")
    late: bool = Field(description="Known only after the copy was taken from its worker.")
    message_sha256: str | None = Field(description="Of the bytes that were handed over.")
    variables: dict[str, Any] | None = Field(description="What the message was composed from.")


class DeliveryOut(DeliveryRow):
    """One copy with everything that was tried."""

    mailing_id: int
    kind: MailingKind
    campaign_id: int | None = Field(description="The campaign that it belongs to, also for a test.")
    message_id: Annotated[str, Field(description="The same on every attempt.", examples=["<5f1c…@example.com>"])]
    attempts: list[AttemptOut] = Field(description="The first one first.")
    attempts_put_away_at: datetime | None = Field(
        description="When attempts of its mailing became too old to be kept: those that are not here were there."
    )


class ReasonOut(BaseModel):
    """So many copies were not reached for this reason."""

    state: DeliveryState
    reason: str | None
    count: int


@router.get("/campaigns/{campaign_id}/deliveries")
def list_deliveries(
    session: SessionDep,
    settings: SettingsDep,
    page: PageDep,
    campaign_id: PathId,
    state: DeliveryState | None = None,
    reason: Annotated[str, Query(max_length=100)] = "",
    q: Annotated[str, Query(max_length=300, description="A piece of address or name, or a whole address.")] = "",
) -> Page[DeliveryRow]:
    """The campaign's copies in the order in which they go out."""
    campaigns.get(session, campaign_id)
    log = queries.deliveries_of(campaign_id, Filters(state, reason, q), derive_keys(settings).address)
    rows = read_page(session, log, [Delivery.position], page, ascending=True)
    items = [DeliveryRow(**row_fields(copy)) for copy in queries.read_copies(session, rows.items)]
    return Page(items=items, next=rows.next)


@router.get("/campaigns/{campaign_id}/reasons")
def list_reasons(session: SessionDep, campaign_id: PathId) -> list[ReasonOut]:
    """Who was not reached (yet), by state and reason, the most frequent first."""
    campaigns.get(session, campaign_id)
    reasons = queries.reasons_of(session, campaign_id)
    return [ReasonOut(state=one.state, reason=one.reason, count=one.count) for one in reasons]


@router.get("/deliveries/{delivery_id}")
def show_delivery(session: SessionDep, settings: SettingsDep, delivery_id: str) -> DeliveryOut:
    """One copy with every attempt: codes, words, step, times, relay, and what it was composed from."""
    mailing_id, position = queries.parse_delivery_id(delivery_id)
    copy = queries.get_delivery(session, mailing_id, position)
    mailing = session.get_one(Mailing, mailing_id)
    key = derive_keys(settings).message_id
    is_campaign = mailing.kind is MailingKind.CAMPAIGN
    return DeliveryOut(
        **row_fields(copy),
        mailing_id=mailing_id,
        kind=mailing.kind,
        campaign_id=mailing_id if is_campaign else mailing.campaign_id,
        message_id=derive_message_id(key, mailing_id, position, mailing.from_address),
        attempts_put_away_at=mailing.attempts_put_away_at,
        attempts=[_attempt(*row) for row in queries.attempts_of(session, mailing_id, position)],
    )


def row_fields(copy: Copy) -> dict[str, Any]:
    """The fields of a DeliveryRow."""
    delivery = copy.delivery
    return {
        "id": copy.id,
        "contact_id": delivery.contact_id,
        "address": copy.address,
        "name": copy.name,
        "state": delivery.state,
        "reason": delivery.reason,
        "attempt_count": delivery.attempt_count,
        "first_attempt_at": delivery.first_attempt_at,
        "next_attempt_at": delivery.next_attempt_at,
        "changed_at": delivery.changed_at,
    }


def _attempt(attempt: Attempt, relay: str) -> AttemptOut:
    return AttemptOut(
        number=attempt.number,
        started_at=attempt.started_at,
        finished_at=attempt.finished_at,
        verdict=DeliveryState(attempt.verdict),
        phase=attempt.phase,
        code=attempt.code,
        enhanced_code=attempt.enhanced_code,
        reply=attempt.reply,
        relay=relay,
        worker_id=attempt.worker_id,
        spared=attempt.spared,
        late=attempt.late,
        message_sha256=attempt.message_sha256.hex() if attempt.message_sha256 else None,
        variables=attempt.variables,
    )
