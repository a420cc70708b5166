"""The screenshots of README and docs: `SCREENSHOTS=1 make browser` makes them anew from a service that is in use."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import text

from email_campaign.clock import utc_now
from email_campaign.local.demo import letter
from email_campaign.local.demo.people import make_file
from email_campaign.local.places import CHECKOUT
from tests.browser.conftest import Visit
from tests.service import Service

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif("SCREENSHOTS" not in os.environ, reason="SCREENSHOTS=1 makes the screenshots of the docs anew"),
    pytest.mark.timeout(600),
]

FOLDER = CHECKOUT / "docs" / "screenshots"
MOST_BYTES = 150_000
DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}, "is_mobile": True}  # no bar to scroll with
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "is_mobile": True}

LETTERS = (
    ("Thank you for 2,000 packets", 240, 27, 0.0),
    ("Seed swap on Saturday", 420, 20, 0.0),
    ("The catalogue is here", 730, 12, 0.0),
    ("Are you still growing?", 310, 5, 0.08),
)
"""Campaigns of the past: name, size of the audience, how many days ago it went out, how many of one were refused."""
NOW_SENDING = "Spring seeds are packed"
PER_SECOND = 12


@pytest.fixture(scope="module")
def sending(service: Service, inbox_url: str) -> Iterator[int]:
    """The id of a campaign that is on its way, in a service with a past and a future."""
    template_id = service.post(
        "/templates", name="Seasonal letter", subject=letter.SUBJECT, html=letter.html(), text=letter.text()
    )["id"]
    service.post("/suppressions", address=make_file(1_000).unwilling, detail="asked for no more mail")
    for name, count, days, refused in LETTERS:
        service.api.post(f"{inbox_url}/api/v2/jim", json={"AcceptChance": 1.0, "RejectRecipientChance": refused})
        past = campaign(service, template_id, name, count)
        service.post(f"/campaigns/{past}/launch")
        service.finished(past)
        service.api.delete(f"{inbox_url}/api/v2/jim")
        make_past(service, past, days)
    later = campaign(service, template_id, "Open garden day", 420)
    service.post(f"/campaigns/{later}/schedule", scheduled_at=(utc_now() + timedelta(days=2)).isoformat())
    limit = {"limits": [{"count": PER_SECOND, "seconds": 1}]}
    one = campaign(service, template_id, NOW_SENDING, 1_000, **limit)
    service.post(f"/campaigns/{one}/launch")
    service.wait(f"/campaigns/{one}", lambda now: now["counts"]["accepted"] >= 400)
    yield one
    service.api.post(f"/campaigns/{one}/cancel")  # refused where it has ended by itself


def test_the_pages_that_the_docs_show(visit: Visit, service: Service, sending: int, inbox_url: str) -> None:
    campaign_page = f"/admin/campaigns/{sending}"
    with visit(**DESKTOP, color_scheme="light") as page:
        take(page, "/admin", "dashboard")
        take(page, campaign_page, "campaign")
        take(page, f"/admin/campaigns/{sending - 2}/log", "log")
        page.goto(f"{inbox_url}/?q=jose.sorensen")  # in a script for which every machine has letters
        page.locator(".mails a").first.click()
        expect(page.frame_locator("iframe").get_by_role("heading").first).to_be_visible()
        take(page, page.url, "inbox")
    with visit(**DESKTOP, color_scheme="dark") as page:
        take(page, campaign_page, "campaign-dark")
    with visit(**PHONE, color_scheme="light") as page:
        take(page, campaign_page, "phone")


def campaign(service: Service, template_id: int, name: str, count: int, **fields: Any) -> int:
    """The id of a new campaign to a list of so many people."""
    list_id = service.post("/lists", name=f"Seed savers, {name.lower()}")["id"]
    service.import_csv(list_id, make_file(count).csv)
    sender = {"from_name": letter.FROM_NAME, "from_address": "letters@seeds.example"}
    made = service.post("/campaigns", name=name, template_id=template_id, list_ids=[list_id], **sender, **fields)
    return int(made["id"])


def make_past(service: Service, campaign_id: int, days: int) -> None:
    """As if it had gone out so many days ago."""
    columns = {"mailings": ("launched_at", "finished_at"), "mailing_events": ("at",), "deliveries": ("changed_at",)}
    with service.factory.begin() as session:
        for table, moments in columns.items():
            moved = ", ".join(f"{moment} = {moment} - :ago" for moment in moments)
            key = "id" if table == "mailings" else "mailing_id"
            values = {"ago": timedelta(days=days), "id": campaign_id}
            session.execute(text(f"UPDATE {table} SET {moved} WHERE {key} = :id"), values)


def take(page: Page, url: str, name: str) -> None:
    """A screenshot of what stands in the window, once all of it is there."""
    page.goto(url)
    page.wait_for_load_state("networkidle")
    FOLDER.mkdir(exist_ok=True)
    file: Path = FOLDER / f"{name}.png"
    page.screenshot(path=file)
    assert file.stat().st_size < MOST_BYTES
