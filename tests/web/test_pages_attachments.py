"""The files of a campaign in its form, and wherever its mail is shown."""

import html
import re

import pytest
from starlette.testclient import TestClient

from email_campaign.campaigns.campaigns import Campaign
from email_campaign.db import SessionFactory
from email_campaign.delivery.deliveries import DeliveryState
from tests.factories import make_campaign, make_contact, make_delivery, make_list, make_subscription, make_template

HERE = "/admin/campaigns"
FIELDS = {"name": "Spring", "from_address": "news@example.com", "unknown_policy": "hold"}
PDF = ("files", ("prices.pdf", b"%PDF-1.7"))
CSV = ("files", ("people.csv", b"a;b"))


@pytest.fixture
def draft(session_factory: SessionFactory) -> str:
    """The page of a campaign that could be launched."""
    with session_factory.begin() as session:
        customers = make_list(session)
        make_subscription(session, make_contact(session, name="Ada"), customers)
        return f"{HERE}/{make_campaign(session, template=make_template(session), lists=[customers]).id}"


def carried(factory: SessionFactory, page: str) -> list[int]:
    with factory() as session:
        return session.get_one(Campaign, int(page.rpartition("/")[2])).attachment_ids


def offered(page: str) -> list[tuple[str, bool]]:
    """The files of the form, each with whether it is ticked."""
    boxes = re.findall(r'name="attachment_ids" value="\d+"( checked)?><label[^>]*>(.*?) <span', page)
    return [(html.unescape(name), bool(ticked)) for ticked, name in boxes]


def version(page: str) -> str:
    found = re.search(r'name="version" value="([^"]+)"', page)
    assert found
    return found[1]


def test_a_new_campaign_is_saved_with_its_files(signed_in: TestClient, session_factory: SessionFactory) -> None:
    assert 'enctype="multipart/form-data"' in signed_in.get(f"{HERE}/new").text
    made = signed_in.post(f"{HERE}/new", data=FIELDS, files=[PDF, CSV])
    assert made.status_code == 303
    page = signed_in.get(made.headers["Location"]).text
    (first, _) = carried(session_factory, made.headers["Location"])
    assert f'href="{made.headers["Location"]}/attachments/{first}" download>prices.pdf</a>' in page
    file = signed_in.get(f"{made.headers['Location']}/attachments/{first}")
    assert (file.content, file.headers["Content-Type"]) == (b"%PDF-1.7", "application/octet-stream")
    assert signed_in.get(f"{made.headers['Location']}/attachments/{first + 99}").status_code == 404


def test_the_form_lists_what_is_carried_and_a_file_that_is_unticked_is_taken_off(
    signed_in: TestClient, session_factory: SessionFactory, draft: str
) -> None:
    signed_in.post(f"{draft}/edit", data=FIELDS, files=[PDF, CSV])
    form = signed_in.get(f"{draft}/edit").text
    assert offered(form) == [("prices.pdf", True), ("people.csv", True)]
    assert "application/pdf, 8 bytes" in form
    assert "11 bytes of 7.0 MB" in form
    keep = carried(session_factory, draft)[1]
    assert signed_in.post(f"{draft}/edit", data=FIELDS | {"attachment_ids": str(keep)}).status_code == 303
    assert carried(session_factory, draft) == [keep]


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("setup.exe", b"MZ", "refuse files that end in .exe"),
        ("empty.pdf", b"", "“empty.pdf” is empty"),
        ("é" * 120 + ".pdf", b"x", "more than 200 bytes"),
        ("huge.pdf", b"x" * 7_000_001, "“huge.pdf” has 7.1 MB, and a mail carries 7.0 MB at most"),
    ],
)
def test_a_refused_file_is_told_beside_its_field_and_the_good_ones_stay(
    signed_in: TestClient, session_factory: SessionFactory, draft: str, name: str, data: bytes, told: str
) -> None:
    answer = signed_in.post(f"{draft}/edit", data=FIELDS | {"from_name": "Kept"}, files=[PDF, ("files", (name, data))])
    assert answer.status_code == 422
    assert 'id="f-files-error"' in answer.text
    assert told in html.unescape(answer.text)
    assert "Kept" in answer.text
    assert offered(answer.text) == [("prices.pdf", True)]
    assert carried(session_factory, draft) == []


def test_files_that_are_too_large_together_come_back_ticked_to_choose_among(
    signed_in: TestClient, session_factory: SessionFactory, draft: str
) -> None:
    files = [("files", (f"{number}.bin", bytes([number]) * 4_000_000)) for number in range(2)]
    answer = signed_in.post(f"{draft}/edit", data=FIELDS, files=files)
    assert answer.status_code == 422
    assert "The files have 8.0 MB, and a mail carries 7.0 MB at most" in answer.text
    assert 'id="f-attachment_ids-error"' in answer.text
    assert offered(answer.text) == [("0.bin", True), ("1.bin", True)]
    ids = re.findall(r'name="attachment_ids" value="(\d+)"', answer.text)
    assert signed_in.post(f"{draft}/edit", data=FIELDS | {"attachment_ids": ids[1]}).status_code == 303
    assert carried(session_factory, draft) == [int(ids[1])]


def test_a_form_that_is_refused_for_another_field_comes_back_with_its_new_file(
    signed_in: TestClient, draft: str
) -> None:
    answer = signed_in.post(f"{draft}/edit", data=FIELDS | {"name": ""}, files=[PDF])
    assert answer.status_code == 422
    assert offered(answer.text) == [("prices.pdf", True)]
    new = signed_in.post(f"{HERE}/new", data=FIELDS | {"name": ""}, files=[PDF])
    assert offered(new.text) == [("prices.pdf", True)]


def test_a_file_that_somebody_else_attached_meanwhile_is_not_lost(
    signed_in: TestClient, session_factory: SessionFactory, draft: str
) -> None:
    mine = version(signed_in.get(f"{draft}/edit").text)
    signed_in.post(f"{draft}/edit", data=FIELDS, files=[PDF])
    theirs = carried(session_factory, draft)
    refused = signed_in.post(f"{draft}/edit", data=FIELDS | {"version": mine, "from_name": "Mine"})
    assert refused.status_code == 409
    assert "<b>Attachments</b>: they saved “prices.pdf”" in refused.text
    assert offered(refused.text) == [("prices.pdf", True)]
    both = signed_in.post(f"{draft}/edit", data=FIELDS | {"version": mine}, files=[CSV])
    assert both.status_code == 409
    assert offered(both.text) == [("prices.pdf", False), ("people.csv", True)]
    assert carried(session_factory, draft) == theirs


def test_the_mail_is_shown_with_its_files_before_and_after_the_launch(
    signed_in: TestClient, session_factory: SessionFactory, draft: str
) -> None:
    signed_in.post(f"{draft}/edit", data=_as_it_is(session_factory, draft), files=[PDF])
    (one,) = carried(session_factory, draft)
    link = f'href="{draft}/attachments/{one}" download>prices.pdf</a>'
    page = signed_in.get(draft).text
    assert page.count(link) == 2  # among the facts, and on the mail
    assert "(8 bytes as base64: not shown here)" in page
    launched = signed_in.post(f"{draft}/launch", data={"audience": "1"})
    assert launched.status_code == 303, launched.text
    assert link in signed_in.get(draft).text
    assert link in signed_in.get(f"{draft}/content").text


def test_a_copy_s_file_is_saved_from_its_page_and_no_other_is(
    signed_in: TestClient, session_factory: SessionFactory, draft: str
) -> None:
    signed_in.post(f"{draft}/edit", data=_as_it_is(session_factory, draft), files=[PDF])
    signed_in.post(f"{draft}/launch", data={"audience": "1"})
    with session_factory.begin() as session:
        campaign = session.get_one(Campaign, int(draft.rpartition("/")[2]))
        delivery = make_delivery(session, campaign.mailing, make_contact(session), state=DeliveryState.ACCEPTED)
        here, one = f"/admin/deliveries/{campaign.id}-{delivery.position}", campaign.attachment_ids[0]
    assert signed_in.get(f"{here}/attachments/{one}").content == b"%PDF-1.7"
    assert signed_in.get(f"{here}/attachments/{one + 1}").status_code == 404


def _as_it_is(factory: SessionFactory, page: str) -> dict[str, str]:
    with factory() as session:
        campaign = session.get_one(Campaign, int(page.rpartition("/")[2]))
        lists = {"list_ids": str(campaign.mailing.list_ids[0])}
        return FIELDS | lists | {"template_id": str(campaign.template_id)}
