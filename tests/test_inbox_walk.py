"""The walk as MailHog sees it: what arrives, and what its links do."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from email_campaign.db import SessionFactory
from email_campaign.local.programs import Lifeline
from email_campaign.settings import Settings
from tests.mailhog import Catcher
from tests.service import Service, running_service


@pytest.fixture
def service(
    mailhog: Catcher, settings: Settings, lifeline: Lifeline, services_dir: Path, session_factory: SessionFactory
) -> Iterator[Service]:
    """Its relay is the catcher."""
    folder = services_dir / "mailhog"
    folder.mkdir()
    with running_service(settings, lifeline, folder, mailhog.address, send_processes=1) as running:
        yield running


def test_what_arrives_in_the_inbox_can_be_unsubscribed_from(service: Service, mailhog: Catcher) -> None:
    campaign_id = service.launch(3)
    assert service.finished(campaign_id) == {"accepted": 3}
    mails = mailhog.messages()
    assert len(mails) == 3
    headers = mails[0]["Content"]["Headers"]
    assert headers["Subject"][0].startswith("Hello Person")
    assert headers["List-Unsubscribe-Post"] == ["List-Unsubscribe=One-Click"]
    link = re.fullmatch("<(.*)>", headers["List-Unsubscribe"][0])
    assert link
    assert httpx.get(link[1]).status_code == 200
    address = mails[0]["Raw"]["To"][0]
    assert _state_of(service, address) == "confirmed"  # looking changes nothing
    assert httpx.post(link[1], data={"List-Unsubscribe": "One-Click"}).status_code == 200
    assert _state_of(service, address) == "unsubscribed"


def _state_of(service: Service, address: str) -> str:
    contact = service.get("/contacts", q=address)["items"][0]
    return str(service.get(f"/contacts/{contact['id']}")["subscriptions"][0]["state"])
