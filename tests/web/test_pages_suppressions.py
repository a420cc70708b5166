"""The pages of suppressions: which addresses are not mailed, and why."""

import re

import pytest
from starlette.testclient import TestClient

from email_campaign.audience.contacts import erase_contact
from email_campaign.audience.suppressions import SuppressionReason
from email_campaign.db import SessionFactory
from email_campaign.web.admin.people import REASON_SENTENCES, REASONS
from tests.factories import make_contact, make_suppression

HERE = "/admin/suppressions"


def test_every_reason_has_words() -> None:
    assert set(REASONS) == set(REASON_SENTENCES) == set(SuppressionReason)


def test_an_empty_page_explains_itself(signed_in: TestClient) -> None:
    assert "No address is suppressed" in signed_in.get(HERE).text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, ["hard", "told"]),
        ({"q": "har"}, ["hard"]),
        ({"reason": "by_hand"}, ["told"]),
        ({"reason": "by_hand", "q": "hard"}, []),
        ({"reason": "nonsense"}, ["hard", "told"]),
    ],
)
def test_suppressions_are_searched_and_filtered(
    signed_in: TestClient, session_factory: SessionFactory, query: dict[str, str], found: list[str]
) -> None:
    with session_factory.begin() as session:
        make_suppression(session, "told@example.org", SuppressionReason.BY_HAND)
        make_suppression(session, "hard@example.org", SuppressionReason.HARD_BOUNCE)
    page = signed_in.get(HERE, params=query).text
    assert re.findall(r"(\w+)@example\.org</span>", page) == found
    assert ("No suppression matches." in page) is not bool(found)


def test_an_address_is_suppressed_by_hand_and_allowed_again(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    with session_factory.begin() as session:
        contact = make_contact(session, "ada@example.org", name="Ada")
    form = {"address": "ada@example.org", "reason": "complaint", "detail": "by phone"}
    answer = signed_in.post(f"{HERE}/new", data=form)
    assert answer.status_code == 303
    page = signed_in.get(answer.headers["Location"]).text
    assert "ada@example.org is mailed no more." in page
    assert f'href="/admin/contacts/{contact.id}"' in page
    assert "by phone" in page
    again = signed_in.post(f"{HERE}/new", data=form | {"reason": "by_hand"})
    assert "the first reason stays" in signed_in.get(again.headers["Location"]).text
    assert signed_in.post(f"{answer.headers['Location']}/lift").status_code == 303
    assert "ada@example.org may be mailed again." in signed_in.get(HERE).text
    assert signed_in.get(answer.headers["Location"]).status_code == 404


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"address": "ada@@example.org", "reason": "by_hand"}, "address"),
        ({"address": "ada@example.org", "reason": "whim"}, "reason"),
        ({"address": "ada@example.org", "reason": "by_hand", "detail": "x" * 1001}, "detail"),
    ],
)
def test_a_wrong_form_names_its_field_and_keeps_the_rest(
    signed_in: TestClient, fields: dict[str, str], field: str
) -> None:
    answer = signed_in.post(f"{HERE}/new", data=fields)
    assert answer.status_code == 422
    assert re.findall(r'id="f-(\w+)-error"', answer.text) == [field]
    assert fields["address"] in answer.text


def test_an_erased_person_is_shown_without_address(signed_in: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        contact = make_contact(session, "gone@example.org")
        one = make_suppression(session, contact.address)
        session.flush()
        erase_contact(session, contact.id)
    assert f"erased person {one.id}" in signed_in.get(HERE).text
    assert f"erased person {one.id}" in signed_in.get(HERE, params={"q": "gone@example.org"}).text
    page = signed_in.get(f"{HERE}/{one.id}").text
    assert "gone@example.org" not in page
    assert "no contact has this address" in page
