"""Contacts: the people whom we may mail."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Index, Select, delete, func, select, update
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.address import BadAddress, address_hash, normalise
from email_campaign.audience.attributes import MAX_ATTRIBUTES, check_attributes
from email_campaign.audience.import_contacts import forget_met
from email_campaign.audience.search import contains
from email_campaign.audience.suppressions import Suppression
from email_campaign.db import Base, BigId, CreatedAt
from email_campaign.errors import Invalid, NotFound

MAX_NAME_CHARACTERS = 200
_CONTROL = re.compile("[\0-\x1f\x7f-\x9f\ud800-\udfff]")


class Contact(Base):
    """One person. The address is who the contact is and never changes: a new address is a new contact.

    `address` is in the spelling of `address.normalise`; `address_hash` stands for it in the ledger and in suppressions.
    """

    __tablename__ = "contacts"
    __table_args__ = (
        Index(
            "ix_contacts_search",
            "address",
            "name",
            postgresql_using="gin",
            postgresql_ops={"address": "gin_trgm_ops", "name": "gin_trgm_ops"},
        ),
        Index(None, "address_hash", unique=True),
    )

    id: Mapped[BigId]
    address: Mapped[str] = mapped_column(unique=True)
    address_hash: Mapped[bytes]
    name: Mapped[str] = mapped_column(server_default="")
    attributes: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default="{}")
    created_at: Mapped[CreatedAt]
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now())


@dataclass(frozen=True, slots=True)
class ContactDraft:
    """What somebody says about a contact: None leaves what is there; attributes are merged, a None in them removes."""

    address: str
    name: str | None = None
    attributes: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class SavedContact:
    """The contact as it stands now, and whether it is new."""

    contact: Contact
    created: bool


def save_contact(session: Session, address_key: bytes, draft: ContactDraft, now: datetime) -> SavedContact:
    """Create the contact of this address, or change the one that is there. Safe to repeat. Raises Invalid."""
    address = checked_address(draft.address)
    name = None if draft.name is None else clean_name(draft.name)
    attributes = check_attributes(draft.attributes or {})
    added = session.scalar(
        insert(Contact)
        .values(
            address=address, address_hash=address_hash(address_key, address), name="", created_at=now, updated_at=now
        )
        .on_conflict_do_nothing(index_elements=[Contact.address])
        .returning(Contact.id)
    )
    contact = session.scalars(select(Contact).where(Contact.address == address).with_for_update()).one()
    _change(contact, name, attributes, now)
    session.flush()
    return SavedContact(contact, created=added is not None)


def change_contact(
    session: Session, contact_id: int, name: str | None, attributes: Mapping[str, Any] | None, now: datetime
) -> Contact:
    """Change name and attributes as `save_contact` does. Raises NotFound, Invalid."""
    contact = lock_contact(session, contact_id)
    _change(contact, None if name is None else clean_name(name), check_attributes(attributes or {}), now)
    session.flush()
    return contact


def get_contact(session: Session, contact_id: int) -> Contact:
    """Raises NotFound."""
    contact = session.get(Contact, contact_id)
    if contact is None:
        raise _no_contact(contact_id)
    return contact


def lock_contact(session: Session, contact_id: int) -> Contact:
    """As `get_contact`, under a row lock and read afresh: who saves it meanwhile waits."""
    contact = session.get(Contact, contact_id, with_for_update=True, populate_existing=True)
    if contact is None:
        raise _no_contact(contact_id)
    return contact


def contacts_matching(term: str = "") -> Select[Contact]:
    """Contacts with the term in address or name, unordered; all of them without a term. Keyset pages go by id."""
    query = select(Contact)
    return query.where(contains(term.strip(), Contact.address, Contact.name)) if term.strip() else query


def erase_contact(session: Session, contact_id: int) -> None:
    """Forget the person: contact, subscriptions and their history go, a suppression keeps only the hash.

    The ledger of deliveries keeps its hash too, so that a running campaign does not mail them again. Raises NotFound.
    """
    erased = session.scalar(delete(Contact).where(Contact.id == contact_id).returning(Contact.address_hash))
    if erased is None:
        raise _no_contact(contact_id)
    forget_met(session, contact_id)
    session.execute(update(Suppression).where(Suppression.address_hash == erased).values(address=None, detail=""))


def checked_address(text: str) -> str:
    """The normalised address. Raises Invalid for the field `address`."""
    try:
        return normalise(text)
    except BadAddress as error:
        raise Invalid.field("address", str(error)) from error


def clean_name(text: str) -> str:
    """The name on one line with single blanks, ready for a mail header. Raises Invalid for the field `name`."""
    name = " ".join(text.split())
    if len(name) > MAX_NAME_CHARACTERS:
        raise Invalid.field("name", f"The name has {len(name):,} characters; at most {MAX_NAME_CHARACTERS} are kept.")
    if _CONTROL.search(name):
        raise Invalid.field("name", "The name contains a control character.")
    return name


def _change(contact: Contact, name: str | None, attributes: Mapping[str, Any], now: datetime) -> None:
    merged = {**contact.attributes, **attributes}
    merged = {key: value for key, value in merged.items() if value is not None}
    if len(merged) > MAX_ATTRIBUTES:
        message = f"A contact has at most {MAX_ATTRIBUTES} attributes; this one would have {len(merged)}."
        raise Invalid.field("attributes", message)
    if (name is None or name == contact.name) and merged == contact.attributes:
        return
    contact.name = contact.name if name is None else name
    contact.attributes = merged
    contact.updated_at = now


def _no_contact(contact_id: int) -> NotFound:
    return NotFound(f"There is no contact {contact_id}.")
