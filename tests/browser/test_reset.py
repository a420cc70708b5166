"""Forgot, mail, link, new password, sign in: what somebody does who cannot get in any more."""

import pytest
from playwright.sync_api import Browser, expect

from email_campaign.accounts.users import Role, create_user
from email_campaign.clock import utc_now
from tests.browser.visitor import visiting
from tests.service import Service

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]  # the first test also waits for the whole service

ADDRESS = "ulla@example.com"
NEW = "a password that I keep"


def test_who_forgot_the_password_gets_in_by_a_mail_and_the_link_works_once(
    browser: Browser, service: Service, inbox_url: str
) -> None:
    with service.factory.begin() as session:
        create_user(session, address=ADDRESS, name="Ulla", password="which she forgot", role=Role.MEMBER, now=utc_now())
    with visiting(browser, service.settings.public_url) as page:
        page.goto("/sign-in")
        page.get_by_role("link", name="Forgot your password?").click()
        page.get_by_label("Address").fill(ADDRESS)
        page.get_by_role("button", name="Mail me a link").click()
        expect(page.get_by_role("heading", name="Look into your mail")).to_be_visible()

        with page.context.new_page() as mails:
            link = mails.locator(".mails a", has_text=ADDRESS).filter(has_text="Set a new password").first
            for _ in range(60):  # until the mail is there; the list does not load itself anew
                mails.goto(inbox_url)
                if link.count():
                    break
                mails.wait_for_timeout(250)
            link.click()
            with page.context.expect_page() as opened:
                mails.frame_locator("iframe").get_by_role("link", name="Set a new password").click()
            form = opened.value
            expect(form.get_by_text(f"For {ADDRESS}.")).to_be_visible()
            url = form.url
            form.get_by_label("New password", exact=False).first.fill(NEW)
            form.get_by_label("New password again").fill(NEW)
            form.get_by_role("button", name="Set the password").click()
            expect(form.get_by_text("Your password was changed.")).to_be_visible()
            form.get_by_label("Address").fill(ADDRESS)
            form.get_by_label("Password").fill(NEW)
            form.get_by_role("button", name="Sign in").click()
            expect(form.get_by_role("heading", name="Dashboard", level=1)).to_be_visible()
            again = form.request.get(url)
            assert (again.status, "This link was used" in again.text()) == (410, True)
