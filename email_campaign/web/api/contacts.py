"""API: contacts, with where they are subscribed and whether they are suppressed."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from email_campaign.audience import contacts, subscriptions, suppressions
from email_campaign.audience.contacts import Contact, ContactDraft
from email_campaign.audience.subscriptions import SubscriptionState
from email_campaign.audience.suppressions import SuppressionReason
from email_campaign.delivery.erasure import erase_person
from email_campaign.signing import derive_key
from email_campaign.web import written
from email_campaign.web.deps import NowDep, PathId, SessionDep, SettingsDep
from email_campaign.web.etags import TAGGED, IfMatchDep, set_etag
from email_campaign.web.idempotency import OnceDep
from email_campaign.web.paging import Page, PageDep, read_page

router = APIRouter(prefix="/contacts", tags=["contacts"])

Name = Annotated[str, Field(examples=["Ada Lovelace"])]
Attributes = Annotated[
    dict[str, Any],
    Field(
        description="Names are variables of templates: a to z, digits and _. Values are texts, numbers, true or false, "
        "or lists of these.",
        examples=[{"city": "London", "plan": "free"}],
    ),
]


class ContactIn(BaseModel):
    """A contact to be created, or changed where its address is known."""

    model_config = ConfigDict(extra="forbid")

    address: Annotated[str, Field(examples=["ada@example.com"])]
    name: Name | None = None
    attributes: Attributes | None = Field(None, description="Merged into those that are there; null removes one.")


class ContactPatch(BaseModel):
    """What is to be changed; the address of a contact never changes."""

    model_config = ConfigDict(extra="forbid")

    name: Name | None = None
    attributes: Attributes | None = Field(None, description="Merged into those that are there; null removes one.")


class ContactOut(BaseModel):
    """A contact."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    address: Annotated[str, Field(examples=["ada@example.com"])]
    name: Name
    attributes: Attributes
    created_at: datetime
    updated_at: datetime


class ContactSubscriptionOut(BaseModel):
    """A contact's place on one list."""

    model_config = ConfigDict(from_attributes=True)

    list_id: int
    state: SubscriptionState
    created_at: datetime
    confirmed_at: datetime | None
    unsubscribed_at: datetime | None


class ContactSuppressionOut(BaseModel):
    """Why a contact is not mailed."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    reason: SuppressionReason
    detail: str
    created_at: datetime


class ContactDetailOut(ContactOut):
    """A contact, with whether we may mail them."""

    subscriptions: list[ContactSubscriptionOut]
    suppression: ContactSuppressionOut | None


@router.get("")
def list_contacts(
    session: SessionDep,
    page: PageDep,
    q: Annotated[str, Query(max_length=200, description="A piece of the address or the name.")] = "",
) -> Page[ContactOut]:
    """Contacts, the newest first."""
    rows = read_page(session, contacts.contacts_matching(q), [Contact.id], page)
    return Page(items=[ContactOut.model_validate(one) for one in rows.items], next=rows.next)


@router.post(
    "",
    status_code=201,
    responses={200: {"model": ContactDetailOut, "description": "The contact was there and is changed."}},
)
def save_contact(
    session: SessionDep, settings: SettingsDep, now: NowDep, once: OnceDep, wanted: ContactIn, response: Response
) -> ContactDetailOut:
    """Create a contact (201), or change the one that has this address (200). Safe to repeat."""
    key = derive_key(settings.secret_key.get_secret_value(), "address")
    draft = ContactDraft(wanted.address, wanted.name, wanted.attributes)
    saved = contacts.save_contact(session, key, draft, now)
    answer = _detail(session, saved.contact)
    response.status_code = 201 if saved.created else 200
    once.keep(response.status_code, answer)
    session.commit()
    return answer


@router.get("/{contact_id}", responses=TAGGED)
def show_contact(session: SessionDep, contact_id: PathId, response: Response) -> ContactDetailOut:
    """A contact, with subscriptions and suppression."""
    contact = contacts.get_contact(session, contact_id)
    set_etag(response, written.contact(contact))
    return _detail(session, contact)


@router.patch("/{contact_id}", responses=TAGGED)
def change_contact(
    session: SessionDep, now: NowDep, if_match: IfMatchDep, contact_id: PathId, wanted: ContactPatch
) -> ContactDetailOut:
    """Change name or attributes."""
    if_match.check(written.contact(contacts.lock_contact(session, contact_id)))
    changed = contacts.change_contact(session, contact_id, wanted.name, wanted.attributes, now)
    answer = _detail(session, changed)
    session.commit()
    if_match.answer(written.contact(changed))
    return answer


@router.delete("/{contact_id}", status_code=204)
def erase_contact(session: SessionDep, if_match: IfMatchDep, contact_id: PathId) -> None:
    """Forget the person. What keeps them from being mailed again stays, without the address."""
    if_match.check(written.contact(contacts.lock_contact(session, contact_id)))
    erase_person(session, contact_id)
    session.commit()


def _detail(session: Session, contact: Contact) -> ContactDetailOut:
    suppression = suppressions.find_suppression(session, contact.address_hash)
    return ContactDetailOut(
        **ContactOut.model_validate(contact).model_dump(),
        subscriptions=[
            ContactSubscriptionOut.model_validate(one) for one in subscriptions.subscriptions_of(session, contact.id)
        ],
        suppression=None if suppression is None else ContactSuppressionOut.model_validate(suppression),
    )
