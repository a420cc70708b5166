"""An undo takes back what nothing else has touched since, says what it leaves, and brings nobody back."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from email_campaign.audience import contacts, import_undo, imports, lists, subscriptions, suppressions
from email_campaign.audience import import_drafts as drafts
from email_campaign.audience.contacts import Contact, ContactDraft
from email_campaign.audience.import_contacts import ImportContact
from email_campaign.audience.imports import Import
from email_campaign.audience.subscriptions import Change, Source, Subscription, SubscriptionState
from email_campaign.audience.suppressions import Cause, SuppressionReason
from email_campaign.audience.welcomes import Welcome
from email_campaign.campaigns import welcome_mail
from email_campaign.campaigns.mailings import MailingState
from email_campaign.clock import utc_now
from email_campaign.delivery.mailed import mailed
from email_campaign.errors import Conflict, NotFound
from email_campaign.tasks.running import run
from email_campaign.tasks.tasks import Task, TaskState, request_cancel
from tests import factories
from tests.audience.conftest import HANDLERS, NOW, Desk
from tests.factories import ADDRESS_KEY

COMPLETE = {"complete": True}


def _import(desk: Desk, content: str, **changes: Any) -> int:
    started = desk.start(content, **changes)
    assert desk.finish(started).state is TaskState.SUCCEEDED
    return started.id


def _people(session: Session) -> dict[str, tuple[str, Mapping[str, Any]]]:
    session.rollback()
    return {one.address: (one.name, one.attributes) for one in session.scalars(select(Contact))}


def _members(session: Session, list_id: int) -> dict[str, SubscriptionState]:
    session.rollback()
    found = select(Contact.address, Subscription.state).join(Contact, Contact.id == Subscription.contact_id)
    return {row.address: row.state for row in session.execute(found.where(Subscription.list_id == list_id))}


def _id_of(session: Session, address: str) -> int:
    return session.scalars(select(Contact.id).where(Contact.address == address)).one()


def test_who_is_new_goes_and_who_was_there_is_as_before(desk: Desk, session: Session) -> None:
    with desk.factory.begin() as other:
        factories.make_contact(other, "ann@example.test", name="Ann", attributes={"city": "Rome", "age": 7})
        factories.make_contact(other, "bob@example.test", attributes={"city": "Bonn", "plan": ""})
    before = _people(session)
    undone = _import(
        desk,
        "address,name,city,plan\nann@example.test,Anna,Oslo,free\nbob@example.test,,Bonn,\nnew@example.test,New,,\n",
    )
    assert _people(session) != before
    foreseen = import_undo.foresee(session, undone, mailed, utc_now())
    counts = {"contacts_gone": 1, "contacts_restored": 1, "subscriptions_taken_back": 2}
    assert (foreseen.counts, foreseen.is_exact) == (counts, True)
    assert desk.undo(undone) == counts | COMPLETE
    assert _people(session) == before
    assert _members(session, desk.list_id) == {}
    events = session.scalars(subscriptions.history_of(_id_of(session, "ann@example.test"))).all()
    assert [(one.state, one.source, one.detail) for one in events] == [
        (Change.TAKEN_BACK, Source.IMPORT, f"import {undone}, undone"),
        (Change.CONFIRMED, Source.IMPORT, f"import {undone}"),
    ]
    with pytest.raises(Conflict, match="nothing to undo"):
        import_undo.begin_undo(session, undone, created_by=None, now=utc_now())


def test_what_anything_else_has_touched_since_stays_and_the_result_says_why(desk: Desk, session: Session) -> None:
    names = ("mailed", "changed", "elsewhere", "left", "again", "met", "alone")
    undone = _import(desk, "address\n" + "".join(f"{name}@example.test\n" for name in names))
    ids = {name: _id_of(session, f"{name}@example.test") for name in names}
    with desk.factory.begin() as other:
        mailing = factories.make_mailing(other, state=MailingState.FINISHED)
        factories.make_delivery(other, mailing, other.get_one(Contact, ids["mailed"]))
        contacts.change_contact(other, ids["changed"], "By Hand", None, NOW)
        elsewhere = factories.make_list(other)
        subscriptions.subscribe(
            other, ids["elsewhere"], elsewhere.id, SubscriptionState.PENDING, Source.FORM, "", utc_now()
        )
        for name in ("left", "again"):
            subscriptions.unsubscribe(other, ids[name], [desk.list_id], Source.LINK, "", utc_now())
        subscriptions.subscribe(
            other, ids["again"], desk.list_id, SubscriptionState.CONFIRMED, Source.FORM, "", utc_now()
        )
    _import(desk, "address\nmet@example.test\n", list_id=None)
    foreseen = import_undo.foresee(session, undone, mailed, utc_now())
    result = desk.undo(undone)
    assert result == {
        "contacts_gone": 1,
        "subscriptions_taken_back": 4,
        "left_mailed": 1,
        "left_changed": 1,
        "left_listed": 2,
        "left_unsubscribed": 1,
        "left_imported": 1,
    }
    assert foreseen.counts == result
    assert set(_people(session)) == {f"{name}@example.test" for name in names if name != "alone"}
    assert _members(session, desk.list_id) == {
        "left@example.test": SubscriptionState.UNSUBSCRIBED,
        "again@example.test": SubscriptionState.CONFIRMED,
    }
    assert _members(session, elsewhere.id) == {"elsewhere@example.test": SubscriptionState.PENDING}


def test_a_value_that_was_changed_since_stays_and_one_that_was_changed_back_counts_as_left_alone(
    desk: Desk, session: Session
) -> None:
    with desk.factory.begin() as other:
        for name in ("ann", "bob"):
            factories.make_contact(other, f"{name}@example.test", attributes={"city": "Rome"})
    undone = _import(desk, "address,city\nann@example.test,Oslo\nbob@example.test,Oslo\n", list_id=None)
    with desk.factory.begin() as other:
        for name, cities in (("ann", ("Bonn",)), ("bob", ("Bonn", "Oslo"))):
            for city in cities:
                contacts.change_contact(other, _id_of(other, f"{name}@example.test"), None, {"city": city}, utc_now())
    assert desk.undo(undone) == {"contacts_restored": 1, "left_changed": 1}
    assert _people(session) == {
        "ann@example.test": ("", {"city": "Bonn"}),
        "bob@example.test": ("", {"city": "Rome"}),
    }


def test_a_row_that_comes_again_does_not_hide_what_was_before_the_import(desk: Desk, session: Session) -> None:
    with desk.factory.begin() as other:
        factories.make_contact(other, "ann@example.test", name="Ann", attributes={"city": "Rome"})
    far = "".join(f"x{number}@example.test,,,\n" for number in range(2_000))
    undone = _import(
        desk,
        f"address,name,city,plan\nann@example.test,Anna,Oslo,\nnew@example.test,New,,\n{far}"
        "ann@example.test,Annie,Bonn,free\nnew@example.test,Newer,,\n",
    )
    assert _people(session)["ann@example.test"] == ("Annie", {"city": "Bonn", "plan": "free"})
    assert desk.undo(undone)["contacts_gone"] == 2_001
    assert _people(session) == {"ann@example.test": ("Ann", {"city": "Rome"})}


def test_imports_are_undone_one_after_the_other_the_last_one_first(desk: Desk, session: Session) -> None:
    with desk.factory.begin() as other:
        factories.make_contact(other, "ann@example.test", attributes={"city": "Rome"})
    before = _people(session)
    first = _import(desk, "address,city\nann@example.test,Oslo\nnew@example.test,Oslo\n")
    between = _people(session)
    second = _import(desk, "address,city\nann@example.test,Bonn\nnew@example.test,Bonn\n")
    assert desk.undo(first) == {"left_changed": 2}
    assert desk.undo(second) == {"contacts_restored": 2} | COMPLETE
    assert _people(session) == between
    assert desk.undo(first) == {"contacts_gone": 1, "contacts_restored": 1, "subscriptions_taken_back": 1} | COMPLETE
    assert _people(session) == before


def test_an_import_of_the_same_people_into_the_same_list_keeps_them_there_and_into_another_does_not(
    desk: Desk, session: Session
) -> None:
    content = "address\nann@example.test\n"
    wrong = _import(desk, content)
    with desk.factory.begin() as other:
        right_list = factories.make_list(other).id
    right = _import(desk, content, list_id=right_list)
    assert desk.undo(wrong) == {"subscriptions_taken_back": 1, "left_imported": 1}
    assert _members(session, desk.list_id) == {}
    assert _members(session, right_list) == {"ann@example.test": SubscriptionState.CONFIRMED}
    _import(desk, content, list_id=right_list)
    assert desk.undo(right) == {"left_imported": 1}
    assert _members(session, right_list) == {"ann@example.test": SubscriptionState.CONFIRMED}


def test_who_waited_for_a_confirmation_waits_again(desk: Desk, session: Session) -> None:
    with desk.factory.begin() as other:
        contact = factories.make_contact(other, "ann@example.test")
        subscriptions.subscribe(other, contact.id, desk.list_id, SubscriptionState.PENDING, Source.FORM, "", NOW)
    undone = _import(desk, "address\nann@example.test\n")
    assert _members(session, desk.list_id) == {"ann@example.test": SubscriptionState.CONFIRMED}
    assert desk.undo(undone) == {"subscriptions_taken_back": 1} | COMPLETE
    assert _members(session, desk.list_id) == {"ann@example.test": SubscriptionState.PENDING}
    assert subscriptions.get_subscription(session, contact.id, desk.list_id).confirmed_at is None


def test_neither_an_unsubscription_nor_a_suppression_is_undone(desk: Desk, session: Session) -> None:
    with desk.factory.begin() as other:
        left = factories.make_contact(other, "left@example.test", name="Left")
        factories.make_subscription(
            other, left, other.get_one(lists.MailingList, desk.list_id), SubscriptionState.UNSUBSCRIBED
        )
        factories.make_suppression(other, "bad@example.test")
    undone = _import(desk, "address,name\nleft@example.test,Lefty\nbad@example.test,Bad\nworse@example.test,Worse\n")
    with desk.factory.begin() as other:
        suppressions.suppress(other, ADDRESS_KEY, "worse@example.test", Cause(SuppressionReason.COMPLAINT), utc_now())
    assert desk.undo(undone) == {"contacts_gone": 2, "contacts_restored": 1} | COMPLETE
    assert _members(session, desk.list_id) == {"left@example.test": SubscriptionState.UNSUBSCRIBED}
    kept = session.scalars(select(suppressions.Suppression.address).order_by(suppressions.Suppression.id)).all()
    assert kept == ["bad@example.test", "worse@example.test"]


def test_nobody_who_was_erased_comes_back_and_what_they_were_is_forgotten_with_them(
    desk: Desk, session: Session
) -> None:
    with desk.factory.begin() as other:
        factories.make_contact(other, "ann@example.test", name="Ann Secret")
    undone = _import(desk, "address,name\nann@example.test,Anna\nnew@example.test,New\n")
    with desk.factory.begin() as other:
        for address in ("ann@example.test", "new@example.test"):
            contacts.erase_contact(other, _id_of(other, address))
        contacts.save_contact(other, ADDRESS_KEY, ContactDraft("ann@example.test", "Another Ann"), utc_now())
    assert session.scalars(select(ImportContact)).all() == []
    assert desk.undo(undone) == COMPLETE
    assert _people(session) == {"ann@example.test": ("Another Ann", {})}


def test_an_import_that_is_not_over_or_was_over_too_long_ago_cannot_be_undone(desk: Desk, session: Session) -> None:
    started = desk.start("address\nann@example.test\n")
    with pytest.raises(Conflict, match="not over"):
        import_undo.begin_undo(session, started.id, created_by=None, now=utc_now())
    with pytest.raises(NotFound):
        import_undo.foresee(session, 404, mailed, utc_now())
    session.rollback()
    task = desk.finish(started)
    assert task.finished_at is not None
    month = timedelta(days=imports.UNDO_KEPT_DAYS)
    assert imports.purge_imports(session, task.finished_at + month - timedelta(hours=1)) == 0
    with pytest.raises(Conflict, match="not kept any more"):
        import_undo.begin_undo(session, started.id, created_by=None, now=task.finished_at + month)
    assert imports.purge_imports(session, task.finished_at + month + timedelta(hours=1)) == 1
    session.commit()
    assert session.scalars(select(ImportContact)).all() == []
    assert session.get_one(Import, started.id).undoable_until is None


def test_a_cancelled_import_is_undone_and_cannot_go_on_after_it(desk: Desk, session: Session) -> None:
    started = desk.start("address\n" + "".join(f"a{n}@example.test\n" for n in range(4_000)))
    assert started.task_id is not None
    run(desk.factory, started.task_id, HANDLERS, desk.settings.model_copy(update={"task_hop_seconds": 0.0001}))
    with desk.factory.begin() as other:
        request_cancel(other, started.task_id, NOW)
    assert desk.finish(started).state is TaskState.CANCELLED
    assert desk.undo(started.id) == {"contacts_gone": 2_000} | COMPLETE
    assert _people(session) == {}
    with pytest.raises(Conflict, match="nothing to resume"):
        drafts.resume_import(session, started.id, None, utc_now())


def test_an_undo_is_cancelled_between_two_steps_and_taken_up_again(desk: Desk, session: Session) -> None:
    undone = _import(desk, "address\n" + "".join(f"a{n}@example.test\n" for n in range(3_000)))
    with desk.factory.begin() as other:
        task_id = import_undo.begin_undo(other, undone, created_by=None, now=utc_now()).id
        with pytest.raises(Conflict, match="being undone already"):
            import_undo.begin_undo(other, undone, created_by=None, now=utc_now())
    run(desk.factory, task_id, HANDLERS, desk.settings.model_copy(update={"task_hop_seconds": 0.0001}))
    with desk.factory.begin() as other:
        request_cancel(other, task_id, NOW)
    task = desk.carry(task_id)
    assert task.state is TaskState.CANCELLED
    assert (task.done_count, task.total_count) == (import_undo.PAGE, 3_000)
    assert task.result is not None
    assert (task.result["contacts_gone"], task.result["complete"]) == (import_undo.PAGE, False)
    assert desk.undo(undone) == {"contacts_gone": 3_000 - import_undo.PAGE} | COMPLETE
    assert _people(session) == {}


def test_a_killed_worker_undoes_everything_once(desk: Desk, session: Session) -> None:
    people = 15_000
    with desk.factory.begin() as other:
        kept = factories.make_contact(other, "a7@example.test", attributes={"city": "Rome"}).id
    undone = _import(desk, "address,city\n" + "".join(f"a{n}@example.test,Oslo\n" for n in range(people)))
    with desk.factory.begin() as other:
        task_id = import_undo.begin_undo(other, undone, created_by=None, now=utc_now()).id
    desk.kill(task_id, 3 * import_undo.PAGE)
    with desk.factory.begin() as other:
        assert other.get_one(Task, task_id).state is TaskState.RUNNING
        other.execute(update(Task).where(Task.id == task_id).values(lease_until=NOW))  # as when it has run out
    task = desk.carry(task_id)
    assert (task.state, task.done_count) == (TaskState.SUCCEEDED, people)
    assert task.result == {
        "contacts_gone": people - 1,
        "contacts_restored": 1,
        "subscriptions_taken_back": 1,
        "complete": True,
    }
    assert _people(session) == {"a7@example.test": ("", {"city": "Rome"})}
    assert len(session.scalars(subscriptions.history_of(kept)).all()) == 2


def test_an_import_of_the_same_people_beside_an_undo_loses_nobody(desk: Desk, session: Session) -> None:
    content = "address,city\n" + "".join(f"a{n}@example.test,Rome\n" for n in range(8_000))
    desk.settings = desk.settings.model_copy(update={"task_lease_seconds": 60.0})
    undone = _import(desk, content)
    again = desk.start(content)
    with ThreadPoolExecutor(2) as pool:
        undo, finished = pool.submit(desk.undo, undone), pool.submit(desk.finish, again)
        assert finished.result().state is TaskState.SUCCEEDED, finished.result().error
        result = undo.result()
    assert result.get("contacts_gone", 0) + result.get("left_imported", 0) == 8_000
    assert len(_people(session)) == 8_000
    assert set(_members(session, desk.list_id).values()) == {SubscriptionState.CONFIRMED}
    assert len(_members(session, desk.list_id)) == 8_000


def test_of_more_than_ten_thousand_people_the_most_is_told_before_and_the_truth_after(
    desk: Desk, session: Session
) -> None:
    undone = _import(desk, "address\n" + "".join(f"a{n}@example.test\n" for n in range(import_undo.FORESEEN + 1)))
    with desk.factory.begin() as other:
        contacts.change_contact(other, _id_of(other, "a7@example.test"), "Seven", None, utc_now())
    foreseen = import_undo.foresee(session, undone, mailed, utc_now())
    assert (foreseen.counts, foreseen.is_exact) == ({"contacts_gone": import_undo.FORESEEN + 1}, False)
    assert desk.undo(undone) == {
        "contacts_gone": import_undo.FORESEEN,
        "subscriptions_taken_back": 1,
        "left_changed": 1,
    }


@pytest.mark.parametrize("asked", [True, False])
def test_an_import_welcomes_whom_it_confirms_only_where_that_was_asked_for(
    desk: Desk, session: Session, asked: bool
) -> None:
    with desk.factory.begin() as other:
        template = factories.make_template(other)
        welcome_mail.choose(other, desk.list_id, template.id)
        was_there = factories.make_contact(other, "there@example.test")
        factories.make_subscription(other, was_there, other.get_one(lists.MailingList, desk.list_id))
    content = "address\nnew@example.test\nthere@example.test\n"
    undone = _import(desk, content, sends_welcome=asked)
    waiting = session.scalars(select(Welcome.contact_id)).all()
    assert waiting == ([_id_of(session, "new@example.test")] if asked else [])
    session.rollback()
    desk.undo(undone)
    assert session.scalar(select(func.count()).select_from(Welcome)) == 0, "who goes again waits for no welcome"
    _import(desk, content, sends_welcome=asked)
    assert session.scalar(select(func.count()).select_from(Welcome)) == asked
