"""API: the relay that mail is handed to: how it is doing, its limits, pause and resume, and a check."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from email_campaign import queue
from email_campaign.delivery import holds, relays, slowing
from email_campaign.delivery.connect import RelayTarget
from email_campaign.delivery.relays import RelayState
from email_campaign.delivery.trial_call import call_relay
from email_campaign.reports.relay import traffic
from email_campaign.settings import Settings
from email_campaign.web import written
from email_campaign.web.api.limits import LimitSpec, LimitSpecs, read_limits
from email_campaign.web.deps import AdminApiUser, NowDep, SessionDep, SettingsDep
from email_campaign.web.etags import TAGGED, IfMatchDep, set_etag

RELAY_ID = 1
"""The one that the first migration lays down and the settings describe."""

router = APIRouter(prefix="/relay", tags=["relay"])


class RelayPatch(BaseModel):
    """What people may change about the relay."""

    model_config = ConfigDict(extra="forbid")

    limits: LimitSpecs


class PauseIn(BaseModel):
    """Why the relay is paused."""

    model_config = ConfigDict(extra="forbid")

    reason: Annotated[str, Field(max_length=300, examples=["moving to another provider"])] = ""


class RelayOut(BaseModel):
    """The relay as it is now. Where it is comes from the settings; the password is never shown."""

    name: str
    host: Annotated[str, Field(examples=["smtp.example.net"])]
    port: Annotated[int, Field(examples=[587])]
    security: Literal["none", "starttls", "tls"]
    username: Annotated[str, Field(description="Empty where nobody signs in.")]
    state: RelayState
    state_reason: str
    limits: list[LimitSpec]
    slowed_to_per_second: float | None = Field(
        description="What it is slowed to for now, since it said that it is too much."
    )
    slowed_until: datetime | None = Field(description="When it is back at its rate, if the relay takes it.")
    slowed_reason: Annotated[str, Field(examples=["421 4.7.0 too many messages"])]
    failure_count: int = Field(description="Failed connects in a row.")
    retry_at: datetime | None = Field(description="When it is tried again.")
    last_error: str
    last_error_at: datetime | None
    last_success_at: datetime | None
    worker_count: int = Field(description="Send processes that live.")
    connection_count: int = Field(description="Their open connections.")
    rate_per_second: float = Field(description="Mails of all campaigns, as measured last.")

    @classmethod
    def read(cls, session: Session, settings: Settings, at: datetime) -> Self:
        """The relay as it is now."""
        relay = relays.get(session, RELAY_ID)
        moving = traffic(session)
        fields: dict[str, Any] = {name: getattr(relay, name) for name in cls.model_fields if hasattr(relay, name)}
        return cls(
            **fields,
            host=settings.smtp_host,
            port=settings.smtp_port,
            security=settings.smtp_security,
            username=settings.smtp_username,
            worker_count=moving.worker_count,
            connection_count=moving.connection_count,
            rate_per_second=moving.rate_per_second,
            slowed_to_per_second=slowing.rate_now(relay, at),
        )


class LineOut(BaseModel):
    """A line of the conversation; credentials are not among them."""

    at: datetime
    who: Literal["we", "relay", "note"]
    text: Annotated[str, Field(examples=["250 2.1.0 Ok"])]
    is_refusal: bool


class TrialCallOut(BaseModel):
    """How the call went."""

    works: bool = Field(description="Whether the relay would have taken a mail.")
    error: Annotated[str, Field(description="Empty where it works.", examples=["The relay refused our credentials."])]
    seconds: float
    lines: list[LineOut]


@router.get("", responses=TAGGED)
def show_relay(session: SessionDep, settings: SettingsDep, now: NowDep, response: Response) -> RelayOut:
    """Whether we can send, how fast, and what the relay said last."""
    set_etag(response, written.rate_limits(relays.get(session, RELAY_ID).limits))
    return RelayOut.read(session, settings, now)


@router.patch("", responses=TAGGED)
def change_relay(
    session: SessionDep,
    settings: SettingsDep,
    now: NowDep,
    _admin: AdminApiUser,
    if_match: IfMatchDep,
    wanted: RelayPatch,
) -> RelayOut:
    """Change the limits; every send process acts on it within a second."""
    if_match.check(written.rate_limits(relays.lock(session, RELAY_ID).limits))
    changed = relays.change_limits(session, RELAY_ID, read_limits(wanted.limits), now)
    holds.release(session, "limit")
    session.commit()
    if_match.answer(written.rate_limits(changed.limits))
    queue.nudge(queue.DISPATCH)
    return RelayOut.read(session, settings, now)


@router.post("/pause")
def pause_relay(
    session: SessionDep, settings: SettingsDep, now: NowDep, admin: AdminApiUser, wanted: PauseIn
) -> RelayOut:
    """Hand nothing more over. What was handed out to the send processes may still go."""
    why = "".join(character for character in wanted.reason if character.isprintable()).strip()
    relays.pause(session, RELAY_ID, f"by {admin.name}" + (f": {why}" if why else "."))
    session.commit()
    return RelayOut.read(session, settings, now)


@router.post("/resume")
def resume_relay(session: SessionDep, settings: SettingsDep, now: NowDep, _admin: AdminApiUser) -> RelayOut:
    """Hand mail over again, and forget earlier failures."""
    relays.resume(session, RELAY_ID)
    holds.release(session, "relay")
    session.commit()
    queue.nudge(queue.DISPATCH)
    return RelayOut.read(session, settings, now)


@router.post("/try-now")
def try_relay_now(session: SessionDep, settings: SettingsDep, now: NowDep, _admin: AdminApiUser) -> RelayOut:
    """Try a relay that cannot be reached at once, and not when the wait is over: one mail goes, and if that connects,
    all. Without a mail that waits nothing happens until there is one."""
    relays.try_now(session, RELAY_ID, now)
    holds.release(session, "relay")
    session.commit()
    queue.nudge(queue.DISPATCH)
    return RelayOut.read(session, settings, now)


@router.post("/full-speed")
def go_at_full_speed(session: SessionDep, settings: SettingsDep, now: NowDep, _admin: AdminApiUser) -> RelayOut:
    """Forget that the relay said that it is too much. Its limits hold as before; if it says so again, it is slowed."""
    slowing.forget(session, RELAY_ID)
    holds.release(session, "limit")
    session.commit()
    queue.nudge(queue.DISPATCH)
    return RelayOut.read(session, settings, now)


@router.post("/test")
def call_relay_now(session: SessionDep, settings: SettingsDep, _admin: AdminApiUser) -> TrialCallOut:
    """Connect, secure, sign in and name the sender as sending does, without a mail; the whole conversation."""
    session.commit()  # no connection of the pool waits idle in a transaction
    call = call_relay(RelayTarget.from_settings(settings), settings.mail_from)
    lines = [LineOut(at=line.at, who=line.who, text=line.text, is_refusal=line.is_refusal) for line in call.lines]
    return TrialCallOut(works=not call.error, error=call.error, seconds=round(call.seconds, 3), lines=lines)
