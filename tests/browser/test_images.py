"""From a picture on the desk to a mail that shows it, with scripts and without."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit
from tests.browser.test_pages import reload_until
from tests.media import samples

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]  # the first test also waits for the whole service

TAG = re.compile(r'^<img src="http://127\.0\.0\.1:\d+/media/\S+/600\.png" width="600" height="300" alt=""')
SHOWN = "image => image.complete && image.naturalWidth > 0"
DROP = """([drop, bytes]) => {
    const files = new DataTransfer();
    files.items.add(new File([new Uint8Array(bytes)], "dropped.jpg", { type: "image/jpeg" }));
    drop.dispatchEvent(new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true }));
}"""


def test_a_picture_is_dropped_and_its_tag_shows_it_in_the_preview_of_a_mail(visit: Visit) -> None:
    with visit(permissions=["clipboard-read", "clipboard-write"]) as page:
        page.goto("/admin/images/new")
        page.evaluate(DROP, [page.locator("[data-drop]").element_handle(), list(samples.jpeg(1600, 800))])
        page.get_by_label("Alt text").fill("Half red, half blue")
        page.get_by_role("button", name="Upload").click()
        expect(page.get_by_role("heading", name="dropped.jpg", level=1)).to_be_visible()
        expect(page.locator(".head .badge")).to_have_text("ready")  # the page follows its task, and loads itself anew
        assert page.get_by_role("img", name="Half red, half blue").evaluate(SHOWN)
        tag = page.locator("#tag").input_value()
        page.get_by_role("button", name="Copy the tag").first.click()
        expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert page.evaluate("navigator.clipboard.readText()") == tag
        page.goto("/admin/templates/new")
        page.locator("#f-html").fill(f'<p>{tag}</p><p><a href="{{{{ unsubscribe_url }}}}">Unsubscribe</a></p>')
        picture = page.frame_locator("#preview iframe:not([hidden])").get_by_role("img", name="Half red, half blue")
        expect(picture).to_be_visible()
        page.wait_for_load_state("networkidle")
        assert picture.evaluate(SHOWN)


def test_a_picture_is_uploaded_and_deleted_without_any_script(visit: Visit, tmp_path: Path) -> None:
    (tmp_path / "roses.png").write_bytes(samples.png())
    with visit(java_script_enabled=False) as page:
        page.goto("/admin/images/new")
        page.get_by_label("Picture").set_input_files(tmp_path / "roses.png")
        page.get_by_role("button", name="Upload").click()
        reload_until(page, page.locator(".head .badge", has_text="ready"))
        page.goto("/admin/templates/new")
        page.get_by_text("roses.png").click()
        expect(page.get_by_role("textbox", name="no alt text")).to_have_value(TAG)
        page.goto("/admin/images")
        page.get_by_role("link", name="roses.png").click()
        page.get_by_text("Delete…", exact=True).click()
        page.get_by_role("button", name="Delete the image").click()
        expect(page.get_by_text("The image “roses.png” was deleted.")).to_be_visible()
