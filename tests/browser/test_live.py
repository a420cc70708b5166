"""Numbers that move by themselves: over a stream, by asking where that fails, and as of when where nothing answers."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from email_campaign.campaigns.mailings import Mailing, MailingState
from email_campaign.clock import utc_now
from email_campaign.delivery.deliveries import count_moves
from tests.browser.conftest import Visit
from tests.factories import make_campaign
from tests.service import Service

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

NO_STREAM = """
window.EventSource = class extends EventTarget {
  static CLOSED = 2;
  readyState = 2;
  constructor() { super(); setTimeout(() => this.dispatchEvent(new Event("error"))); }
  close() {}
};
"""
"""A browser whose every stream is refused."""
HIDE = """
Object.defineProperty(document, "hidden", { get: () => window.isAway, configurable: true });
window.isAway = %s;
document.dispatchEvent(new Event("visibilitychange"));
"""


@pytest.fixture
def campaign(service: Service) -> Iterator[int]:
    """A paused campaign of ten; its numbers are moved by the test."""
    with service.factory.begin() as session:
        made = make_campaign(session, state=MailingState.PAUSED)
        count_moves(session, made.id, {"accepted": 1, "pending": 9})
    yield made.id
    with service.factory.begin() as session:
        mailing = session.get_one(Mailing, made.id)
        mailing.state, mailing.finished_at, mailing.settled_at = MailingState.FINISHED, utc_now(), utc_now()


def test_numbers_move_without_a_reload_and_rest_while_nobody_looks(
    visit: Visit, service: Service, campaign: int
) -> None:
    with visit() as page:
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        with page.expect_request("**/admin/events?of=campaigns*"):
            page.goto(f"/admin/campaigns/{campaign}")
        _shows(page, accepted=1)
        page.evaluate("window.isTheSame = true")
        height = page.evaluate("document.body.scrollHeight")
        _accept(service, campaign, 4)
        _shows(page, accepted=5)
        assert page.evaluate("window.isTheSame") is True
        assert page.evaluate("document.body.scrollHeight") == height
        assert not [url for url in asked if url.endswith("/live")]

        with page.expect_event("requestfailed"):  # its stream is closed
            page.evaluate(HIDE % "true")
        _accept(service, campaign, 2)
        with page.expect_request("**/admin/events?of=campaigns*"):
            page.evaluate(HIDE % "false")
        _shows(page, accepted=7)


def test_a_page_whose_stream_fails_asks_instead_and_says_as_of_when(
    visit: Visit, service: Service, campaign: int
) -> None:
    with visit() as page:
        page.add_init_script(NO_STREAM)
        page.goto(f"/admin/campaigns/{campaign}")
        _accept(service, campaign, 4)
        _shows(page, accepted=5)
        stamp = page.locator("[data-live-stamp]")
        expect(stamp).to_have_text("")
        page.evaluate("void (window.fetch = () => Promise.reject(new TypeError('cut')))")
        expect(stamp).to_have_text(re.compile(r"^No connection: numbers as of \d\d:\d\d:\d\d$"))


def _accept(service: Service, campaign: int, count: int) -> None:
    with service.factory.begin() as session:
        count_moves(session, campaign, {"accepted": count, "pending": -count})


def _shows(page: Page, *, accepted: int) -> None:
    expect(page.locator('[data-live-state="accepted"] b')).to_have_text(str(accepted))
    expect(page.locator('[data-live-field="sentence"]')).to_contain_text(f"{accepted} of 10 accepted")
