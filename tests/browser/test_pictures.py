"""A page that has changed since its picture was taken is noticed, and one that only counts further is not."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from tests.browser.pictures import Album

pytestmark = pytest.mark.browser

PAGE = """<main><h1>Tasks</h1><p>3 of 1,000 <b>done</b></p><p hidden>never seen</p>
<table><thead><tr><th>Task</th></tr></thead><tbody><tr><td>Import</td></tr></tbody></table></main>"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    opened = browser.new_page(viewport={"width": 320, "height": 240})
    yield opened
    opened.close()


def album_of(page: Page, html: str, folder: Path, *, taking: bool = False) -> Album:
    page.set_content(html)
    album = Album({"my-machine": "seedling"}, folder, taking=taking)
    album.take(page, "tasks")
    return album


def test_a_page_that_changed_since_its_picture_is_named_with_what_changed(page: Page, tmp_path: Path) -> None:
    album_of(page, PAGE, tmp_path, taking=True).close()
    assert (tmp_path / "tasks.png").read_bytes().startswith(b"\x89PNG")
    counted = PAGE.replace("3 of", "1,000 of").replace("Import", "Backup").replace("never", "not")
    album_of(page, counted, tmp_path).close()
    changed = album_of(page, PAGE.replace("<b>done</b>", "<b>ready</b>"), tmp_path)
    with pytest.raises(AssertionError, match="make tour") as told:
        changed.close()
    assert "tasks: - 0 of 0 done\ntasks: + 0 of 0 ready" in str(told.value)


def test_no_picture_shows_the_name_of_this_machine(page: Page, tmp_path: Path) -> None:
    album_of(page, PAGE.replace("Tasks", "Tasks of my-machine"), tmp_path, taking=True).close()
    assert page.get_by_role("heading").text_content() == "Tasks of seedling"


def test_a_picture_that_nobody_takes_any_more_goes(page: Page, tmp_path: Path) -> None:
    (tmp_path / "gone.png").touch()
    album_of(page, PAGE, tmp_path, taking=True).close()
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["pictures.json", "tasks.png"]
