"""The pages of unknown copies: seen at a glance, found out by the Message-ID, and decided about."""

import re
from html import unescape

import pytest
from sqlalchemy.orm import Session
from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import MailingKind, MailingState
from email_campaign.db import SessionFactory
from email_campaign.delivery.compose import derive_message_id
from email_campaign.delivery.deliveries import DeliveryState, count_moves, states_of
from email_campaign.delivery.orders import derive_keys
from email_campaign.settings import Settings
from tests import factories
from tests.invariants import check_counts

Nudges = list[tuple[object, ...]]


def _campaign(session: Session, unknown: int, name: str = "Spring") -> Campaign:
    campaign = factories.make_campaign(session, name=name, state=MailingState.FINISHED)
    for _ in range(unknown):
        person = factories.make_contact(session, name="Zoë")
        copy = factories.make_delivery(
            session, campaign.mailing, person, state=DeliveryState.UNKNOWN, reason="worker_gone"
        )
        factories.make_attempt(
            session,
            copy,
            verdict=DeliveryState.UNKNOWN,
            code=None,
            enhanced_code=None,
            reply="Worker <3> ended.",
            phase="sweep",
        )
    return campaign


@pytest.fixture
def campaign(session_factory: SessionFactory) -> Campaign:
    """Three unknown copies, at the positions 1 to 3."""
    with session_factory.begin() as session:
        return _campaign(session, 3)


def _hidden(page: str) -> dict[str, list[str]]:
    """The hidden fields of the question."""
    form = re.search(r'<form class="card form confirm-page".*?</form>', page, re.DOTALL)
    assert form
    fields: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', form[0]):
        fields.setdefault(name, []).append(unescape(value))
    return fields


def _states(factory: SessionFactory, campaign: Campaign) -> dict[str, int]:
    with factory() as session:
        check_counts(session, campaign.id)
        return {state.value: count for state, count in states_of(session, campaign.id).items() if count}


def test_they_are_counted_at_a_glance_only_where_there_are_any(
    signed_in: TestClient, session_factory: SessionFactory, campaign: Campaign
) -> None:
    here = f"/admin/campaigns/{campaign.id}"
    dashboard = signed_in.get("/admin").text
    assert f'<a href="{here}/unknown"><span data-live-field="needs.0">3 copies of “Spring” are unknown' in dashboard
    page = signed_in.get(here).text
    assert f'<a href="{here}/unknown">Unknown <span class="number">3</span></a>' in page
    assert "Decide about 3 unknown" in page
    with session_factory.begin() as session:
        _campaign(session, 1, "Autumn")
        fine = factories.make_campaign(session, state=MailingState.FINISHED)
    assert (
        '<a href="/admin/unknown"><span data-live-field="needs.0">4 copies of 2 mailings'
        in signed_in.get("/admin").text
    )
    assert "/unknown" not in signed_in.get(f"/admin/campaigns/{fine.id}").text.replace("/unknown/policy", "")
    assert "No copy is unknown" in signed_in.get(f"/admin/campaigns/{fine.id}/unknown").text


def test_a_line_says_what_happened_and_what_to_search_for(
    signed_in: TestClient, session_factory: SessionFactory, settings: Settings, campaign: Campaign
) -> None:
    with session_factory.begin() as session:
        test = factories.make_mailing(
            session, kind=MailingKind.TEST, campaign=campaign, recipient_address="me@example.com"
        )
        factories.make_delivery(session, test, state=DeliveryState.UNKNOWN, reason="timeout")
    message_id = derive_message_id(derive_keys(settings).message_id, campaign.id, 2, "news@example.com")
    for url in (f"/admin/campaigns/{campaign.id}/unknown", "/admin/unknown"):
        page = signed_in.get(url).text
        assert message_id.strip("<>") in page
        assert "the send process was lost while it sent" in page
        assert "Worker &lt;3&gt; ended." in page
        assert f'href="/admin/deliveries/{campaign.id}-2"' in page
    assert "test of <a" in page
    assert "me@example.com" in page


@pytest.mark.parametrize(
    ("resolution", "words", "states"),
    [
        ("accepted", "Mark 2 copies as accepted?", {"accepted": 2, "unknown": 1}),
        ("rejected", "Mark 2 copies as not delivered?", {"rejected": 2, "unknown": 1}),
        ("resend", "whoever has it already gets it twice", {"unknown": 3}),
    ],
)
def test_what_is_ticked_is_asked_about_and_done(
    signed_in: TestClient,
    session_factory: SessionFactory,
    nudges: Nudges,
    campaign: Campaign,
    resolution: str,
    words: str,
    states: dict[str, int],
) -> None:
    here = f"/admin/campaigns/{campaign.id}/unknown"
    ticked = [f"{campaign.id}-1", f"{campaign.id}-3"]
    question = signed_in.post(here, data={"resolution": resolution, "selected": ticked})
    assert words in question.text
    assert _states(session_factory, campaign) == {"unknown": 3}  # nothing is done yet
    for said in ("2", "Nothing was left to do"):
        answer = signed_in.post(f"{here}/confirmed", data=_hidden(question.text))
        assert (answer.status_code, answer.headers["Location"]) == (303, here)
        assert said in signed_in.get(here).text
        assert _states(session_factory, campaign) == states
    assert ((queue.DISPATCH,) in nudges) is (resolution == "resend")
    timeline = signed_in.get(f"/admin/campaigns/{campaign.id}").text
    assert "2 unknown copies" in timeline


def test_all_of_a_campaign_is_a_choice_of_its_own(
    signed_in: TestClient, session_factory: SessionFactory, campaign: Campaign
) -> None:
    here = f"/admin/campaigns/{campaign.id}/unknown"
    page = signed_in.get(here, params={"limit": 2}).text
    assert "all 3 copies that match" in page
    assert "1–2 of 3" in page
    question = signed_in.post(here, data={"resolution": "accepted", "scope": "matching", "selected": "1-1"}).text
    assert "Mark 3 as accepted" in question
    signed_in.post(f"{here}/confirmed", data=_hidden(question))
    assert _states(session_factory, campaign) == {"accepted": 3}


def test_very_many_are_done_by_a_task_that_the_page_shows(
    signed_in: TestClient, session_factory: SessionFactory, nudges: Nudges, campaign: Campaign
) -> None:
    with session_factory.begin() as session:
        count_moves(session, campaign.id, {"unknown": 99_997})
    here = f"/admin/campaigns/{campaign.id}/unknown"
    question = signed_in.post(here, data={"resolution": "resend", "scope": "matching"}).text
    assert "Send 100,000 again" in question
    signed_in.post(f"{here}/confirmed", data=_hidden(question))
    task_id = nudges[0][1]
    assert f'href="/admin/tasks/{task_id}"' in signed_in.get(here).text
    signed_in.post(f"{here}/confirmed", data=_hidden(question))
    assert "are being resolved already" in signed_in.get(here).text


def test_copies_of_several_campaigns_are_resolved_together(
    signed_in: TestClient, session_factory: SessionFactory, campaign: Campaign
) -> None:
    with session_factory.begin() as session:
        other = _campaign(session, 2, "Autumn")
    ticked = [f"{campaign.id}-1", f"{other.id}-2"]
    question = signed_in.post("/admin/unknown", data={"resolution": "rejected", "selected": ticked}).text
    signed_in.post("/admin/unknown/confirmed", data=_hidden(question))
    assert _states(session_factory, campaign) == {"rejected": 1, "unknown": 2}
    assert _states(session_factory, other) == {"rejected": 1, "unknown": 1}


def test_one_copy_is_resolved_on_its_own_page(
    signed_in: TestClient, session_factory: SessionFactory, campaign: Campaign
) -> None:
    here = f"/admin/deliveries/{campaign.id}-1"
    page = signed_in.get(here).text
    assert "The relay has it…" in page
    assert "it is sent again" not in page.lower().replace("it is not sent again", "")
    assert signed_in.post(f"{here}/resolve", data={"resolution": "accepted"}).status_code == 303
    page = signed_in.get(here).text
    assert "Marked as accepted at" in page
    assert "Ada: the relay has it." in page
    assert "By hand." in page
    assert "The relay has it…" not in page
    assert signed_in.post(f"{here}/resolve", data={"resolution": "guess"}).status_code == 422
    assert _states(session_factory, campaign) == {"accepted": 1, "unknown": 2}


def test_the_policy_is_set_on_the_page_of_the_campaign(
    signed_in: TestClient, session_factory: SessionFactory, nudges: Nudges, campaign: Campaign
) -> None:
    here = f"/admin/campaigns/{campaign.id}"
    assert 'value="hold" checked' in signed_in.get(here).text
    assert signed_in.post(f"{here}/unknown/policy", data={"unknown_policy": "resend"}).status_code == 303
    page = signed_in.get(here).text
    assert 'value="resend" checked' in page
    assert "chose to send unknown copies again, once." in page
    assert nudges == [(queue.SWEEP,)]
    assert signed_in.post(f"{here}/unknown/policy", data={"unknown_policy": "guess"}).status_code == 422
    signed_in.post(f"{here}/cancel")
    signed_in.post(f"{here}/unknown/policy", data={"unknown_policy": "hold"})
    page = signed_in.get(here).text
    assert "that is cancelled is sent again" in page
    assert 'id="policy"' not in page


@pytest.mark.parametrize(
    "form",
    [
        {"resolution": "guess"},
        {"resolution": "accepted", "until": "then"},
        {"resolution": "accepted", "until": "2030-01-01"},
    ],
)
def test_a_form_that_no_page_has_is_refused(signed_in: TestClient, campaign: Campaign, form: dict[str, str]) -> None:
    assert signed_in.post(f"/admin/campaigns/{campaign.id}/unknown", data=form).status_code == 422


def test_who_ticked_nothing_is_told(signed_in: TestClient) -> None:
    signed_in.post("/admin/unknown", data={"resolution": "accepted"})
    assert "tick the boxes first" in signed_in.get("/admin/unknown").text
