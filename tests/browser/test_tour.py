"""A newcomer's walk, the one of docs/tour.md: `make tour` takes its pictures, every other run looks at them."""

import fnmatch
import re
import unicodedata
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from sqlalchemy import Engine, text

from email_campaign.clock import utc_now
from email_campaign.local.demo import letter
from email_campaign.local.demo.people import make_file
from tests.browser.conftest import Visit
from tests.browser.people import look_at_file, make_list, sign_in, write_campaign, write_template
from tests.browser.pictures import Album, names_of_this_machine
from tests.browser.test_pages import reload_until
from tests.browser.visitor import visiting
from tests.service import Service
from tests.tables import empty_tables

pytestmark = [pytest.mark.browser, pytest.mark.tour, pytest.mark.timeout(300)]

DESKTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 960}}
PHONE: dict[str, Any] = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "is_mobile": True}

NAME = "Spring seeds are packed"
LIST = "Spring letter"
SCRIPTS = ("LATIN", "GREEK", "CYRILLIC")
"""Every machine has letters of these; of the demo's people, those whose names the pictures can show."""
HEADER, *LINES = [
    line
    for line in make_file(3_350).csv.splitlines()
    if all(unicodedata.name(one).startswith(SCRIPTS) for one in line if one.isalpha())
]
REFUSED, REPEATED = 3, 2
PEOPLE = len(LINES) - REFUSED - REPEATED
ADDRESSES = [line.partition(",")[0] for line in LINES]
READER = "jose.sorensen@press.example"
SENDER = {"from_name": letter.FROM_NAME, "from_address": "letters@seeds.example"}

LISTS = {"Seed savers": (0, 420), "Catalogue": (0, 700), "Long unheard of": (700, 860)}
"""Lines of the file."""
PAST = (
    ("Thank you for 2,000 packets", "Seed savers", 27),
    ("Seed swap on Saturday", "Seed savers", 20),
    ("The catalogue is here", "Catalogue", 12),
    ("Are you still growing?", "Long unheard of", 5),
)
"""Campaigns: name, list, and how many days ago they went out."""
GONE = ("*.ioannou2@*.example", "*.makri2@*.example")
"""Who of those long unheard of has no mailbox any more."""
TROUBLE = (("*.savchenko@*.test", "Lose the mail"), ("*@ferry.test", "450"), ("*@harbour.example", "550"))
"""Whom the relay troubles on purpose, and how the page calls it."""
LOST, PUT_OFF = (len(fnmatch.filter(ADDRESSES, pattern)) for pattern, _ in TROUBLE[:2])
AT_ONCE, AT_MOST = 450, "700 an hour"
"""So many mails are out when the newcomer slows the campaign down, to look at it; the limit of an hour waits for who is
slow at that."""


@pytest.fixture
def shop(service: Service, engine: Engine, inbox_url: str) -> Iterator[None]:
    """The seed library before the walk: nothing is left of other tests, and there are campaigns of the past month."""
    empty_tables(engine, but=("users", "sessions", "api_tokens", "relays", "workers", "signs"))
    service.api.delete(f"{inbox_url}/api/v1/messages")
    words = {"subject": letter.SUBJECT, "html": letter.html(), "text": letter.text()}
    template_id = service.post("/templates", name="Seasonal letter", **words)["id"]
    service.post("/suppressions", address=ADDRESSES[100], detail="asked for no more mail")
    lists = {}
    for name, (first, last) in LISTS.items():
        lists[name] = service.post("/lists", name=name)["id"]
        service.import_csv(lists[name], "\n".join([HEADER, *LINES[first:last]]))
    for pattern in GONE:
        make_trouble(service, inbox_url, pattern)
    past = []
    for name, list_name, _ in PAST:
        fields = {"name": name, "template_id": template_id, "list_ids": [lists[list_name]], **SENDER}
        past.append(service.post("/campaigns", **fields)["id"])
        service.post(f"/campaigns/{past[-1]}/launch")
    for campaign_id, (_, _, days) in zip(past, PAST, strict=True):
        service.finished(campaign_id)
        make_past(service, campaign_id, days)
    stop_trouble(service, inbox_url)
    fields = {"name": "Open garden day", "template_id": template_id, "list_ids": [lists["Seed savers"]], **SENDER}
    later = service.post("/campaigns", **fields)["id"]
    service.post(f"/campaigns/{later}/schedule", scheduled_at=(utc_now() + timedelta(days=2)).isoformat())
    yield
    stop_trouble(service, inbox_url)
    service.api.patch("/relay", json={"limits": []})
    for one in service.get("/campaigns", state="sending")["items"]:
        service.post(f"/campaigns/{one['id']}/cancel")


def test_every_page_of_the_tour_is_as_in_its_picture(
    browser: Browser, visit: Visit, service: Service, shop: None, inbox_url: str
) -> None:
    album = Album(names_of_this_machine(service.settings))
    with visiting(browser, service.settings.public_url, **DESKTOP) as page:
        page.goto("/admin")
        album.take(page, "sign-in")
        sign_in(page)
        import_people(page, album)
        write(page, album)
        campaign_id = make_ready(page, album)
        with page.context.new_page() as inbox:
            inbox.goto(f"{inbox_url}/trouble")
            for pattern, action in TROUBLE:
                add_trouble(inbox, pattern, action)
            send(page, service, campaign_id)
            album.take(page, "sending")
            page.goto("/admin")
            album.take(page, "dashboard")
            with visit(**PHONE, color_scheme="dark") as phone:
                phone.goto(f"/admin/campaigns/{campaign_id}")
                album.take(phone, "phone")
            page.goto(f"/admin/campaigns/{campaign_id}")
            let_it_end(page, service, campaign_id)
            see_who_missed_it(page, album, campaign_id)
            inbox.reload()
            album.take(inbox, "trouble")
            inbox.get_by_role("button", name="Stop all trouble").click()
            read(inbox, inbox_url, album)
        prove(page, service, album, campaign_id)
        limit(page, album)
        page.goto("/admin/tasks")
        album.take(page, "tasks")
        page.goto("/admin/api")
        album.take(page, "api", of=".rail, .head, section:has(#begin)")
    album.close()


def import_people(page: Page, album: Album) -> None:
    make_list(page, LIST)
    look_at_file(page, "spring-letter.csv", "\n".join([HEADER, *LINES]))
    album.take(page, "mapping")
    page.get_by_role("button", name="Import").first.click()
    expect(page.get_by_text(f"{PEOPLE:,} of {PEOPLE + REFUSED:,} people got in")).to_be_visible()
    album.take(page, "imported")
    page.get_by_role("link", name="Open the list").click()
    expect(page.get_by_role("heading", name=LIST, level=1)).to_be_visible()
    album.take(page, "list")


def write(page: Page, album: Album) -> None:
    write_template(page, NAME, letter.html(), reader=READER)
    page.locator("#f-text").fill(letter.text())
    page.get_by_role("button", name="Save").first.click()
    expect(page.get_by_text("was saved.")).to_be_visible()
    page.get_by_label("Preview as").fill(READER)
    expect(page.locator("#preview [data-preview-subject]")).to_have_text(re.compile("José Sørensen"))
    expect(page.frame_locator("#preview iframe:not([hidden])").get_by_role("heading").first).to_be_visible()
    album.take(page, "template")


def make_ready(page: Page, album: Album) -> int:
    """From anywhere to a campaign that is ready, with a test sent; its id."""
    write_campaign(page, NAME, template=NAME, to=LIST)
    page.get_by_text("How fast, and what if nobody knows").click()
    page.locator("#f-limits").fill(f"100 a second, {AT_MOST}")
    page.get_by_role("button", name="Save the draft").click()
    page.get_by_role("button", name="Send the test").click()
    expect(page.get_by_text("A test to ines@example.com is on its way.")).to_be_visible()
    page.reload()
    reload_until(page, page.get_by_role("link", name="accepted"))
    expect(page.frame_locator("#preview iframe.in-light").get_by_role("heading").first).to_be_visible()
    album.take(page, "draft")
    return int(page.url.rpartition("/")[2])


def send(page: Page, service: Service, campaign_id: int) -> None:
    """Launch it, and slow it down on its way."""
    page.get_by_text("Send…", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name=re.compile("Send to .* people")).click()
    enough = {"accepted": AT_ONCE, "unknown": LOST}
    service.wait(f"/campaigns/{campaign_id}", lambda now: all(now["counts"][one] >= enough[one] for one in enough))
    set_limits(page, f"12 a second, {AT_MOST}")
    page.goto(f"/admin/campaigns/{campaign_id}")
    expect(page.locator("[data-live-field=rate]")).to_be_visible()


def let_it_end(page: Page, service: Service, campaign_id: int) -> None:
    """Let it go, until nobody is left but those who are put off for some minutes."""
    set_limits(page, "")
    service.wait(f"/campaigns/{campaign_id}", lambda now: not now["counts"]["pending"] + now["counts"]["sending"])

    def tries(_: Any) -> list[int]:
        rows = service.get(f"/campaigns/{campaign_id}/deliveries", state="deferred", limit=100)
        return [one["attempt_count"] for one in rows["items"]]

    service.wait(f"/campaigns/{campaign_id}", lambda now: tries(now) == [2] * PUT_OFF)


def see_who_missed_it(page: Page, album: Album, campaign_id: int) -> None:
    page.goto(f"/admin/campaigns/{campaign_id}")
    album.take(page, "missed")
    page.get_by_role("link", name="no such address").click()
    page.locator("a.row-link").first.click()
    expect(page.get_by_role("heading", name="What was said")).to_be_visible()
    album.take(page, "delivery")
    page.goto(f"/admin/campaigns/{campaign_id}/unknown")
    album.take(page, "unknown")


def read(inbox: Page, inbox_url: str, album: Album) -> None:
    inbox.goto(f"{inbox_url}/?q=to:{READER}")
    inbox.locator(".mails a").first.click()
    expect(inbox.frame_locator("iframe").get_by_role("heading").first).to_be_visible()
    album.take(inbox, "mail")
    inbox.get_by_role("navigation", name="Views of this mail").get_by_role("link", name="Checks").click()
    album.take(inbox, "checks")


def prove(page: Page, service: Service, album: Album, campaign_id: int) -> None:
    """Try those who were put off again, and have the campaign recounted."""
    page.goto(f"/admin/campaigns/{campaign_id}")
    page.get_by_role("button", name=f"Try all {PUT_OFF} deferred now").click()
    service.finished(campaign_id)
    page.goto(f"/admin/campaigns/{campaign_id}/proof")
    page.get_by_role("button", name="Check now").click()
    expect(page.get_by_role("heading", name="What was checked")).to_be_visible()
    album.take(page, "proof")


def limit(page: Page, album: Album) -> None:
    page.goto("/admin/relay")
    page.locator("#f-limits").fill("200 a second, 50,000 a day")
    page.get_by_role("button", name="Save the limits").click()
    expect(page.get_by_text("every send process keeps to it")).to_be_visible()
    album.take(page, "relay")


def set_limits(page: Page, limits: str) -> None:
    page.locator("#f-limits").fill(limits)
    page.get_by_role("button", name="Set the limits").click()
    expect(page.get_by_text("This holds from now on.")).to_be_visible()


def add_trouble(inbox: Page, pattern: str, action: str) -> None:
    inbox.get_by_role("textbox", name="Recipient").fill(pattern)
    inbox.get_by_role("radio", name=action).check()
    inbox.get_by_role("button", name="Add rule").click()
    expect(inbox.locator(".rules").get_by_text(pattern)).to_be_visible()


def make_trouble(service: Service, inbox_url: str, pattern: str) -> None:
    service.api.post(f"{inbox_url}/trouble/rules", data={"pattern": pattern, "action": "550"})


def stop_trouble(service: Service, inbox_url: str) -> None:
    service.api.post(f"{inbox_url}/trouble/stop")


def make_past(service: Service, campaign_id: int, days: int) -> None:
    """As if it had gone out so many days ago: the one thing here that the product cannot do by itself."""
    columns = {"mailings": ("launched_at", "finished_at"), "mailing_events": ("at",), "deliveries": ("changed_at",)}
    with service.factory.begin() as session:
        for table, moments in columns.items():
            moved = ", ".join(f"{moment} = {moment} - :ago" for moment in moments)
            key = "id" if table == "mailings" else "mailing_id"
            values = {"ago": timedelta(days=days), "id": campaign_id}
            session.execute(text(f"UPDATE {table} SET {moved} WHERE {key} = :id"), values)
