"""The pages of mailing lists: who is on them, in which state."""

import re

from starlette.testclient import TestClient

from email_campaign.audience.lists import MailingList
from email_campaign.audience.subscriptions import Subscription, SubscriptionState
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from tests.factories import make_contact, make_list, make_subscription

HERE = "/admin/lists"


def _list_of_three(session_factory: SessionFactory) -> tuple[int, dict[str, int]]:
    with session_factory.begin() as session:
        news = make_list(session, "News")
        people = {}
        for state in SubscriptionState:
            contact = make_contact(session, f"{state.value}@example.org")
            make_subscription(session, contact, news, state)
            people[state.value] = contact.id
        return news.id, people


def test_an_empty_page_says_what_a_list_is_for(signed_in: TestClient) -> None:
    assert "No lists yet" in signed_in.get(HERE).text


def test_each_number_leads_to_the_rows_that_it_counts(signed_in: TestClient, session_factory: SessionFactory) -> None:
    list_id, _ = _list_of_three(session_factory)
    page = signed_in.get(HERE).text
    for state in SubscriptionState:
        assert f'<a href="{HERE}/{list_id}?state={state.value}">1</a>' in page
        members = signed_in.get(f"{HERE}/{list_id}", params={"state": state.value}).text
        assert re.findall(r"(\w+)(?:<wbr>)?@example\.org</span>", members) == [state.value]


def test_members_are_searched(signed_in: TestClient, session_factory: SessionFactory) -> None:
    list_id, _ = _list_of_three(session_factory)
    page = signed_in.get(f"{HERE}/{list_id}", params={"q": "pend", "state": ""}).text
    assert re.findall(r"(\w+)(?:<wbr>)?@example\.org</span>", page) == ["pending"]
    assert "No member matches." in signed_in.get(f"{HERE}/{list_id}", params={"q": "nobody"}).text


def test_a_list_is_made_renamed_and_archived(signed_in: TestClient, session_factory: SessionFactory) -> None:
    made = signed_in.post(f"{HERE}/new", data={"name": "News", "description": "monthly"})
    assert made.status_code == 303
    here = made.headers["Location"]
    assert "Nobody is on this list yet" in signed_in.get(here).text
    assert f'href="/admin/imports/new?list_id={here.rpartition("/")[2]}"' in signed_in.get(here).text
    assert signed_in.post(f"{here}/edit", data={"name": "Newsletter", "description": ""}).status_code == 303
    assert "Newsletter" in signed_in.get(HERE).text
    assert signed_in.post(f"{here}/archive").status_code == 303
    assert "No lists yet" in signed_in.get(HERE).text
    assert "This list is archived" in signed_in.get(here).text
    with session_factory() as session:
        assert session.query(MailingList).one().archived_at is not None


def test_a_taken_name_is_refused_beside_its_field(signed_in: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        make_list(session, "News")
        other = make_list(session, "Other").id
    for address in (f"{HERE}/new", f"{HERE}/{other}/edit"):
        answer = signed_in.post(address, data={"name": "news", "description": "kept text"})
        assert answer.status_code == 422
        assert 'id="f-name-error"' in answer.text
        assert "kept text" in answer.text


def test_a_member_is_added_by_address(signed_in: TestClient, session_factory: SessionFactory) -> None:
    list_id, people = _list_of_three(session_factory)
    form = {"address": "new@example.org", "name": "New", "state": "pending"}
    assert signed_in.post(f"{HERE}/{list_id}/add", data=form).status_code == 303
    assert "new@example.org" in signed_in.get(f"{HERE}/{list_id}?state=pending").text
    left = {"address": "unsubscribed@example.org", "state": "confirmed"}
    refused = signed_in.post(f"{HERE}/{list_id}/add", data=left)
    assert refused.status_code == 422
    assert 'id="f-detail-error"' in refused.text
    assert signed_in.post(f"{HERE}/{list_id}/add", data=left | {"detail": "asked by phone"}).status_code == 303
    with session_factory() as session:
        member = session.get_one(Subscription, (list_id, people["unsubscribed"]))
        assert member.state is SubscriptionState.CONFIRMED


def test_selected_members_are_unsubscribed_after_the_question(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    list_id, people = _list_of_three(session_factory)
    chosen = {"selected": [people["confirmed"], people["pending"]]}
    question = signed_in.post(f"{HERE}/{list_id}/remove", data=chosen).text
    assert "Unsubscribe 2 members from “News”?" in question
    assert re.findall(r'name="selected" value="(\d+)"', question) == [str(one) for one in sorted(chosen["selected"])]
    with session_factory() as session:
        assert session.get_one(Subscription, (list_id, people["confirmed"])).state is SubscriptionState.CONFIRMED
    assert signed_in.post(f"{HERE}/{list_id}/remove/confirmed", data=chosen).status_code == 303
    assert "2 members were unsubscribed." in signed_in.get(f"{HERE}/{list_id}").text
    nobody = signed_in.post(f"{HERE}/{list_id}/remove")
    assert nobody.status_code == 303


def test_an_archived_list_takes_nobody(signed_in: TestClient, session_factory: SessionFactory) -> None:
    list_id, _ = _list_of_three(session_factory)
    with session_factory.begin() as session:
        session.get_one(MailingList, list_id).archived_at = utc_now()
    assert signed_in.get(f"{HERE}/{list_id}/add").status_code == 409
    assert signed_in.post(f"{HERE}/{list_id}/add", data={"address": "x@example.org"}).status_code == 409
