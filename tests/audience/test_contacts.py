"""Contacts are saved once per address, found by any piece of it, and forgotten on request."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.orm import Session

from email_campaign.accounts.users import User
from email_campaign.address import address_hash
from email_campaign.audience import contacts, lists, subscriptions, suppressions
from email_campaign.audience.contacts import ContactDraft
from email_campaign.audience.subscriptions import Source, SubscriptionState
from email_campaign.audience.suppressions import Cause, SuppressionReason
from email_campaign.errors import Invalid, NotFound

NOW = datetime(2026, 3, 4, 14, 0, tzinfo=UTC)
KEY = b"k" * 32

assert User.__tablename__ == "users"  # tasks and imports refer to it


def save(session: Session, address: str, **given: Any) -> contacts.SavedContact:
    return contacts.save_contact(session, KEY, ContactDraft(address, **given), NOW)


def test_one_contact_whatever_the_spelling_of_the_address(session: Session) -> None:
    first = save(session, "Ada@Example.TEST", name="Ada")
    again = save(session, " ada@example.test ", attributes={"city": "London"})
    assert (first.created, again.created) == (True, False)
    assert again.contact.id == first.contact.id
    assert (again.contact.name, again.contact.attributes) == ("Ada", {"city": "London"})
    assert again.contact.address_hash == address_hash(KEY, "ada@example.test")


def test_attributes_are_merged_and_none_removes(session: Session) -> None:
    save(session, "a@example.test", attributes={"City": "Rome", "points": 3, "tags": ["x"], "vip": True})
    changed = save(session, "a@example.test", attributes={"city": None, "points": 4}).contact
    assert changed.attributes == {"points": 4, "tags": ["x"], "vip": True}


def test_saving_the_same_again_is_no_change(session: Session) -> None:
    contact = save(session, "a@example.test", name="A", attributes={"n": 1}).contact
    later = NOW + timedelta(days=1)
    contacts.save_contact(session, KEY, ContactDraft("a@example.test", "A", {"n": 1}), later)
    assert contact.updated_at == NOW


@pytest.mark.parametrize(
    ("attributes", "field"),
    [
        ({"name": "x"}, "attributes.name"),
        ({"Unsubscribe URL": "x"}, "attributes.Unsubscribe URL"),
        ({"1st": "x"}, "attributes.1st"),
        ({"straße": "x"}, "attributes.straße"),
        ({"in": "x"}, "attributes.in"),
        ({"a": {"b": 1}}, "attributes.a"),
        ({"a": [[1]]}, "attributes.a"),
        ({"a": "x\0"}, "attributes.a"),
        ({"a": "\ud800"}, "attributes.a"),
        ({"a": float("nan")}, "attributes.a"),
        ({"a": "x" * 10_001}, "attributes.a"),
        ({"a b": 1, "a_b": 2}, "attributes.a_b"),
        ({f"a{n}": n for n in range(101)}, "attributes"),
    ],
)
def test_an_attribute_that_no_template_could_use_is_named(
    session: Session, attributes: dict[str, Any], field: str
) -> None:
    with pytest.raises(Invalid) as refused:
        save(session, "a@example.test", attributes=attributes)
    assert [problem.field for problem in refused.value.problems] == [field]


@pytest.mark.parametrize("address", ["", "nobody", "a@b", "a@example.test\nBcc: b@example.test", "ä@example.test"])
def test_a_bad_address_is_refused_with_its_field(session: Session, address: str) -> None:
    with pytest.raises(Invalid) as refused:
        save(session, address)
    assert refused.value.problems[0].field == "address"


def test_a_name_becomes_one_line(session: Session) -> None:
    assert save(session, "a@example.test", name=" Ada\r\n\tLovelace ").contact.name == "Ada Lovelace"
    with pytest.raises(Invalid, match="control character"):
        save(session, "a@example.test", name="Ada\0")


def test_search_finds_pieces_of_address_and_name_in_any_case(session: Session) -> None:
    save(session, "ada@example.test", name="Ada Lovelace")
    save(session, "bob_1%@other.test", name="Дмитрий")
    found = {
        term: [one.address for one in session.scalars(contacts.contacts_matching(term))]
        for term in ("LOVE", "amp", "дмит", "_1%", "%%%", "a", "zzz", "x", "\0")
    }
    ada, bob = ["ada@example.test"], ["bob_1%@other.test"]
    assert found["LOVE"] == found["amp"] == found["a"] == ada
    assert found["дмит"] == found["_1%"] == bob
    assert found["%%%"] == found["zzz"] == found["x"] == []
    assert len(session.scalars(contacts.contacts_matching()).all()) == 2


def test_an_erased_person_leaves_only_the_hash_of_the_suppression(session: Session) -> None:
    contact = save(session, "a@example.test").contact
    mailing_list = lists.create_list(session, "News", "", NOW)
    subscriptions.subscribe(session, contact.id, mailing_list.id, SubscriptionState.CONFIRMED, Source.HAND, "", NOW)
    cause = Cause(SuppressionReason.HARD_BOUNCE, "550 no a@example.test here")
    suppression = suppressions.suppress(session, KEY, "a@example.test", cause, NOW)
    session.commit()
    contacts.erase_contact(session, contact.id)
    session.commit()
    session.expire_all()
    assert (suppression.address, suppression.detail) == (None, "")
    assert suppressions.find_suppression(session, address_hash(KEY, "a@example.test"))
    assert session.scalars(subscriptions.members(mailing_list.id)).all() == []
    assert session.scalars(subscriptions.history_of(contact.id)).all() == []
    with pytest.raises(NotFound):
        contacts.erase_contact(session, contact.id)
