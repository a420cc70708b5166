"""The pages of campaigns: writing, looking, sending, and seeing who did not get it."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select
from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.limits import RateLimit
from email_campaign.campaigns.mailings import Mailing, MailingKind, MailingState
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery import replies
from email_campaign.delivery.deliveries import Delivery, DeliveryState, count_moves
from email_campaign.reports.reasons import REASONS
from tests.factories import (
    make_campaign,
    make_contact,
    make_delivery,
    make_list,
    make_subscription,
    make_template,
)

HERE = "/admin/campaigns"
Nudges = list[tuple[object, ...]]


def _ready_campaign(factory: SessionFactory, people: int = 2, subject: str = "Hello {{ name }}") -> int:
    """A draft with a template and so many confirmed people."""
    with factory.begin() as session:
        customers = make_list(session, "Customers")
        for number in range(people):
            person = make_contact(session, f"person{number}@example.org", name=f"Person {number}")
            make_subscription(session, person, customers, at=utc_now() - timedelta(days=1))
        template = make_template(session, name="Spring", subject=subject)
        return make_campaign(session, name="Spring <news>", template=template, lists=[customers]).id


def _launched(factory: SessionFactory, copies: Sequence[tuple[DeliveryState, str | None]], state: MailingState) -> int:
    with factory.begin() as session:
        campaign = make_campaign(session, name="Spring", template=make_template(session), state=state)
        for number, (copy_state, reason) in enumerate(copies):
            person = make_contact(session, f"person{number}@example.org", name=f"Person {number}")
            make_delivery(session, campaign.mailing, person, state=copy_state, reason=reason)
        return campaign.id


def _fields(**changed: object) -> dict[str, object]:
    return {
        "name": "Spring",
        "from_address": "news@example.com",
        "unknown_policy": "hold",
    } | changed


def _state(factory: SessionFactory, campaign_id: int) -> MailingState:
    with factory() as session:
        return session.get_one(Mailing, campaign_id).state


# The list


def test_the_list_says_what_to_do_while_there_is_no_campaign(signed_in: TestClient) -> None:
    page = signed_in.get(HERE).text
    assert "No campaigns yet" in page
    assert f'href="{HERE}/new"' in page


def test_a_finished_campaign_that_missed_anybody_is_not_green(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    copies = [(DeliveryState.ACCEPTED, None), (DeliveryState.REJECTED, "policy"), (DeliveryState.SKIPPED, "suppressed")]
    _launched(session_factory, copies, MailingState.FINISHED)
    page = signed_in.get(HERE).text
    assert "finished, 2 not reached" in page
    assert not re.search(r'badge tone-accepted">[^/]*/></svg>finished', page)


def test_the_list_is_filtered_by_state_and_name(signed_in: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        make_campaign(session, name="Spring news")
        make_campaign(session, name="Winter news", state=MailingState.PAUSED)
    assert "Winter news" not in signed_in.get(f"{HERE}?state=draft").text
    assert "Spring news" not in signed_in.get(f"{HERE}?q=winter").text
    assert "No campaign matches." in signed_in.get(f"{HERE}?state=draft&q=winter").text
    assert signed_in.get(f"{HERE}?state=nonsense").status_code == 200


# Writing


def test_a_new_campaign_becomes_a_draft(signed_in: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        list_id, template_id = make_list(session, "Customers").id, make_template(session, name="Spring").id
    form = signed_in.get(f"{HERE}/new").text
    assert "0 confirmed" in form
    assert "campaigns@example.com" in form
    fields = _fields(
        list_ids=[str(list_id)], template_id=str(template_id), limits="1,000 an hour", from_name="The Garden"
    )
    answer = signed_in.post(f"{HERE}/new", data=fields)
    assert answer.status_code == 303
    with session_factory() as session:
        campaign = session.scalars(select(Campaign)).one()
        mailing = campaign.mailing
        assert answer.headers["Location"] == f"{HERE}/{campaign.id}"
        assert (campaign.name, campaign.template_id, mailing.list_ids) == ("Spring", template_id, [list_id])
        assert (mailing.limits, mailing.from_name) == ((RateLimit(1000, 3600),), "The Garden")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": " "}, "name"),
        ({"from_address": "ada@@example.com"}, "from_address"),
        ({"limits": "many"}, "limits"),
        ({"list_ids": ["987654321"]}, "list_ids"),
    ],
)
def test_a_refused_campaign_keeps_what_was_typed_and_names_the_field(
    signed_in: TestClient, session_factory: SessionFactory, changed: dict[str, object], field: str
) -> None:
    with session_factory.begin() as session:
        make_list(session, "Customers")
    answer = signed_in.post(f"{HERE}/new", data=_fields(from_name="Kept <words>") | changed)
    assert answer.status_code == 422
    assert f'id="f-{field}-error"' in answer.text
    assert "Kept &lt;words&gt;" in answer.text
    with session_factory() as session:
        assert session.scalar(select(func.count()).select_from(Campaign)) == 0


def test_a_draft_is_written_anew_and_a_launched_campaign_is_not(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    campaign_id = _ready_campaign(session_factory)
    assert "Spring &lt;news&gt;" in signed_in.get(f"{HERE}/{campaign_id}/edit").text
    assert signed_in.post(f"{HERE}/{campaign_id}/edit", data=_fields(name="Autumn")).status_code == 303
    assert "Autumn" in signed_in.get(f"{HERE}/{campaign_id}").text
    launched = _launched(session_factory, [], MailingState.SENDING)
    assert signed_in.get(f"{HERE}/{launched}/edit").status_code == 409
    assert signed_in.post(f"{HERE}/{launched}/edit", data=_fields()).status_code == 409


def test_the_preview_shows_what_is_typed_as_a_real_contact_and_saves_nothing(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    campaign_id = _ready_campaign(session_factory)
    with session_factory() as session:
        template_id = session.get_one(Campaign, campaign_id).template_id
    fields = _fields(template_id=str(template_id), contact="person1@example.org", campaign_id=str(campaign_id))
    json = signed_in.post(f"{HERE}/preview", data=fields, headers={"Accept": "application/json"})
    assert json.json()["subject"] == "Hello Person 1"
    frame = signed_in.post(f"{HERE}/preview", data=fields)
    assert "<p>Hello Person 1</p>" in frame.text
    assert frame.headers["Content-Security-Policy"].startswith("sandbox")
    with session_factory() as session:
        assert session.scalar(select(func.count()).select_from(Mailing)) == 1


def test_the_preview_says_what_is_wrong_with_what_is_typed(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    with session_factory.begin() as session:
        template_id = make_template(session, subject="For {{ city }}").id
    asked = {"headers": {"Accept": "application/json"}}
    for changed, field in (
        ({"from_address": "nobody"}, "from_address"),
        ({"contact": "stranger@example.org"}, "contact"),
        ({}, "subject"),
    ):
        fields = _fields(template_id=str(template_id)) | changed
        answer = signed_in.post(f"{HERE}/preview", data=fields, **asked)
        assert [one["field"] for one in answer.json()["errors"]] == [field]
    assert "Choose a template" in signed_in.post(f"{HERE}/preview", data=_fields()).text


# A draft


def test_a_ready_draft_is_sent_to_those_whom_the_page_names(
    signed_in: TestClient, session_factory: SessionFactory, nudges: Nudges
) -> None:
    campaign_id = _ready_campaign(session_factory)
    page = signed_in.get(f"{HERE}/{campaign_id}").text
    assert "Send to 2 people" in page
    assert "Hello Person 0" in page
    answer = signed_in.post(f"{HERE}/{campaign_id}/launch", data={"audience": "2"})
    assert answer.status_code == 303
    assert _state(session_factory, campaign_id) is MailingState.SENDING
    assert nudges == [(queue.LAUNCH, campaign_id)]
    again = signed_in.post(f"{HERE}/{campaign_id}/launch", data={"audience": "2"})
    assert again.status_code == 303
    assert nudges == [(queue.LAUNCH, campaign_id)]
    assert "cannot be launched" in signed_in.get(f"{HERE}/{campaign_id}").text


def test_an_audience_that_grew_meanwhile_is_asked_for_again(
    signed_in: TestClient, session_factory: SessionFactory, nudges: Nudges
) -> None:
    campaign_id = _ready_campaign(session_factory, people=3)
    signed_in.post(f"{HERE}/{campaign_id}/launch", data={"audience": "2"})
    assert _state(session_factory, campaign_id) is MailingState.DRAFT
    assert nudges == []
    assert "the audience has grown to 3" in signed_in.get(f"{HERE}/{campaign_id}").text


def test_a_draft_that_is_not_ready_says_why_and_cannot_be_sent(
    signed_in: TestClient, session_factory: SessionFactory, nudges: Nudges
) -> None:
    with session_factory.begin() as session:
        campaign_id = make_campaign(session).id
    page = signed_in.get(f"{HERE}/{campaign_id}").text
    assert "Choose a template: there is nothing to send yet." in page
    assert f'action="{HERE}/{campaign_id}/launch"' not in page
    signed_in.post(f"{HERE}/{campaign_id}/launch")
    assert "Choose at least one list" in signed_in.get(f"{HERE}/{campaign_id}").text
    assert nudges == []


def test_a_template_that_does_not_fit_keeps_the_campaign_from_being_sent(
    signed_in: TestClient, session_factory: SessionFactory, nudges: Nudges
) -> None:
    campaign_id = _ready_campaign(session_factory, subject="For {{ city }}")
    page = signed_in.get(f"{HERE}/{campaign_id}").text
    assert "The mail cannot be composed" in page
    assert f'action="{HERE}/{campaign_id}/launch"' not in page
    signed_in.post(f"{HERE}/{campaign_id}/launch", data={"audience": "2"})
    assert _state(session_factory, campaign_id) is MailingState.DRAFT
    assert nudges == []
    assert "The template does not fit contact" in signed_in.get(f"{HERE}/{campaign_id}").text


def test_a_test_goes_to_an_address_with_the_words_of_a_contact(
    signed_in: TestClient, session_factory: SessionFactory, nudges: Nudges
) -> None:
    campaign_id = _ready_campaign(session_factory)
    fields = {"address": "Me@Example.COM", "contact": "person1@example.org"}
    assert signed_in.post(f"{HERE}/{campaign_id}/test", data=fields).status_code == 303
    with session_factory() as session:
        test = session.scalars(select(Mailing).where(Mailing.kind == MailingKind.TEST)).one()
        assert test.recipient_address == "me@example.com"
        assert test.recipient_variables["name"] == "Person 1"
        assert nudges == [(queue.LAUNCH_ONE, test.id)]
    page = signed_in.get(f"{HERE}/{campaign_id}").text
    assert "on its way" in page
    assert f"/admin/deliveries/{test.id}-1" in page
    refused = signed_in.post(f"{HERE}/{campaign_id}/test", data={"address": "nobody"})
    assert refused.status_code == 422
    assert 'id="f-address-error"' in refused.text


def test_a_schedule_is_read_in_the_zone_of_whoever_typed_it(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    campaign_id = _ready_campaign(session_factory)
    year = utc_now().year + 1
    for zone, hour in (("Europe/Vienna", 8), ("UTC", 9)):
        fields = {"scheduled_at": f"{year}-01-31T09:00", "scheduled_at_zone": zone}
        assert signed_in.post(f"{HERE}/{campaign_id}/schedule", data=fields).status_code == 303
        with session_factory() as session:
            found = session.get_one(Campaign, campaign_id).scheduled_at
            assert found == datetime(year, 1, 31, hour, tzinfo=UTC)
    assert "It goes out by itself" in signed_in.get(f"{HERE}/{campaign_id}").text
    assert signed_in.post(f"{HERE}/{campaign_id}/unschedule").status_code == 303
    assert _state(session_factory, campaign_id) is MailingState.DRAFT


@pytest.mark.parametrize("typed", ["2001-01-01T09:00", "soon", ""])
def test_a_time_that_cannot_be_is_refused_beside_its_field(
    signed_in: TestClient, session_factory: SessionFactory, typed: str
) -> None:
    campaign_id = _ready_campaign(session_factory)
    answer = signed_in.post(f"{HERE}/{campaign_id}/schedule", data={"scheduled_at": typed, "scheduled_at_zone": "Mars"})
    assert answer.status_code == 422
    assert 'id="f-scheduled_at-error"' in answer.text


def test_a_draft_is_copied_and_deleted(signed_in: TestClient, session_factory: SessionFactory) -> None:
    campaign_id = _ready_campaign(session_factory)
    to = signed_in.post(f"{HERE}/{campaign_id}/copy").headers["Location"]
    assert "Spring &lt;news&gt; (copy)" in signed_in.get(to).text
    assert signed_in.post(f"{HERE}/{campaign_id}/delete").headers["Location"] == HERE
    assert "“Spring &lt;news&gt;” was deleted." in signed_in.get(HERE).text
    assert signed_in.get(f"{HERE}/{campaign_id}").status_code == 404


# After the launch


def test_the_page_adds_up_and_names_every_reason(signed_in: TestClient, session_factory: SessionFactory) -> None:
    copies = [(DeliveryState.ACCEPTED, None)] * 3 + [(DeliveryState.REJECTED, "hard_bounce")] * 2
    copies += [(DeliveryState.UNKNOWN, "timeout"), (DeliveryState.SKIPPED, "suppressed")]
    campaign_id = _launched(session_factory, copies, MailingState.FINISHED)
    page = signed_in.get(f"{HERE}/{campaign_id}").text
    assert "Finished: 3 of 7 accepted, 3 not reached, 1 unknown." in page
    assert "finished, 4 not reached" in page
    for words in ("No such address", "No answer in time", "The address is suppressed"):
        assert words in page
    assert f"{HERE}/{campaign_id}/log?state=rejected&amp;reason=hard_bounce" in page
    assert "Try 2 again" in page
    assert "Decide about 1 unknown" in page


def test_what_the_counters_know_beyond_the_reasons_is_shown_too(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    campaign_id = _launched(session_factory, [(DeliveryState.ACCEPTED, None)], MailingState.FINISHED)
    with session_factory.begin() as session:
        count_moves(session, campaign_id, {"rejected": 5})
    page = signed_in.get(f"{HERE}/{campaign_id}").text
    assert "Nobody was missed" not in page
    assert "Without a reason" in page


def test_a_campaign_is_paused_resumed_and_cancelled(
    signed_in: TestClient, session_factory: SessionFactory, nudges: Nudges
) -> None:
    copies = [(DeliveryState.ACCEPTED, None), (DeliveryState.PENDING, None), (DeliveryState.PENDING, None)]
    campaign_id = _launched(session_factory, copies, MailingState.SENDING)
    here = f"{HERE}/{campaign_id}"
    assert "Cancel: 2 will not be mailed" in signed_in.get(here).text
    signed_in.post(f"{here}/pause")
    assert "Paused by Ada." in signed_in.get(here).text
    signed_in.post(f"{here}/resume")
    assert _state(session_factory, campaign_id) is MailingState.SENDING
    signed_in.post(f"{here}/cancel")
    assert _state(session_factory, campaign_id) is MailingState.CANCELLED
    assert nudges == [(queue.DISPATCH,), (queue.SWEEP,)]


def test_a_click_that_comes_too_late_is_told_and_changes_nothing(
    signed_in: TestClient, session_factory: SessionFactory, nudges: Nudges
) -> None:
    campaign_id = _launched(session_factory, [(DeliveryState.ACCEPTED, None)], MailingState.FINISHED)
    answer = signed_in.post(f"{HERE}/{campaign_id}/resume")
    assert answer.status_code == 303
    assert "cannot be resumed" in signed_in.get(f"{HERE}/{campaign_id}").text
    assert nudges == []
    assert signed_in.post(f"{HERE}/987654321/pause").status_code == 404


def test_the_rejected_are_tried_again(signed_in: TestClient, session_factory: SessionFactory, nudges: Nudges) -> None:
    campaign_id = _launched(session_factory, [(DeliveryState.REJECTED, "policy")] * 2, MailingState.FINISHED)
    signed_in.post(f"{HERE}/{campaign_id}/retry", data={"state": "rejected"})
    assert "2 rejected copies are tried again now." in signed_in.get(f"{HERE}/{campaign_id}").text
    assert nudges == [(queue.DISPATCH,)]
    with session_factory() as session:
        due = session.scalars(select(Delivery.next_attempt_at).where(Delivery.mailing_id == campaign_id)).all()
        assert None not in due
    assert signed_in.post(f"{HERE}/{campaign_id}/retry", data={"state": "accepted"}).status_code == 422


def test_the_limit_is_changed_while_it_is_sending(
    signed_in: TestClient, session_factory: SessionFactory, nudges: Nudges
) -> None:
    campaign_id = _launched(session_factory, [(DeliveryState.PENDING, None)], MailingState.SENDING)
    here = f"{HERE}/{campaign_id}/limits"
    assert signed_in.post(here, data={"limits": "5 a second, 100 a minute"}).status_code == 303
    assert 'value="5 a second, 100 a minute"' in signed_in.get(f"{HERE}/{campaign_id}").text
    with session_factory() as session:
        mailing = session.get_one(Mailing, campaign_id)
        assert mailing.limits == (RateLimit(5, 1), RateLimit(100, 60))
    assert nudges == [(queue.DISPATCH,)]
    refused = signed_in.post(here, data={"limits": "0 a minute"})
    assert refused.status_code == 422
    assert 'id="f-limits-error"' in refused.text
    assert signed_in.post(here, data={"limits": ""}).status_code == 303
    with session_factory() as session:
        assert session.get_one(Mailing, campaign_id).limits == ()


def test_live_numbers_say_when_the_page_is_out_of_date(signed_in: TestClient, session_factory: SessionFactory) -> None:
    copies = [(DeliveryState.ACCEPTED, None), (DeliveryState.PENDING, None)]
    campaign_id = _launched(session_factory, copies, MailingState.SENDING)
    page = signed_in.get(f"{HERE}/{campaign_id}").text
    assert f'data-live="{HERE}/{campaign_id}/live" data-live-seen="sending"' in page
    numbers = signed_in.get(f"{HERE}/{campaign_id}/live").json()
    assert (numbers["counts"]["accepted"], numbers["audience"], numbers["done"]) == (1, 2, False)
    assert (numbers["state"], numbers["doing"]) == ("sending", "No send worker is running.")
    signed_in.post(f"{HERE}/{campaign_id}/pause")
    paused = signed_in.get(f"{HERE}/{campaign_id}/live").json()
    assert (paused["state"], paused["done"]) == ("paused", False)
    finished = _launched(session_factory, [], MailingState.FINISHED)
    assert signed_in.get(f"{HERE}/{finished}/live").json()["done"] is True


def test_the_content_of_a_launched_campaign_stays_as_it_was(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    campaign_id = _ready_campaign(session_factory)
    signed_in.post(f"{HERE}/{campaign_id}/launch", data={"audience": "2"})
    with session_factory.begin() as session:
        campaign = session.get_one(Campaign, campaign_id)
        template = session.get_one(type(make_template(session)), campaign.template_id)
        template.subject = "Changed since"
    page = signed_in.get(f"{HERE}/{campaign_id}/content?contact=person1@example.org").text
    assert "Hello Person 1" in page
    assert "Changed since" not in page
    for theme in ("light", "dark"):
        frame = signed_in.get(f"{HERE}/{campaign_id}/mail?contact=person1@example.org&theme={theme}")
        assert "<p>Hello Person 1</p>" in frame.text
    assert "&amp;theme=dark" in page
    assert "no dark style of its own" in page
    assert "There is no contact" in signed_in.get(f"{HERE}/{campaign_id}/content?contact=stranger@example.org").text


# The send log


def test_the_log_is_filtered_and_its_numbers_are_links(signed_in: TestClient, session_factory: SessionFactory) -> None:
    copies = [(DeliveryState.ACCEPTED, None)] * 2 + [
        (DeliveryState.REJECTED, "policy"),
        (DeliveryState.REJECTED, "mailbox_full"),
    ]
    campaign_id = _launched(session_factory, copies, MailingState.FINISHED)
    log = f"{HERE}/{campaign_id}/log"
    everything = signed_in.get(log).text
    assert f'href="{log}?state=rejected"' in everything
    assert "1–4 of 4" in everything
    rejected = signed_in.get(f"{log}?state=rejected").text
    assert "2 copies match" in rejected
    assert "person0@example.org" not in rejected
    full = signed_in.get(f"{log}?state=rejected&reason=mailbox_full").text
    assert "1 copy matches" in full
    assert "person3@example.org" in full
    assert "person1@example.org" in signed_in.get(f"{log}?q=person1").text
    assert "No copy matches." in signed_in.get(f"{log}?q=nobody-of-this-name").text


def test_the_log_is_walked_page_by_page_in_both_directions(
    signed_in: TestClient, session_factory: SessionFactory
) -> None:
    campaign_id = _launched(session_factory, [(DeliveryState.ACCEPTED, None)] * 5, MailingState.FINISHED)
    first = signed_in.get(f"{HERE}/{campaign_id}/log?limit=2").text
    after = re.search(r'href="([^"]+)" rel="next"', first)
    assert after
    second = signed_in.get(after[1].replace("&amp;", "&") + "&limit=2").text
    assert "3–4 of 5" in second
    assert "person2@example.org" in second
    before = re.search(r'href="([^"]+)" rel="prev"', second)
    assert before
    assert "1–2 of 5" in signed_in.get(before[1].replace("&amp;", "&") + "&limit=2").text


def test_the_csv_has_every_line_and_no_formula(
    signed_in: TestClient, session_factory: SessionFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("email_campaign.web.admin.campaign_log.EXPORT_PAGE", 2)
    campaign_id = _launched(session_factory, [(DeliveryState.ACCEPTED, None)] * 5, MailingState.FINISHED)
    with session_factory.begin() as session:
        mailing = session.get_one(Mailing, campaign_id)
        person = make_contact(session, "+sum@example.org", name="=cmd|' /C calc'!A0")
        make_delivery(session, mailing, person, state=DeliveryState.REJECTED, reason="policy")
    answer = signed_in.get(f"{HERE}/{campaign_id}/log.csv")
    lines = answer.text.splitlines()
    assert "attachment" in answer.headers["Content-Disposition"]
    assert len(lines) == 7
    assert "'+sum@example.org,'=cmd|' /C calc'!A0,rejected,policy" in lines[-1]
    assert len(signed_in.get(f"{HERE}/{campaign_id}/log.csv?state=rejected").text.splitlines()) == 2


def test_every_reason_that_a_reply_can_give_has_words() -> None:
    tables = (replies._TEMPORARY, replies._TEMPORARY_CODES, replies._PERMANENT, replies._PERMANENT_CODES)
    given = {reason for table in tables for reason, _ in table.values()}
    assert given <= set(REASONS)


def test_actions_need_the_page_that_they_stand_on(signed_in: TestClient, session_factory: SessionFactory) -> None:
    campaign_id = _ready_campaign(session_factory)
    del signed_in.headers["X-CSRF-Token"]
    for action in ("launch", "delete", "copy", "test", "cancel"):
        assert signed_in.post(f"{HERE}/{campaign_id}/{action}").status_code == 403
    assert _state(session_factory, campaign_id) is MailingState.DRAFT
