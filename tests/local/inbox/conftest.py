"""A running inbox, and the mails whose answers from a real MailHog are in recorded.json."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from email_campaign.local.inbox.server import RunningInbox, running_inbox
from tests.local.inbox.wire import Wire


@pytest.fixture(scope="session")
def recorded() -> dict[str, Any]:
    """What the real MailHog 1.0.1 answered."""
    answers: dict[str, Any] = json.loads(Path(__file__).with_name("recorded.json").read_text())
    return answers


@pytest.fixture(scope="session")
def running() -> Iterator[RunningInbox]:
    """One inbox for all these tests, on free ports."""
    with running_inbox() as started:
        yield started


@pytest.fixture
def inbox(running: RunningInbox) -> RunningInbox:
    """An inbox that is empty."""
    running.store.delete_all()
    return running


@pytest.fixture
def web(inbox: RunningInbox) -> Iterator[httpx.Client]:
    """An HTTP client of the inbox, on one connection."""
    with httpx.Client(base_url=inbox.http_url) as client:
        yield client


@pytest.fixture
def wire(inbox: RunningInbox) -> Iterator[Wire]:
    """A raw SMTP connection that has read the banner."""
    with Wire(inbox.smtp_port) as connection:
        assert connection.reply() == ["220 mailhog.example ESMTP MailHog"]
        yield connection
