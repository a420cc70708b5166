"""API: addresses that are not mailed."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from email_campaign.audience import suppressions
from email_campaign.audience.suppressions import Cause, Suppression, SuppressionReason
from email_campaign.signing import derive_key
from email_campaign.web.deps import NowDep, PathId, SessionDep, SettingsDep
from email_campaign.web.idempotency import OnceDep
from email_campaign.web.paging import Page, PageDep, read_page

router = APIRouter(prefix="/suppressions", tags=["suppressions"])


class SuppressionIn(BaseModel):
    """An address that is not to be mailed any more; it need not be a contact's."""

    model_config = ConfigDict(extra="forbid")

    address: Annotated[str, Field(examples=["bounced@example.com"])]
    reason: SuppressionReason = SuppressionReason.BY_HAND
    detail: Annotated[str, Field(max_length=1000, description="A note for people.", examples=["asked by letter"])] = ""


class SuppressionOut(BaseModel):
    """An address that is not mailed."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    address: Annotated[str | None, Field(description="Null after the person was erased.", examples=["b@example.com"])]
    reason: SuppressionReason
    detail: str
    mailing_id: int | None
    created_at: datetime


@router.get("")
def list_suppressions(
    session: SessionDep,
    settings: SettingsDep,
    page: PageDep,
    q: Annotated[
        str, Query(max_length=320, description="A piece of the address; a whole one finds an erased person's too.")
    ] = "",
) -> Page[SuppressionOut]:
    """Suppressions, the newest first."""
    key = derive_key(settings.secret_key.get_secret_value(), "address")
    rows = read_page(session, suppressions.suppressions_matching(key, q), [Suppression.id], page)
    return Page(items=[SuppressionOut.model_validate(one) for one in rows.items], next=rows.next)


@router.post("", status_code=201)
def suppress(
    session: SessionDep, settings: SettingsDep, now: NowDep, once: OnceDep, wanted: SuppressionIn
) -> SuppressionOut:
    """Mail an address no more. Safe to repeat: the first reason stays."""
    key = derive_key(settings.secret_key.get_secret_value(), "address")
    made = suppressions.suppress(session, key, wanted.address, Cause(wanted.reason, wanted.detail), now)
    answer = SuppressionOut.model_validate(made)
    once.keep(201, answer)
    session.commit()
    return answer


@router.get("/{suppression_id}")
def show_suppression(session: SessionDep, suppression_id: PathId) -> SuppressionOut:
    """Why an address is not mailed."""
    return SuppressionOut.model_validate(suppressions.get_suppression(session, suppression_id))


@router.delete("/{suppression_id}", status_code=204)
def lift_suppression(session: SessionDep, suppression_id: PathId) -> None:
    """Allow the address to be mailed again."""
    suppressions.lift_suppression(session, suppression_id)
    session.commit()
