"""Every page under hard conditions: without scripts, by keyboard alone, on a phone, in the dark."""

from typing import Literal

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visit
from tests.browser.people import (
    ADDRESS,
    FILE,
    GET_IN,
    PASSWORD,
    make_list,
    upload,
    write_campaign,
    write_template,
)
from tests.media import samples
from tests.service import Service

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]  # the first test also waits for the whole service

LONG_NAME = "Seeds for everybody who ever asked " + "und-so-weiter" * 6
PAGES = (
    "/admin",
    "/admin/campaigns",
    "/admin/campaigns/new",
    "/admin/campaigns/{draft}",
    "/admin/campaigns/{draft}/edit",
    "/admin/campaigns/{sent}",
    "/admin/campaigns/{sent}/log",
    "/admin/campaigns/{sent}/unknown",
    "/admin/campaigns/{sent}/content",
    "/admin/campaigns/{sent}/proof",
    "/admin/deliveries/{sent}-1",
    "/admin/unknown",
    "/admin/contacts",
    "/admin/contacts/new",
    "/admin/contacts/{contact}",
    "/admin/lists",
    "/admin/lists/new",
    "/admin/lists/{list}",
    "/admin/lists/{list}/edit",
    "/admin/lists/{list}/add",
    "/admin/imports",
    "/admin/imports/new",
    "/admin/imports/{import}",
    "/admin/imports/{import_draft}",
    "/admin/suppressions",
    "/admin/suppressions/new",
    "/admin/suppressions/{suppression}",
    "/admin/templates",
    "/admin/templates/new",
    "/admin/templates/{template}",
    "/admin/images",
    "/admin/images/new",
    "/admin/images/{image}",
    "/admin/relay",
    "/admin/tasks",
    "/admin/api",
    "/admin/api/campaigns",
    "/admin/tasks/{task}",
    "/admin/settings",
    "/admin/settings/tokens",
    "/forgot",
    "/forgot/sent",
    "/styles",
    "{inbox}/",
    "{inbox}/mail/{mail}",
    "{unsubscribe}",
)
LOOKS: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 1280), ("dark", 360))
"""Theme, and width of the window in pixels."""
TABS_AT_MOST = 80
"""No control of a page is further away than this."""


@pytest.fixture(scope="module")
def known(service: Service, inbox_url: str) -> dict[str, object]:
    """One of each thing that has a page, with names as long as people make them."""
    list_id = service.post("/lists", name=LONG_NAME)["id"]
    done = service.import_csv(list_id, FILE)
    files = {"file": (f"{LONG_NAME}.csv", f"{LONG_NAME},{FILE}".encode())}
    looked_at = service.api.post("/imports", files=files, data={"list_id": str(list_id), "start": "false"}).json()
    image = service.upload(samples.jpeg(1600, 800), name=f"{LONG_NAME}.jpg", alt=LONG_NAME)
    template = service.post(
        "/templates", name=LONG_NAME, subject=f"{LONG_NAME} {{{{ name }}}}", html=f"<p>{LONG_NAME}</p>"
    )
    fields = {"name": LONG_NAME, "template_id": template["id"], "list_ids": [list_id], "from_name": LONG_NAME}
    draft, sent = (service.post("/campaigns", **fields)["id"] for _ in range(2))
    suppressed = service.post("/suppressions", address=f"{'nobody' * 10}@library.test", detail=LONG_NAME)
    service.post(f"/campaigns/{sent}/launch")
    assert service.finished(sent) == {"accepted": GET_IN}
    mail = service.api.get(f"{inbox_url}/api/v2/messages", params={"limit": 1}).json()["items"][0]
    return {
        "list": list_id,
        "import": done["id"],
        "import_draft": looked_at["id"],
        "task": done["task_id"],
        "template": template["id"],
        "image": image["id"],
        "draft": draft,
        "sent": sent,
        "contact": service.get(f"/lists/{list_id}/members")["items"][0]["contact_id"],
        "suppression": suppressed["id"],
        "inbox": inbox_url,
        "mail": mail["ID"],
        "unsubscribe": mail["Content"]["Headers"]["List-Unsubscribe"][0].strip("<>"),
    }


def test_no_page_has_errors_light_or_dark_or_is_wider_than_a_phone(visit: Visit, known: dict[str, object]) -> None:
    too_wide = []
    with visit() as page:
        for path in PAGES:
            answer = page.goto(path.format_map(known))
            assert answer is not None
            assert answer.ok, path
            for theme, width in LOOKS:
                page.emulate_media(color_scheme=theme)
                page.set_viewport_size({"width": width, "height": 700})
                if (excess := overflow(page)) > 0:
                    too_wide.append(f"{path} by {excess} px in a window of {width}")
    assert not too_wide, "\n".join(too_wide)


@pytest.mark.parametrize(
    "wrong",
    [
        "setTimeout(() => { throw Error('a script broke'); })",
        "document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">inline</p>')",
        "document.body.append(Object.assign(new Image(), {src: 'https://images.example/poppy.png'}))",
    ],
    ids=["script error", "inline style", "picture from elsewhere"],
)
def test_a_visit_fails_where_a_script_or_the_policy_is_broken(visit: Visit, wrong: str) -> None:
    def break_it() -> None:
        with visit() as page:
            page.goto("/admin")
            page.evaluate(wrong)
            page.reload()  # by then it was noticed

    with pytest.raises(AssertionError, match=r"script broke|Content Security Policy"):
        break_it()


def test_a_campaign_goes_out_without_any_script(visit: Visit) -> None:
    with visit(java_script_enabled=False) as page:
        name = "Without scripts"
        make_list(page, name)
        upload(page)
        reload_until(page, page.get_by_text(f"{GET_IN} of {GET_IN + 1} people got in"))
        write_template(page, name)
        page.get_by_role("button", name="Preview").click()
        mail = page.frame_locator("#preview iframe")
        expect(mail.get_by_role("heading")).to_have_text("Spring in London")
        page.get_by_role("button", name="Save").first.click()
        write_campaign(page, name, template=name, to=name)
        page.get_by_role("button", name="Save the draft").click()
        page.get_by_text("Send…", exact=True).click()
        page.get_by_role("button", name=f"Send to {GET_IN} people").click()
        reload_until(page, page.get_by_text("Nobody was missed"))


def test_a_campaign_goes_out_by_keyboard_alone(visit: Visit, service: Service) -> None:
    name = service.get(f"/campaigns/{service.draft(3)}")["name"]
    with visit(storage_state=None) as page:
        page.goto("/admin")
        tab_to(page, page.get_by_label("Address"))
        page.keyboard.type(ADDRESS)
        tab_to(page, page.get_by_label("Password"))
        page.keyboard.type(PASSWORD)
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="Dashboard", level=1)).to_be_visible()
        press(page, page.get_by_role("navigation", name="Main").get_by_role("link", name="Campaigns"))
        press(page, page.get_by_role("link", name=name))
        expect(page.get_by_role("heading", name=name, level=1)).to_be_visible()
        press(page, page.locator("#send summary"))
        press(page, page.get_by_role("dialog").get_by_role("button", name="Send to 3 people"))
        expect(page.locator(".head .badge")).to_have_text("finished")


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))


def reload_until(page: Page, seen: Locator) -> None:
    """Ask again as a reader without scripts does, until it is there."""
    for _ in range(60):
        if seen.is_visible():
            return
        page.wait_for_timeout(500)
        page.reload()
    expect(seen).to_be_visible()


def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until it has the focus, and see that one sees it."""
    expect(wanted).to_be_visible()
    for _ in range(TABS_AT_MOST):
        page.keyboard.press("Tab")
        if wanted.evaluate("element => element === document.activeElement"):
            assert wanted.evaluate("element => element.matches(':focus-visible')")
            return
    pytest.fail(f"Tab does not lead to {wanted}")


def press(page: Page, wanted: Locator) -> None:
    """Go there with Tab and press Enter."""
    tab_to(page, wanted)
    page.keyboard.press("Enter")
