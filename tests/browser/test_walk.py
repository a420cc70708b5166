"""The walk of a campaign in a browser: from sign-in to a reader who had enough of it."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.people import GET_IN, make_list, sign_in, upload, write_campaign, write_template
from tests.browser.visitor import visiting
from tests.service import Service

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]  # the first test also waits for the whole service

NAME = "Spring seeds"


def test_a_campaign_is_made_sent_read_and_left_by_a_reader_all_in_the_browser(
    browser: Browser, service: Service, inbox_url: str
) -> None:
    service.api.delete(f"{inbox_url}/api/v1/messages")
    with visiting(browser, service.settings.public_url, viewport={"width": 1280, "height": 800}) as page:
        sign_in(page)
        import_people(page)
        write(page)
        send(page)
        with page.context.new_page() as readers:
            read_and_leave(readers, inbox_url)
        see_who_left(page)


def import_people(page: Page) -> None:
    make_list(page, NAME)
    upload(page)
    expect(page.get_by_text(f"{GET_IN} of {GET_IN + 1} people got in")).to_be_visible()  # by itself: nobody reloads
    expect(page.get_by_role("cell", name="not-an-address,Nobody,Nowhere")).to_be_visible()


def write(page: Page) -> None:
    write_template(page, NAME)
    preview = page.locator("#preview")
    mail = preview.frame_locator("iframe:not([hidden])")
    expect(preview.locator("[data-preview-subject]")).to_have_text("Ada Byron, your spring seeds are packed")
    expect(mail.get_by_role("heading")).to_have_text("Spring in London")
    page.get_by_label("Preview as").fill("zoe@kiosk.example")
    expect(mail.get_by_role("heading")).to_have_text("Spring in Zürich")
    page.get_by_role("button", name="Save").first.click()
    expect(page.get_by_text("was saved.")).to_be_visible()

    write_campaign(page, NAME, template=NAME, to=NAME)
    expect(preview.locator("[data-preview-subject]")).to_contain_text("your spring seeds are packed")
    expect(mail.get_by_role("link", name="Unsubscribe")).to_be_visible()
    page.get_by_role("button", name="Save the draft").click()
    expect(page.get_by_text(f"{GET_IN} people, confirmed on {NAME}.")).to_be_visible()


def send(page: Page) -> None:
    page.get_by_text("Send…", exact=True).click()
    question = page.get_by_role("dialog", name=f"Send “{NAME}” now?")
    expect(question).to_contain_text(f"{GET_IN} people get it.")
    question.get_by_role("button", name=f"Send to {GET_IN} people").click()
    expect(page.locator(".head .badge")).to_have_text("finished")  # by itself
    expect(page.get_by_text("Nobody was missed")).to_be_visible()
    page.get_by_role("link", name="Send log").click()
    expect(page.get_by_role("cell", name="accepted", exact=True)).to_have_count(GET_IN)
    page.get_by_role("link", name="ada@library.test").click()
    expect(page.get_by_text("250").first).to_be_visible()


def read_and_leave(page: Page, inbox_url: str) -> None:
    page.goto(inbox_url)
    expect(page.locator(".mails a")).to_have_count(GET_IN)
    page.get_by_text("Ada Byron, your spring seeds are packed").click()
    mail = page.frame_locator("iframe")
    expect(mail.get_by_role("heading")).to_have_text("Spring in London")
    with page.context.expect_page() as opened:
        mail.get_by_role("link", name="Unsubscribe").click()
    leaving = opened.value
    expect(leaving.get_by_text(f"You get mail from {NAME}.")).to_be_visible()
    leaving.get_by_role("button", name="Unsubscribe").click()
    expect(leaving.get_by_role("heading", name="You are unsubscribed")).to_be_visible()


def see_who_left(page: Page) -> None:
    page.goto("/admin/contacts")
    page.get_by_role("link", name="ada@library.test").click()
    lists = page.get_by_role("region", name="Lists")
    expect(lists.get_by_role("row", name=re.compile(NAME))).to_contain_text("unsubscribed")
