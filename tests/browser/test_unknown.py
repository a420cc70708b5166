"""Unknown copies, from the dashboard to the last of them, on a phone in the dark; one mail goes out again."""

import pytest
from playwright.sync_api import expect
from sqlalchemy import text

from email_campaign.delivery.deliveries import count_moves
from tests.browser.conftest import Visit
from tests.browser.test_pages import overflow
from tests.service import Service

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture
def lost(service: Service) -> int:
    """A finished campaign to four people; for the positions 2 to 4 the line broke after the dot."""
    campaign_id = service.launch(4)
    service.finished(campaign_id)
    with service.factory.begin() as session:
        for change in (
            "UPDATE deliveries SET state = 'unknown', reason = 'closed'",
            "UPDATE attempts SET verdict = 'unknown', code = NULL, enhanced_code = NULL, reply = 'The line was cut.'",
        ):
            session.execute(text(f"{change} WHERE mailing_id = :id AND position > 1"), {"id": campaign_id})
        count_moves(session, campaign_id, {"accepted": -3, "unknown": 3})
    return campaign_id


def test_unknown_copies_are_seen_found_out_and_sent_again(visit: Visit, service: Service, lost: int) -> None:
    with visit(viewport={"width": 360, "height": 740}, color_scheme="dark") as page:
        page.goto("/admin")
        page.get_by_role("link", name="unknown: nobody can say whether the relay took them").click()
        expect(page.locator(".head h1")).not_to_have_text("Dashboard")
        page.goto(f"/admin/campaigns/{lost}")
        page.get_by_role("link", name="Decide about 3 unknown").click()
        expect(page.get_by_role("heading", name="3 copies are unknown")).to_be_visible()
        assert overflow(page) <= 0
        page.get_by_role("checkbox").nth(1).check()
        expect(page.get_by_text("1 selected")).to_be_visible()
        page.get_by_role("button", name="The relay has it…").click()
        expect(page.get_by_role("heading", name="Mark 1 copy as accepted?")).to_be_visible()
        assert overflow(page) <= 0
        page.get_by_role("button", name="Mark 1 as accepted").click()
        expect(page.get_by_text("1 copy is marked as accepted.")).to_be_visible()

        page.locator("a.row-link").first.click()
        assert overflow(page) <= 0
        page.get_by_text("Not delivered…").click()
        page.get_by_role("dialog").get_by_role("button", name="Mark 1 as not delivered").click()
        expect(page.get_by_role("heading", name="Marked as not delivered at")).to_be_visible()

        page.goto(f"/admin/campaigns/{lost}")
        page.get_by_label("Send it again").check()
        page.get_by_role("button", name="Set the policy").click()
        expect(page.get_by_text("Unknown copies are sent again from now on, once each.")).to_be_visible()
    assert service.finished(lost) == {"accepted": 3, "rejected": 1}
    attempts = service.get(f"/deliveries/{lost}-4")["attempts"]
    assert [attempt["verdict"] for attempt in attempts] == ["unknown", "accepted"]
