"""API: the relay that mail is handed to: how it is doing, its limit, pause and resume, and a check."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from email_campaign import queue
from email_campaign.delivery import holds, relays
from email_campaign.delivery.connect import RelayTarget
from email_campaign.delivery.relays import RelayState
from email_campaign.delivery.trial_call import call_relay
from email_campaign.reports.relay import traffic
from email_campaign.settings import Settings
from email_campaign.web.deps import AdminApiUser, NowDep, SessionDep, SettingsDep

RELAY_ID = 1
"""The one that the first migration lays down and the settings describe."""

router = APIRouter(prefix="/relay", tags=["relay"])


class RelayPatch(BaseModel):
    """The relay's limit; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    limit_count: Annotated[
        int | None, Field(description="Not more than so many mails …; null: no limit.", examples=[600])
    ] = None
    limit_seconds: Annotated[int, Field(description="… in any so many seconds.", examples=[60])] = 1


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
    limit_count: int | None
    limit_seconds: int
    failure_count: int = Field(description="Failed connects in a row.")
    retry_at: datetime | None = Field(description="When it is tried again.")
    last_error: str
    last_error_at: datetime | None
    last_success_at: datetime | None
    worker_count: int = Field(description="Send processes that live.")
    connection_count: int = Field(description="Their open connections.")
    rate_per_second: float = Field(description="Mails of all campaigns, as measured last.")

    @classmethod
    def read(cls, session: Session, settings: Settings) -> Self:
        """The relay as it is now."""
        relay = relays.get(session, RELAY_ID)
        now = traffic(session)
        fields: dict[str, Any] = {name: getattr(relay, name) for name in cls.model_fields if hasattr(relay, name)}
        return cls(
            **fields,
            host=settings.smtp_host,
            port=settings.smtp_port,
            security=settings.smtp_security,
            username=settings.smtp_username,
            worker_count=now.worker_count,
            connection_count=now.connection_count,
            rate_per_second=now.rate_per_second,
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


@router.get("")
def show_relay(session: SessionDep, settings: SettingsDep) -> RelayOut:
    """Whether we can send, how fast, and what the relay said last."""
    return RelayOut.read(session, settings)


@router.patch("")
def change_relay(
    session: SessionDep, settings: SettingsDep, now: NowDep, _admin: AdminApiUser, wanted: RelayPatch
) -> RelayOut:
    """Change the limit; every send process acts on it within a second."""
    relay = relays.get(session, RELAY_ID)
    given = wanted.model_dump(exclude_unset=True)
    count, seconds = given.get("limit_count", relay.limit_count), given.get("limit_seconds", relay.limit_seconds)
    relays.change_limit(session, RELAY_ID, count, seconds, now)
    holds.release(session, "limit")
    session.commit()
    queue.nudge(queue.DISPATCH)
    return RelayOut.read(session, settings)


@router.post("/pause")
def pause_relay(session: SessionDep, settings: SettingsDep, admin: AdminApiUser, wanted: PauseIn) -> RelayOut:
    """Hand nothing more over. What was handed out to the send processes may still go."""
    why = "".join(character for character in wanted.reason if character.isprintable()).strip()
    relays.pause(session, RELAY_ID, f"by {admin.name}" + (f": {why}" if why else "."))
    session.commit()
    return RelayOut.read(session, settings)


@router.post("/resume")
def resume_relay(session: SessionDep, settings: SettingsDep, _admin: AdminApiUser) -> RelayOut:
    """Hand mail over again, and forget earlier failures."""
    relays.resume(session, RELAY_ID)
    holds.release(session, "relay")
    session.commit()
    queue.nudge(queue.DISPATCH)
    return RelayOut.read(session, settings)


@router.post("/test")
def call_relay_now(session: SessionDep, settings: SettingsDep, _admin: AdminApiUser) -> TrialCallOut:
    """Connect, secure, sign in and name the sender as sending does, without a mail; the whole conversation."""
    session.commit()  # no connection of the pool waits idle in a transaction
    call = call_relay(RelayTarget.from_settings(settings), settings.mail_from)
    lines = [LineOut(at=line.at, who=line.who, text=line.text, is_refusal=line.is_refusal) for line in call.lines]
    return TrialCallOut(works=not call.error, error=call.error, seconds=round(call.seconds, 3), lines=lines)
