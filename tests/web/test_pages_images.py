"""Pages of images: which pictures mails can show, and how."""

import html
import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.campaigns.mailings import MailingState
from email_campaign.db import SessionFactory
from email_campaign.settings import Settings
from tests.factories import make_campaign, make_template
from tests.media import samples
from tests.web.image_making import app_with_images, make, uploaded

HERE = "/admin/images"


@pytest.fixture
def app(settings: Settings, session_factory: SessionFactory, tmp_path: Path) -> FastAPI:
    return app_with_images(settings, session_factory, tmp_path / "media")


def texts(page: str) -> list[str]:
    """What stands in the fields to copy from."""
    return [
        html.unescape(found) for found in re.findall(r"<textarea[^>]* readonly[^>]*>(.*?)</textarea>", page, re.DOTALL)
    ]


def test_without_images_the_page_says_what_they_are_for(signed_in: TestClient) -> None:
    page = signed_in.get(HERE).text
    assert "No images yet" in page
    assert f'href="{HERE}/new"' in page


def test_a_picture_is_uploaded_and_its_page_leads_to_a_tag(
    app: FastAPI, signed_in: TestClient, nudges: list[tuple[object, ...]]
) -> None:
    form = signed_in.get(f"{HERE}/new").text
    assert 'enctype="multipart/form-data"' in form
    assert "50,000,000 pixels" in form
    answer = signed_in.post(HERE, files={"file": ("tulips.jpg", samples.jpeg(1600, 800))}, data={"alt": "Tulips"})
    assert (answer.status_code, answer.headers["Location"]) == (303, f"{HERE}/1")
    assert nudges == [(queue.PREPARE_IMAGE, 1)]
    waiting = signed_in.get(f"{HERE}/1").text
    assert "processing" in waiting
    assert "data-live=" in waiting
    assert texts(waiting) == []
    make(app, 1)
    ready = signed_in.get(f"{HERE}/1").text
    assert len(texts(ready)) == 3
    assert re.search(r'<img src="http://127\.0\.0\.1/media/1-[0-9a-f]{32}/600\.jpg" width="600"', texts(ready)[0])
    assert "No template and no launched campaign" in ready
    assert "Ada" in ready
    listed = signed_in.get(HERE).text
    assert "tulips.jpg" in listed
    assert 'src="/media/1-' in listed
    assert "320, 600, 1,200" in listed
    assert signed_in.get(HERE, params={"q": "roses"}).text.count("/media/") == 0


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (None, "Choose the picture first."),
        ({"file": ("a.svg", b"<svg/>")}, "SVG is not taken"),
        ({"file": ("a.jpg", b"hello")}, "whatever its name says"),
    ],
)
def test_a_refused_file_comes_back_with_the_reason_and_what_was_typed(
    signed_in: TestClient, files: dict[str, tuple[str, bytes]] | None, told: str
) -> None:
    answer = signed_in.post(HERE, files=files, data={"alt": "My tulips"})
    assert answer.status_code == 422
    assert told in html.unescape(answer.text)
    assert 'value="My tulips"' in answer.text


def test_a_failed_image_says_why_and_can_be_tried_again(
    app: FastAPI, api: TestClient, signed_in: TestClient, nudges: list[tuple[object, ...]]
) -> None:
    image_id = uploaded(app, api, samples.jpeg()[:-2000])
    page = signed_in.get(f"{HERE}/{image_id}").text
    assert "broken or cut off" in page
    assert texts(page) == []
    assert "failed" in signed_in.get(HERE).text
    answer = signed_in.post(f"{HERE}/{image_id}/again")
    assert answer.headers["Location"] == f"{HERE}/{image_id}"
    assert nudges[-1][0] == queue.HOP
    assert signed_in.post(f"{HERE}/{image_id}/again").status_code == 409


def test_the_tasks_page_shows_the_work_and_leads_to_the_image(app: FastAPI, signed_in: TestClient) -> None:
    signed_in.post(HERE, files={"file": ("tulips.jpg", samples.jpeg())})
    assert "Image tulips.jpg" in signed_in.get("/admin/tasks").text
    make(app, 1)
    assert f'href="{HERE}/1"' in signed_in.get("/admin/tasks", params={"kind": "image"}).text


def test_two_who_write_the_alt_text_lose_nothing(app: FastAPI, api: TestClient, signed_in: TestClient) -> None:
    path = f"{HERE}/{uploaded(app, api, samples.jpeg(), alt='Tulips')}"
    version = re.search(r'name="version" value="([^"]+)"', signed_in.get(path).text)
    assert version is not None
    assert signed_in.post(path, data={"alt": "Red tulips", "version": version[1]}).status_code == 303
    late = signed_in.post(path, data={"alt": "Blue tulips", "version": version[1]})
    assert late.status_code == 409
    assert "Red tulips" in late.text
    assert 'value="Blue tulips"' in late.text
    assert signed_in.post(path, data={"alt": "x" * 501}).status_code == 422


def test_deleting_asks_and_says_who_shows_it(
    app: FastAPI,
    api: TestClient,
    signed_in: TestClient,
    session_factory: SessionFactory,
    nudges: list[tuple[object, ...]],
) -> None:
    image_id = uploaded(app, api, samples.jpeg())
    path = f"{HERE}/{image_id}"
    asked = signed_in.get(path).text
    assert "No template and no launched campaign shows it." in asked
    tag = texts(asked)[0]
    with session_factory.begin() as session:
        letter = make_template(session, name="Spring news", html=tag)
        make_campaign(session, name="Spring", template=letter, state=MailingState.FINISHED)
        make_template(session, name="Another", html="<p>no picture</p>")
    page = signed_in.get(path).text
    assert "1 template and 1 launched campaign show it. Mails that went out keep its address" in page
    assert "Spring news" in page
    assert "Another" not in page
    assert signed_in.post(f"{path}/delete").status_code == 409  # it was asked before it came into use
    answer = signed_in.post(f"{path}/delete", data={"is_used": "yes"})
    assert (answer.status_code, answer.headers["Location"]) == (303, HERE)
    assert nudges[-1] == (queue.TIDY_IMAGES,)
    assert signed_in.get(path).status_code == 404


def test_the_editor_of_templates_offers_images_that_are_ready(
    app: FastAPI, api: TestClient, signed_in: TestClient
) -> None:
    assert f'href="{HERE}/new"' in signed_in.get("/admin/templates/new").text
    uploaded(app, api, samples.jpeg(), name="tulips.jpg")
    uploaded(app, api, samples.jpeg()[:-2000], name="broken.jpg")
    page = signed_in.get("/admin/templates/new").text
    assert "tulips.jpg" in page
    assert "broken.jpg" not in page
    (tag,) = texts(page)
    made = signed_in.post(
        "/admin/templates/new", data={"name": "Spring", "subject": "Spring", "html": f"<p>{tag}</p>", "text": ""}
    )
    assert made.status_code == 303
    assert "Spring" in signed_in.get(f"{HERE}/1").text.partition("Used by")[2]


def test_a_preview_of_a_mail_shows_images_of_ours(signed_in: TestClient) -> None:
    frame = signed_in.post("/admin/templates/preview", data={"subject": "x", "html": "<p>x</p>", "text": ""})
    assert "img-src 'self' data: https:" in frame.headers["Content-Security-Policy"]
