"""Live lists have names of their own, and their members are counted by state."""

from datetime import UTC, datetime

import pytest
from sqlalchemy.orm import Session

from email_campaign.audience import contacts, lists, subscriptions
from email_campaign.audience.contacts import ContactDraft
from email_campaign.audience.lists import MemberCounts
from email_campaign.audience.subscriptions import Source, SubscriptionState
from email_campaign.errors import Conflict, Invalid, NotFound

NOW = datetime(2026, 3, 4, 14, 0, tzinfo=UTC)


def test_two_live_lists_never_share_a_name_and_an_archived_one_frees_it(session: Session) -> None:
    first = lists.create_list(session, " The  news ", "weekly", NOW)
    assert first.name == "The news"
    with pytest.raises(Conflict, match="THE NEWS"):
        lists.create_list(session, "THE NEWS", "", NOW)
    lists.archive_list(session, first.id, NOW)
    second = lists.create_list(session, "The news", "", NOW)
    assert [one.id for one in session.scalars(lists.live_lists())] == [second.id]


def test_a_list_is_renamed_and_described_anew(session: Session) -> None:
    made = lists.create_list(session, "News", "old", NOW)
    other = lists.create_list(session, "Offers", "", NOW)
    assert lists.change_list(session, made.id, "Daily news", None).description == "old"
    with pytest.raises(Conflict, match="daily NEWS"):
        lists.change_list(session, other.id, "daily NEWS", None)


def test_an_archived_list_takes_part_in_nothing_new(session: Session) -> None:
    made = lists.create_list(session, "News", "", NOW)
    assert lists.archive_list(session, made.id, NOW).archived_at == NOW
    assert lists.archive_list(session, made.id, datetime.now(UTC)).archived_at == NOW
    with pytest.raises(Conflict, match="archived"):
        lists.get_live_list(session, made.id)


@pytest.mark.parametrize("name", ["", "  ", "x" * 121, "a\0b", "a\u202eb"])
def test_a_name_that_cannot_be_shown_is_refused(session: Session, name: str) -> None:
    with pytest.raises(Invalid) as refused:
        lists.create_list(session, name, "", NOW)
    assert refused.value.problems[0].field == "name"


def test_a_list_that_is_not_there_is_said(session: Session) -> None:
    with pytest.raises(NotFound):
        lists.get_list(session, 404)


def test_members_are_counted_by_state(session: Session) -> None:
    full, empty = lists.create_list(session, "Full", "", NOW), lists.create_list(session, "Empty", "", NOW)
    for number, state in enumerate([SubscriptionState.CONFIRMED] * 3 + [SubscriptionState.PENDING] * 2):
        contact = contacts.save_contact(session, b"k", ContactDraft(f"a{number}@example.test"), NOW).contact
        subscriptions.subscribe(session, contact.id, full.id, state, Source.HAND, "", NOW)
    subscriptions.unsubscribe(session, contact.id, [full.id], Source.LINK, "", NOW)
    counts = lists.member_counts(session, [full.id, empty.id])
    assert counts == {full.id: MemberCounts(1, 3, 1), empty.id: MemberCounts()}
