"""The pages in a real browser: live list, and mail that tries to run a script."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from email_campaign.local.inbox.server import RunningInbox
from tests.local.inbox.wire import deliver

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-component-update",
]

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine"),
]

HOSTILE = (
    b"Subject: <b>hostile</b>\r\nContent-Type: text/html\r\n\r\n<html><body>Before "
    b"<script>document.body.textContent = 'script ran'</script>"
    b"<img src=x onerror=\"document.body.textContent = 'handler ran'\">"
    b"<meta http-equiv=refresh content='0;url=/delete-all'><svg onload=\"parent.location='/delete-all'\"></svg>"
    b'<a href="/poll">A link</a> after</body></html>'
)


@pytest.fixture
def page(inbox: RunningInbox) -> Iterator[Page]:
    """A page whose script errors fail the test."""
    errors: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        opened = browser.new_page(base_url=inbox.http_url, viewport={"width": 360, "height": 700})
        opened.on("pageerror", lambda error: errors.append(str(error)))
        yield opened
        browser.close()
    assert not errors


def test_new_mail_appears_and_deleted_mail_goes_by_itself(page: Page, inbox: RunningInbox) -> None:
    page.goto("/")
    expect(page.get_by_text("No mail yet.")).to_be_visible()
    deliver(inbox.smtp_port, b"Subject: just arrived\r\n\r\nx")
    expect(page.get_by_text("just arrived")).to_be_visible()
    inbox.store.delete_all()
    expect(page.get_by_text("No mail yet.")).to_be_visible()


def test_a_reader_in_the_list_is_told_of_news_and_not_disturbed(page: Page, inbox: RunningInbox) -> None:
    deliver(inbox.smtp_port, b"Subject: first\r\n\r\nx")
    page.goto("/")
    page.locator(".mails a").focus()
    deliver(inbox.smtp_port, b"Subject: second\r\n\r\nx")
    page.get_by_text("Show it.").click()
    expect(page.locator(".mails a")).to_have_count(2)


def test_a_hostile_mail_is_shown_and_does_nothing(page: Page, inbox: RunningInbox) -> None:
    deliver(inbox.smtp_port, HOSTILE)
    page.goto("/")
    page.get_by_text("<b>hostile</b>").click()
    body = page.frame_locator("iframe").locator("body")
    expect(body).to_contain_text("Before")
    expect(body).to_contain_text("after")
    with page.context.expect_page() as opened:
        page.frame_locator("iframe").get_by_text("A link").click()
    expect(opened.value.locator("body")).to_contain_text("changes")
    expect(page).to_have_title("<b>hostile</b> – Inbox")
    assert len(inbox.store) == 1


def test_a_mail_is_deleted_with_a_click(page: Page, inbox: RunningInbox) -> None:
    deliver(inbox.smtp_port, b"Subject: unwanted\r\n\r\nx")
    page.goto("/")
    page.get_by_text("unwanted").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("No mail yet.")).to_be_visible()
