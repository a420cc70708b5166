"""A visitor with a real browser, who notices every error of a script and every breach of the pages' policy."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-features=OverlayScrollbar",
]
PATIENCE_MS = 15_000
"""How long a visitor looks at a page that does not show what it should; two cores may be busy with other tests."""
PICTURE = '<svg xmlns="http://www.w3.org/2000/svg" width="80" height="40"><circle cx="20" cy="20" r="20"/></svg>'
"""What a mail shows from elsewhere, where it may: nothing leaves this machine."""

INBOX_MAIL = "/mail/"
BLOCKED_IN_A_MAIL = re.compile(r"https?://.* (?:violates|because it violates) .*\bimg-src\b", re.DOTALL)
"""The inbox shows mails without what they would load from elsewhere, and the browser says so."""


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Chromium without a window."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def visiting(browser: Browser, base_url: str, **context: Any) -> Iterator[Page]:
    """A page in a browser context of its own; leaving the `with` fails if anything went wrong on any of its pages."""
    opened = browser.new_context(base_url=base_url, locale="en-GB", timezone_id="Europe/Berlin", **context)
    opened.set_default_timeout(PATIENCE_MS)
    opened.route("https://images.example/**", lambda route: route.fulfill(body=PICTURE, content_type="image/svg+xml"))
    wrong = _watch(opened)
    try:
        yield opened.new_page()
        assert not wrong, "\n".join(wrong)
    finally:
        opened.close()


def _watch(context: BrowserContext) -> list[str]:
    """What went wrong so far on the pages of this context, as sentences."""
    wrong: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        url = message.page.url if message.page else "?"
        if message.type == "error" and not (INBOX_MAIL in url and BLOCKED_IN_A_MAIL.search(message.text)):
            wrong.append(f"{url}: {message.text}")

    context.on("weberror", lambda error: wrong.append(f"{error.page.url if error.page else '?'}: {error.error}"))
    context.on("console", hear)
    context.on(
        "response",
        lambda answer: wrong.append(f"{answer.url} answered {answer.status}") if answer.status >= 500 else None,
    )
    return wrong
