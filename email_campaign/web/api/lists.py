"""API: mailing lists and their members."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from email_campaign import queue
from email_campaign.audience import contacts, lists, subscriptions
from email_campaign.audience.lists import MailingList, MemberCounts
from email_campaign.audience.subscriptions import Source, Subscription, SubscriptionState
from email_campaign.campaigns import welcome_mail
from email_campaign.reports.welcome import welcome_mail as welcome_mail_of
from email_campaign.web import written
from email_campaign.web.deps import ApiUser, NowDep, PathId, SessionDep
from email_campaign.web.etags import TAGGED, IfMatchDep, set_etag
from email_campaign.web.idempotency import OnceDep
from email_campaign.web.paging import Page, PageDep, read_page
from email_campaign.web.welcoming import nudge_welcome

router = APIRouter(prefix="/lists", tags=["lists"])

Name = Annotated[str, Field(examples=["Newsletter"])]
Description = Annotated[str, Field(examples=["Once a month, what is new"])]
WELCOME = (
    "The template that whoever is confirmed gets once, by hand or API or by themselves; by an import only where that "
    "was asked for."
)


class ListIn(BaseModel):
    """A list to be made."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    description: Description = ""
    welcome_template_id: int | None = Field(None, description=WELCOME)


class ListPatch(BaseModel):
    """What is to be changed."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    description: Description | None = None
    welcome_template_id: int | None = Field(None, description=f"{WELCOME} Send null for no welcome mail.")


class CountsOut(BaseModel):
    """Members by state. The confirmed are the audience of a campaign."""

    model_config = ConfigDict(from_attributes=True)

    pending: int
    confirmed: int
    unsubscribed: int


class ListOut(BaseModel):
    """A mailing list."""

    id: int
    name: Name
    description: Description
    welcome_template_id: int | None = Field(description=WELCOME)
    created_at: datetime
    archived_at: datetime | None
    members: CountsOut


class MemberIn(BaseModel):
    """How a contact is to stand on the list."""

    model_config = ConfigDict(extra="forbid")

    state: Literal[SubscriptionState.PENDING, SubscriptionState.CONFIRMED] = SubscriptionState.CONFIRMED
    reason: Annotated[
        str, Field(max_length=500, description="Needed for somebody who unsubscribed.", examples=["asked by phone"])
    ] = ""


class MemberOut(BaseModel):
    """A contact's place on a list."""

    model_config = ConfigDict(from_attributes=True)

    list_id: int
    contact_id: int
    state: SubscriptionState
    created_at: datetime
    confirmed_at: datetime | None
    unsubscribed_at: datetime | None


class WelcomeOut(BaseModel):
    """The welcome mail of a list, over every mailing that it had."""

    template_id: int | None = Field(description="Null where the list has none (any more).")
    why_paused: str | None = Field(
        description="Why nobody is welcomed until it is resumed; null where it goes out.",
        examples=["The relay refuses what we send."],
    )
    sent_count: int
    waiting_count: int = Field(description="On their way, or tried again.")
    missed_count: int = Field(description="Who did not get it, or perhaps did not.")


@router.get("")
def list_lists(session: SessionDep, page: PageDep) -> Page[ListOut]:
    """Lists in use, the newest first."""
    rows = read_page(session, lists.live_lists(), [MailingList.id], page)
    counts = lists.member_counts(session, [one.id for one in rows.items])
    return Page(items=[_out(one, counts[one.id]) for one in rows.items], next=rows.next)


@router.post("", status_code=201)
def create_list(session: SessionDep, now: NowDep, once: OnceDep, wanted: ListIn) -> ListOut:
    """Make a list. 409 where a list in use has the name."""
    made = lists.create_list(session, wanted.name, wanted.description, now)
    if wanted.welcome_template_id is not None:
        welcome_mail.choose(session, made.id, wanted.welcome_template_id)
    answer = _out(made, MemberCounts())
    once.keep(201, answer)
    session.commit()
    return answer


@router.get("/{list_id}", responses=TAGGED)
def show_list(session: SessionDep, list_id: PathId, response: Response) -> ListOut:
    """A list with its counts, also an archived one."""
    one = lists.get_list(session, list_id)
    set_etag(response, written.mailing_list(one))
    return _counted(session, one)


@router.patch("/{list_id}", responses=TAGGED)
def change_list(session: SessionDep, if_match: IfMatchDep, list_id: PathId, wanted: ListPatch) -> ListOut:
    """Rename a list, describe it anew, or choose its welcome mail. Who is confirmed already is not welcomed."""
    if_match.check(written.mailing_list(lists.lock_list(session, list_id)))
    changed = lists.change_list(session, list_id, wanted.name, wanted.description)
    if "welcome_template_id" in wanted.model_fields_set:
        welcome_mail.choose(session, list_id, wanted.welcome_template_id)
    session.commit()
    if_match.answer(written.mailing_list(changed))
    return _counted(session, changed)


@router.delete("/{list_id}", status_code=204)
def archive_list(session: SessionDep, now: NowDep, if_match: IfMatchDep, list_id: PathId) -> None:
    """Take a list out of use. Members and history stay."""
    if_match.check(written.mailing_list(lists.lock_list(session, list_id)))
    lists.archive_list(session, list_id, now)
    session.commit()


@router.get("/{list_id}/welcome")
def show_welcome(session: SessionDep, list_id: PathId) -> WelcomeOut:
    """The welcome mail of a list: how many got it, and whether it goes out."""
    return _welcome(session, lists.get_list(session, list_id))


@router.post("/{list_id}/welcome/resume")
def resume_welcome(session: SessionDep, user: ApiUser, once: OnceDep, list_id: PathId) -> WelcomeOut:
    """Let a paused welcome mail go on. 404 where none was sent yet, 409 where it is not paused."""
    welcome_mail.resume_welcome(session, list_id, actor=user.name)
    answer = _welcome(session, lists.get_list(session, list_id))
    once.keep(200, answer)
    session.commit()
    queue.nudge(queue.DISPATCH)
    return answer


@router.get("/{list_id}/members")
def list_members(
    session: SessionDep, page: PageDep, list_id: PathId, state: Annotated[SubscriptionState | None, Query()] = None
) -> Page[MemberOut]:
    """The members of a list, of one state or of all."""
    lists.get_list(session, list_id)
    rows = read_page(session, subscriptions.members(list_id, state), [Subscription.contact_id], page)
    return Page(items=[MemberOut.model_validate(one) for one in rows.items], next=rows.next)


@router.put("/{list_id}/members/{contact_id}")
def subscribe_member(
    session: SessionDep, now: NowDep, list_id: PathId, contact_id: PathId, wanted: MemberIn
) -> MemberOut:
    """Put a contact on a list; the confirmed get its welcome mail, once for ever. 409 for somebody who unsubscribed,
    unless `reason` says why. Safe to repeat."""
    lists.get_live_list(session, list_id)
    contacts.get_contact(session, contact_id)
    member = subscriptions.subscribe(session, contact_id, list_id, wanted.state, Source.API, wanted.reason, now)
    session.commit()
    nudge_welcome(session, list_id)
    return MemberOut.model_validate(member)


@router.delete("/{list_id}/members/{contact_id}", status_code=204)
def unsubscribe_member(session: SessionDep, now: NowDep, list_id: PathId, contact_id: PathId) -> None:
    """Unsubscribe a contact from a list. The list remembers it, so that no import brings them back. Safe to repeat."""
    subscriptions.get_subscription(session, contact_id, list_id)
    subscriptions.unsubscribe(session, contact_id, [list_id], Source.API, "", now)
    session.commit()


def _welcome(session: Session, one: MailingList) -> WelcomeOut:
    shown = welcome_mail_of(session, one)
    return WelcomeOut(
        template_id=one.welcome_template_id,
        why_paused=shown.why_paused,
        sent_count=shown.sent_count,
        waiting_count=shown.waiting_count,
        missed_count=shown.missed_count,
    )


def _counted(session: Session, one: MailingList) -> ListOut:
    return _out(one, lists.member_counts(session, [one.id])[one.id])


def _out(one: MailingList, counts: MemberCounts) -> ListOut:
    return ListOut(
        id=one.id,
        name=one.name,
        description=one.description,
        welcome_template_id=one.welcome_template_id,
        created_at=one.created_at,
        archived_at=one.archived_at,
        members=CountsOut.model_validate(counts),
    )
