"""The files of a campaign over HTTP."""

import pytest
from starlette.testclient import TestClient

from email_campaign.campaigns.campaigns import Campaign
from email_campaign.campaigns.mailings import MailingState
from email_campaign.db import SessionFactory
from email_campaign.settings import Settings
from tests.factories import make_campaign, make_template

PDF = b"%PDF-1.7\0\xff"


@pytest.fixture
def draft(session_factory: SessionFactory) -> str:
    """The address of a campaign that was not launched."""
    with session_factory.begin() as session:
        return f"/api/v1/campaigns/{make_campaign(session, template=make_template(session)).id}"


def upload(api: TestClient, where: str, key: str = "") -> dict[str, object]:
    headers = {"Idempotency-Key": key} if key else {}
    answer = api.post(f"{where}/attachments", files={"file": ("Prices ü.pdf", PDF)}, headers=headers)
    assert answer.status_code == 201, answer.text
    made: dict[str, object] = answer.json()
    return made


def test_a_file_is_attached_listed_read_and_taken_off(api: TestClient, draft: str) -> None:
    made = upload(api, draft)
    assert made == {"id": made["id"], "name": "Prices ü.pdf", "media_type": "application/pdf", "size": len(PDF)}
    assert api.get(f"{draft}/attachments").json() == [made]
    assert api.get(draft).json()["attachments"] == [made]
    file = api.get(f"{draft}/attachments/{made['id']}")
    assert file.content == PDF
    assert file.headers["Content-Type"] == "application/octet-stream"
    assert file.headers["Content-Disposition"] == "attachment; filename*=UTF-8''Prices%20%C3%BC.pdf"
    assert file.headers["X-Content-Type-Options"] == "nosniff"
    assert api.delete(f"{draft}/attachments/{made['id']}").status_code == 204
    assert api.get(f"{draft}/attachments").json() == []
    for gone in (api.get(f"{draft}/attachments/{made['id']}"), api.delete(f"{draft}/attachments/{made['id']}")):
        assert gone.status_code == 404


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("setup.exe", PDF, "refuse files that end in .exe"),
        ("a.pdf", b"", "is empty"),
        ("x" * 300 + ".pdf", PDF, "more than 200 bytes"),
        ("a.pdf", b"x" * 7_000_001, "at most"),
    ],
)
def test_a_file_that_cannot_be_attached_is_told_with_what_to_do(
    api: TestClient, draft: str, name: str, data: bytes, told: str
) -> None:
    answer = api.post(f"{draft}/attachments", files={"file": (name, data)})
    assert answer.status_code == 422
    (problem,) = answer.json()["errors"]
    assert problem["field"] == "file"
    assert told in problem["message"]
    assert api.get(f"{draft}/attachments").json() == []


def test_what_is_no_file_and_what_is_far_too_large_is_refused(api: TestClient, draft: str, settings: Settings) -> None:
    assert api.post(f"{draft}/attachments", data={"file": "text"}).json()["errors"][0]["field"] == "file"
    most = settings.request_max_bytes + 2 * settings.attachments_max_bytes
    answer = api.post(f"{draft}/attachments", files={"file": ("a.pdf", b"x" * most)})
    assert answer.status_code == 413


def test_an_attachment_is_part_of_what_an_etag_names(api: TestClient, draft: str) -> None:
    before = api.get(draft).headers["ETag"]
    answer = api.post(f"{draft}/attachments", files={"file": ("a.pdf", PDF)}, headers={"If-Match": before})
    assert answer.status_code == 201
    after = api.get(draft).headers["ETag"]
    assert before != after == answer.headers["ETag"] == api.get(f"{draft}/attachments").headers["ETag"]
    one = f"{draft}/attachments/{answer.json()['id']}"
    for late in (
        api.patch(draft, json={"name": "Other"}, headers={"If-Match": before}),
        api.post(f"{draft}/attachments", files={"file": ("b.pdf", PDF)}, headers={"If-Match": before}),
        api.delete(one, headers={"If-Match": before}),
    ):
        assert late.status_code == 412
    assert api.delete(one, headers={"If-Match": after}).status_code == 204
    assert api.get(draft).headers["ETag"] == before


def test_an_upload_that_is_sent_again_with_its_key_is_carried_out_once(api: TestClient, draft: str) -> None:
    first = upload(api, draft, "k")
    api.delete(f"{draft}/attachments/{first['id']}")
    assert upload(api, draft, "k") == first
    assert api.get(f"{draft}/attachments").json() == []


def test_a_copy_and_a_preview_carry_the_files_and_a_launched_campaign_takes_none(
    api: TestClient, draft: str, session_factory: SessionFactory
) -> None:
    made = upload(api, draft)
    assert api.post(f"{draft}/copy").json()["attachments"] == [made]
    preview = api.post(f"{draft}/preview", json={}).json()
    assert preview["attachments"] == [made]
    assert "Content-Type: multipart/mixed" in preview["source"]
    with session_factory.begin() as session:
        campaign = session.get_one(Campaign, int(draft.rpartition("/")[2]))
        campaign.mailing.state = MailingState.SENDING
    assert api.post(f"{draft}/attachments", files={"file": ("b.pdf", PDF)}).status_code == 409
    assert api.delete(f"{draft}/attachments/{made['id']}").status_code == 409


def test_a_stranger_attaches_and_reads_nothing(client: TestClient, api: TestClient, draft: str) -> None:
    made = upload(api, draft)
    assert client.post(f"{draft}/attachments", files={"file": ("a.pdf", PDF)}).status_code == 401
    assert client.get(f"{draft}/attachments/{made['id']}").status_code == 401
