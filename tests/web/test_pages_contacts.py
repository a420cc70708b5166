"""The pages of contacts: who is this, and may we mail them?"""

import re
from datetime import timedelta

import pytest
from sqlalchemy import select
from starlette.testclient import TestClient

from email_campaign.audience.contacts import Contact
from email_campaign.audience.subscriptions import Source, Subscription, SubscriptionState, subscribe, unsubscribe
from email_campaign.audience.suppressions import Suppression, SuppressionReason
from email_campaign.campaigns.mailings import MailingState
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.errors import Invalid
from email_campaign.web.admin.attribute_lines import changes, on_field, read_lines, write_lines
from tests.factories import (
    make_campaign,
    make_contact,
    make_delivery,
    make_list,
    make_subscription,
    make_suppression,
)

HERE = "/admin/contacts"


def test_an_empty_list_says_what_to_do_next(signed_in: TestClient) -> None:
    page = signed_in.get(HERE).text
    assert "No contacts yet" in page
    assert 'href="/admin/imports/new"' in page


def test_the_list_tells_lists_and_state_of_each(signed_in: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        news = make_list(session, "News <3")
        make_subscription(session, make_contact(session, "ada@example.org"), news)
        blocked = make_contact(session, "bob@example.org")
        make_subscription(session, blocked, news)
        make_suppression(session, blocked.address, SuppressionReason.COMPLAINT)
    page = signed_in.get(HERE).text
    assert "News &lt;3" in page
    assert "suppressed: complaint" in page
    assert "1–2 of 2" in page


def test_a_search_that_finds_nobody_offers_all(signed_in: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        make_contact(session, "ada@example.org", name="Ada")
    assert "ada@example.org" in signed_in.get(HERE, params={"q": "Ada"}).text
    page = signed_in.get(HERE, params={"q": "<nobody>"}).text
    assert "No contact has “&lt;nobody&gt;”" in page
    assert f'<a href="{HERE}">Show all</a>' in page


def test_pages_say_where_they_stand_and_keep_the_search(signed_in: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        for number in range(5):
            make_contact(session, f"ada{number}@example.org")
    first = signed_in.get(HERE, params={"q": "ada", "limit": 2}).text
    assert "1–2 of 5" in first
    older = re.search(r'href="([^"]+)" rel="next"', first)
    assert older
    second = signed_in.get(older[1].replace("&amp;", "&")).text
    assert "3–4 of 5" in second
    assert "ada2@example.org" in second
    newer = re.search(r'href="([^"]+)" rel="prev"', second)
    assert newer
    assert "1–2 of 5" in signed_in.get(newer[1].replace("&amp;", "&")).text


def test_a_contact_is_added_and_put_on_lists(signed_in: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        list_id = make_list(session, "News").id
    form = {"address": "Ada@Example.org", "name": "Ada", "attributes": "city = London\nage = 36", "lists": list_id}
    answer = signed_in.post(f"{HERE}/new", data=form | {"state": "confirmed", "detail": "asked at the fair"})
    assert answer.status_code == 303
    with session_factory() as session:
        contact = session.scalars(select(Contact)).one()
        assert contact.attributes == {"city": "London", "age": 36}
        assert session.get_one(Subscription, (list_id, contact.id)).state is SubscriptionState.CONFIRMED
    page = signed_in.get(answer.headers["Location"]).text
    assert "asked at the fair" in page
    assert "May be mailed" in page


def test_a_refused_form_keeps_what_was_typed_and_saves_nothing(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    with session_factory.begin() as session:
        list_id = make_list(session).id
    form = {"address": "ada@example.org", "attributes": "city\n1st = x", "lists": list_id}
    answer = signed_in.post(f"{HERE}/new", data=form)
    assert answer.status_code == 422
    assert "city\n1st = x" in answer.text
    assert "Line 1 needs the form: city = London." in answer.text
    answer = signed_in.post(f"{HERE}/new", data=form | {"attributes": "Vor Name! = x"})
    assert 'id="f-attributes-error"' in answer.text
    assert re.search(rf'value="{list_id}" checked', answer.text)
    with session_factory() as session:
        assert not session.scalars(select(Contact)).all()


def test_a_contact_who_left_comes_back_only_with_a_reason(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    with session_factory.begin() as session:
        news, contact = make_list(session, "News"), make_contact(session)
        subscribe(session, contact.id, news.id, SubscriptionState.CONFIRMED, Source.FORM, "", utc_now())
        unsubscribe(session, contact.id, [news.id], Source.LINK, "", utc_now())
    here = f"{HERE}/{contact.id}"
    assert "No campaign reaches them" in signed_in.get(here).text
    answer = signed_in.post(f"{here}/lists", data={"list_id": news.id, "state": "confirmed"})
    assert answer.status_code == 422
    assert 'id="f-detail-error"' in answer.text
    form = {"list_id": news.id, "state": "confirmed", "detail": "asked by phone"}
    assert signed_in.post(f"{here}/lists", data=form).status_code == 303
    page = signed_in.get(here).text
    assert page.index("asked by phone") < page.index("by a link in a mail")


def test_a_suppressed_contact_says_why_and_can_be_allowed_again(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    with session_factory.begin() as session:
        contact = make_contact(session)
        make_suppression(session, contact.address, SuppressionReason.HARD_BOUNCE, detail="550 5.1.1 no such user")
    here = f"{HERE}/{contact.id}"
    page = signed_in.get(here).text
    assert "Not mailed: the address is suppressed" in page
    assert "550 5.1.1 no such user" in page
    assert signed_in.post(f"{here}/lift").status_code == 303
    with session_factory() as session:
        assert not session.scalars(select(Suppression)).all()
    assert signed_in.post(f"{here}/suppress", data={"note": "asked by letter"}).status_code == 303
    assert "asked by letter" in signed_in.get(here).text


def test_a_contact_shows_the_copies_that_were_for_them(signed_in: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        contact, other = make_contact(session), make_contact(session)
        for name, state in (("Spring", DeliveryState.ACCEPTED), ("Autumn", DeliveryState.SKIPPED)):
            campaign = make_campaign(session, name=name, state=MailingState.FINISHED)
            reason = "suppressed" if state is DeliveryState.SKIPPED else None
            make_delivery(session, campaign.mailing, other)
            delivery = make_delivery(session, campaign.mailing, contact, state=state, reason=reason)
    page = signed_in.get(f"{HERE}/{contact.id}").text
    assert page.index("Autumn") < page.index("Spring")
    assert "the address is suppressed" in page
    assert f'href="/admin/deliveries/{delivery.mailing_id}-{delivery.position}"' in page


def test_an_attribute_whose_line_is_deleted_goes_and_an_unseen_one_stays(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    with session_factory.begin() as session:
        contact = make_contact(session, attributes={"city": "London", "plan": "gold"})
    page = signed_in.get(f"{HERE}/{contact.id}").text
    assert re.findall(r'name="shown" value="(\w+)"', page) == ["city", "plan"]
    with session_factory.begin() as session:
        session.get_one(Contact, contact.id).attributes = {"city": "London", "plan": "gold", "came_later": "yes"}
    form = {"shown": ["city", "plan"], "name": "Ada", "attributes": "city = Paris"}
    assert signed_in.post(f"{HERE}/{contact.id}", data=form).status_code == 303
    with session_factory() as session:
        changed = session.get_one(Contact, contact.id)
        assert (changed.name, changed.attributes) == ("Ada", {"city": "Paris", "came_later": "yes"})


def test_an_erased_contact_is_gone(signed_in: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        contact = make_contact(session)
        make_subscription(session, contact, make_list(session), at=utc_now() - timedelta(days=1))
    answer = signed_in.post(f"{HERE}/{contact.id}/erase")
    assert (answer.status_code, answer.headers["Location"]) == (303, HERE)
    assert signed_in.get(f"{HERE}/{contact.id}").status_code == 404


@pytest.mark.parametrize(
    "attributes",
    [
        {"city": "London", "zip": "01234", "age": 36, "vip": True, "tags": ["a", 1], "share": 0.5},
        {"looks": "true", "quoted": '"x"', "blank": " x ", "two": "a\nb", "empty": "", "null": "null", "eq": "a = b"},
    ],
)
def test_attributes_survive_being_written_and_read(attributes: dict[str, object]) -> None:
    assert read_lines(write_lines(attributes)) == attributes


def test_what_is_nested_too_deeply_to_be_read_is_a_text() -> None:
    assert read_lines(f"odd = {'[' * 5_000}") == {"odd": "[" * 5_000}


@pytest.mark.parametrize("typed", ["", "x", "-1", "9" * 5_000])
def test_what_can_be_no_list_is_told_beside_its_field(
    signed_in: TestClient, session_factory: SessionFactory, typed: str
) -> None:
    with session_factory.begin() as session:
        contact = make_contact(session)
        make_list(session)
    answer = signed_in.post(f"{HERE}/{contact.id}/lists", data={"list_id": typed})
    assert answer.status_code == 422
    assert "Choose a list." in answer.text


def test_problems_of_single_attributes_stand_on_the_one_field() -> None:
    with pytest.raises(Invalid) as refused:
        read_lines("a = 1\na = 2\nnothing")
    assert [problem.field for problem in refused.value.problems] == ["attributes"]
    assert "Line 2 gives a a second time." in refused.value.problems[0].message
    assert "Line 3" in refused.value.problems[0].message
    assert changes(["a", "b"], {"b": 2, "c": 3}) == {"a": None, "b": 2, "c": 3}
    moved = on_field(Invalid.field("attributes.Vor Name", "no attribute name"))
    assert [problem.field for problem in moved.problems] == ["attributes"]
