"""The test fixture `mailhog`: one test code for pytest-localserver, a real MailHog, and our inbox."""

import smtplib
from collections.abc import Callable
from email.message import EmailMessage

import pytest

from email_campaign.local.inbox.server import RunningInbox
from tests.mailhog import Catcher, HttpCatcher


@pytest.fixture(params=["mailhog", "our inbox"])
def catcher(request: pytest.FixtureRequest, inbox: RunningInbox) -> Catcher:
    if request.param == "our inbox":
        return HttpCatcher((inbox.smtp_host, inbox.smtp_port), inbox.http_url)
    found: Catcher = request.getfixturevalue("mailhog")
    return found


@pytest.fixture
def send(catcher: Catcher) -> Callable[[str], None]:
    """Send a mail with this subject."""

    def send_one(subject: str) -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "a@from.example", "b@to.example", subject
        message.set_content("Grüße\n")
        message.add_alternative("<p>Grüße</p>", subtype="html")
        with smtplib.SMTP(*catcher.address) as smtp:
            smtp.send_message(message, to_addrs=["b@to.example", "hidden@bcc.example"])

    return send_one


def test_a_catcher_tells_mails_in_mailhogs_shape(catcher: Catcher, send: Callable[[str], None]) -> None:
    send("one")
    [told] = catcher.messages()
    assert list(told) == ["ID", "From", "To", "Content", "Created", "MIME", "Raw"]
    assert told["Content"]["Headers"]["Subject"] == ["one"]
    assert [path["Mailbox"] for path in told["To"]] == ["b", "hidden"]
    assert told["Raw"]["From"] == "a@from.example"
    assert [part["Body"] for part in told["MIME"]["Parts"]][-1] == "--"
    assert len(told["Raw"]["Data"].encode()) == told["Content"]["Size"]
    assert not told["Raw"]["Data"].endswith("\r\n")


def test_a_catcher_lists_newest_first_searches_and_forgets(catcher: Catcher, send: Callable[[str], None]) -> None:
    for subject in ("one", "two", "three"):
        send(subject)
    assert [told["Content"]["Headers"]["Subject"][0] for told in catcher.messages()] == ["three", "two", "one"]
    assert catcher.messages() == catcher.messages()
    assert len(catcher.search("to", "HIDDEN@bcc")) == 3
    assert len(catcher.search("containing", "two")) == 1
    assert catcher.search("from", "nobody") == []
    catcher.delete_all()
    assert catcher.messages() == []
