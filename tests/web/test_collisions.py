"""Two people who save the same form: the second one is told, and loses nothing."""

import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from email_campaign.audience.suppressions import Suppression, SuppressionReason
from email_campaign.campaigns.mailings import MailingState
from email_campaign.db import SessionFactory
from tests.factories import make_campaign, make_contact, make_list, make_suppression, make_template

FORMS: list[tuple[str, Callable[[Session], Any], dict[str, str], str, str]] = [
    (
        "/admin/campaigns/{}/edit",
        make_campaign,
        {"name": "Spring", "from_address": "news@example.com", "unknown_policy": "hold"},
        "name",
        "reply_to",
    ),
    ("/admin/templates/{}", make_template, {"name": "Spring", "subject": "Hello", "text": "Hello"}, "subject", "text"),
    ("/admin/lists/{}/edit", make_list, {"name": "Spring", "description": "Monthly"}, "name", "description"),
    ("/admin/contacts/{}", make_contact, {"name": "Ada", "attributes": "city = London"}, "name", "attributes"),
]
OTHER = {"reply_to": "garden@example.com", "text": "Goodbye", "description": "Weekly", "attributes": "city = Paris"}
each = pytest.mark.parametrize(
    ("where", "make", "fields", "one", "other"), FORMS, ids=["campaign", "template", "list", "contact"]
)


def _open(client: TestClient, page: str) -> str:
    """The version in the form that is shown at this address."""
    found = re.search(r'name="version" value="([^"]+)"', client.get(page).text)
    assert found
    return found[1]


def _shown(page: str) -> dict[str, str]:
    """What stands in the text fields of a page."""
    inputs = re.findall(r'<input class="control"[^>]*? name="(\w+)"[^>]*? value="([^"]*)"', page)
    areas = re.findall(r'<textarea [^>]*? name="(\w+)"[^>]*>\n(.*?)</textarea>', page, re.DOTALL)
    return {name: html.unescape(value) for name, value in [*inputs, *areas]}


def _page(factory: SessionFactory, where: str, make: Callable[[Session], Any]) -> str:
    with factory.begin() as session:
        return where.format(make(session).id)


@each
def test_a_field_that_only_the_other_changed_comes_back_with_their_words(
    signed_in: TestClient, session_factory: SessionFactory, where: str, make: Any, fields: Any, one: str, other: str
) -> None:
    page = _page(session_factory, where, make)
    assert signed_in.post(page, data=fields).status_code == 303  # without a version the last one wins
    mine = theirs = _open(signed_in, page)
    assert signed_in.post(page, data=fields | {"version": theirs, other: OTHER[other]}).status_code == 303
    refused = signed_in.post(page, data=fields | {"version": mine, one: "Mine"})
    assert refused.status_code == 409
    assert "Somebody saved this while you were writing" in refused.text
    assert "The form has theirs" in refused.text
    shown = _shown(refused.text)
    assert (shown[one], shown[other]) == ("Mine", OTHER[other])
    again = re.search(r'name="version" value="([^"]+)"', refused.text)
    assert again
    merged = fields | {"version": again[1], one: "Mine", other: OTHER[other]}
    assert signed_in.post(page, data=merged).status_code == 303
    assert _shown(signed_in.get(page).text)[one] == "Mine"


@each
def test_a_field_that_both_changed_keeps_what_was_typed_with_the_other_s_beside_it(
    signed_in: TestClient, session_factory: SessionFactory, where: str, make: Any, fields: Any, one: str, other: str
) -> None:
    page = _page(session_factory, where, make)
    signed_in.post(page, data=fields)
    version = _open(signed_in, page)
    assert signed_in.post(page, data=fields | {"version": version, one: "Theirs"}).status_code == 303
    refused = signed_in.post(page, data=fields | {"version": version, one: "Mine"})
    assert refused.status_code == 409
    assert "they saved “Theirs”. You changed it too: the form has yours." in refused.text
    assert _shown(refused.text)[one] == "Mine"
    assert _shown(signed_in.get(page).text)[one] == "Theirs"


@each
def test_who_changed_nothing_else_than_the_other_is_not_stopped(
    signed_in: TestClient, session_factory: SessionFactory, where: str, make: Any, fields: Any, one: str, other: str
) -> None:
    page = _page(session_factory, where, make)
    signed_in.post(page, data=fields)
    version = _open(signed_in, page)
    for _ in range(2):
        assert signed_in.post(page, data=fields | {"version": version, one: "Both"}).status_code == 303


@pytest.mark.parametrize("version", ["x", "0" * 500, "\x00", "ümläut", "00000000"])
def test_a_version_that_nobody_gave_out_is_a_collision_and_no_error(
    signed_in: TestClient, session_factory: SessionFactory, version: str
) -> None:
    page = _page(session_factory, "/admin/lists/{}/edit", make_list)
    assert signed_in.post(page, data={"name": "Mine", "description": "", "version": version}).status_code == 409


def test_the_limits_of_the_relay_and_of_a_campaign_that_is_sent_collide_too(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    with session_factory.begin() as session:
        campaign = make_campaign(session, template=make_template(session), state=MailingState.SENDING)
    for page in ("/admin/relay", f"/admin/campaigns/{campaign.id}"):
        version = _open(signed_in, page)
        for limits, status in (("5 a second", 303), ("7 a second", 409)):
            answer = signed_in.post(f"{page}/limits", data={"limits": limits, "version": version})
            assert answer.status_code == status
        assert "they saved “5 a second”. You changed it too: the form has yours." in answer.text
        assert _shown(answer.text)["limits"] == "7 a second"


def test_who_sets_the_policy_for_unknown_copies_from_an_old_page_is_told_and_changes_nothing(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    with session_factory.begin() as session:
        campaign = make_campaign(session, template=make_template(session), state=MailingState.FINISHED)
    page = f"/admin/campaigns/{campaign.id}"
    version = _open(signed_in, page)
    policy = f"{page}/unknown/policy"
    assert signed_in.post(policy, data={"unknown_policy": "resend", "version": version}).status_code == 303
    assert signed_in.post(policy, data={"unknown_policy": "hold", "version": version}).status_code == 303
    told = signed_in.get(page).text
    assert "Somebody else chose meanwhile, and that holds: Unknown copies are sent again" in told
    assert 'value="resend" checked' in told
    assert signed_in.post(policy, data={"unknown_policy": "hold", "version": _open(signed_in, page)}).status_code == 303
    assert 'value="hold" checked' in signed_in.get(page).text


def test_a_suppression_that_is_newer_than_the_page_is_not_lifted_with_the_old_one(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    with session_factory.begin() as session:
        contact = make_contact(session)
        old = make_suppression(session, contact.address)
    page = f"/admin/contacts/{contact.id}"
    assert f'name="suppression_id" value="{old.id}"' in signed_in.get(page).text
    with session_factory.begin() as session:
        session.delete(session.get_one(Suppression, old.id))
        session.flush()
        make_suppression(session, contact.address, SuppressionReason.COMPLAINT)
    assert signed_in.post(f"{page}/lift", data={"suppression_id": str(old.id)}).status_code == 303
    assert "was suppressed anew meanwhile" in signed_in.get(page).text
    with session_factory() as session:
        assert session.query(Suppression).one().reason is SuppressionReason.COMPLAINT
