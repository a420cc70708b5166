"""Images over HTTP: uploaded once, described, deleted with care, and seen by everybody who has their address."""

import io
import re
from pathlib import Path

import pytest
from fastapi import FastAPI
from PIL import Image as Pictures
from starlette.testclient import TestClient

from email_campaign import queue
from email_campaign.campaigns.mailings import MailingState
from email_campaign.db import SessionFactory
from email_campaign.media import storage as storages
from email_campaign.settings import Settings
from tests.factories import make_campaign, make_template
from tests.media import samples
from tests.web.image_making import app_with_images, make, uploaded


@pytest.fixture
def app(settings: Settings, session_factory: SessionFactory, tmp_path: Path) -> FastAPI:
    return app_with_images(settings, session_factory, tmp_path / "media")


def test_an_upload_is_taken_nudged_made_and_seen_by_recipients(
    app: FastAPI, api: TestClient, client: TestClient, nudges: list[tuple[object, ...]]
) -> None:
    sent = {"file": ("C:\\pictures\\tulips.jpg", samples.jpeg(1600, 800), "text/plain")}
    taken = api.post("/api/v1/images", files=sent, data={"alt": "  Tulips in\n a field "})
    assert taken.status_code == 202, taken.text
    image = taken.json()
    assert nudges == [(queue.PREPARE_IMAGE, image["id"])]
    assert (image["state"], image["file_name"], image["alt"]) == ("processing", "tulips.jpg", "Tulips in a field")
    assert client.get(image["renditions"][0]["url"]).status_code == 404
    make(app, image["id"])
    ready = api.get(f"/api/v1/images/{image['id']}").json()
    assert (ready["state"], ready["format"], ready["width"], ready["error"]) == ("ready", "jpeg", 1600, None)
    assert [one["width"] for one in ready["renditions"]] == [320, 600, 1200]
    for one in ready["renditions"]:
        seen = client.get(one["url"])
        assert seen.status_code == 200
        assert Pictures.open(io.BytesIO(seen.content)).size == (one["width"], one["height"])
        assert len(seen.content) == one["byte_count"]
    assert api.get("/api/v1/images", params={"q": "FIELD"}).json()["items"] == [ready]
    assert api.get("/api/v1/images", params={"q": "roses"}).json()["items"] == []
    task = api.get(f"/api/v1/tasks/{ready['task_id']}").json()
    assert (task["kind"], task["state"], task["done_count"]) == ("image", "succeeded", 3)


def test_recipients_programs_may_keep_it_for_good(app: FastAPI, api: TestClient, client: TestClient) -> None:
    image_id = uploaded(app, api, samples.jpeg())
    url = api.get(f"/api/v1/images/{image_id}").json()["renditions"][0]["url"]
    seen = client.get(url)
    assert seen.headers["Content-Type"] == "image/jpeg"
    assert seen.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert seen.headers["X-Content-Type-Options"] == "nosniff"
    assert seen.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert "sandbox" in seen.headers["Content-Security-Policy"]
    assert "Set-Cookie" not in seen.headers
    again = client.get(url, headers={"If-None-Match": f'"another", {seen.headers["ETag"]}'})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", seen.headers["ETag"])
    assert client.get(url, headers={"If-None-Match": '"another"'}).status_code == 200
    head = client.head(url)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(seen.content)))


@pytest.mark.parametrize(
    "path",
    [
        "/media/",
        "/media/probe",
        "/media/%2e%2e/%2e%2e/etc/passwd",
        "/media//etc/passwd",
        f"/media/1-{'0' * 32}/600.jpg",
        f"/media/1-{'0' * 32}/600.svg",
        f"/media/1-{'0' * 32}/600.jpg/x",
        f"/media/1-{'0' * 32}/600.jpg%0a",
    ],
)
def test_what_is_no_image_of_ours_is_404(client: TestClient, path: str) -> None:
    seen = client.get(path)
    assert (seen.status_code, seen.headers.get("Set-Cookie")) == (404, None)
    assert client.post(path).status_code in {404, 405}


def test_a_storage_that_is_away_is_503_and_nothing_is_kept(
    app: FastAPI, client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    nowhere = storages.open_storage(
        app.state.settings.model_copy(
            update={"s3_bucket": "images", "s3_endpoint_url": "http://127.0.0.1:1", "s3_region": "x"}
        )
    )
    monkeypatch.setattr(app.state, "storage", nowhere)
    seen = client.get(f"/media/1-{'0' * 32}/600.jpg")
    assert (seen.status_code, seen.headers["Retry-After"]) == (503, "60")
    assert seen.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG is not taken"),
        (b"hello", "whatever its name says"),
        (samples.bomb(30_000), "more than 50,000,000 pixels"),
        (bytes(10 * 1024 * 1024 + 1), "larger than 10.5 MB"),
    ],
    ids=["svg", "text", "bomb", "large"],
)
def test_what_is_no_picture_for_mails_is_refused_at_once_with_the_reason(
    api: TestClient, nudges: list[tuple[object, ...]], content: bytes, told: str
) -> None:
    answer = api.post("/api/v1/images", files={"file": ("tulips.jpg", content, "image/jpeg")})
    assert answer.status_code == 422
    assert told in answer.json()["detail"]
    assert [one["field"] for one in answer.json()["errors"]] == ["file"]
    assert nudges == []
    assert api.get("/api/v1/images").json()["items"] == []


def test_a_body_beyond_the_limit_is_not_even_read(api: TestClient) -> None:
    answer = api.post("/api/v1/images", files={"file": ("tulips.jpg", bytes(11 * 1024 * 1024))})
    assert answer.status_code == 413


def test_a_missing_file_and_a_wrong_text_are_named(api: TestClient) -> None:
    file = {"file": ("tulips.jpg", samples.jpeg())}
    for sent, alt, field in ((None, "x", "file"), (file, "x" * 501, "alt"), (file, "a\0b", "alt")):
        answer = api.post("/api/v1/images", files=sent, data={"alt": alt})
        assert answer.status_code == 422
        assert [one["field"] for one in answer.json()["errors"]] == [field]


def test_a_named_upload_that_is_sent_again_is_carried_out_once(
    api: TestClient, nudges: list[tuple[object, ...]]
) -> None:
    key = {"Idempotency-Key": "spring"}
    first = api.post("/api/v1/images", files={"file": ("tulips.jpg", samples.jpeg())}, headers=key)
    again = api.post("/api/v1/images", files={"file": ("tulips.jpg", samples.jpeg())}, headers=key)
    assert (again.status_code, again.json()) == (202, first.json())
    assert len(api.get("/api/v1/images").json()["items"]) == len(nudges) == 1
    other = api.post("/api/v1/images", files={"file": ("tulips.jpg", samples.jpeg(400))}, headers=key)
    assert other.status_code == 422


def test_strangers_can_do_nothing_but_look(client: TestClient) -> None:
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    assert client.post("/api/v1/images", content=b"--y\r\n", headers=broken).status_code == 401
    assert client.get("/api/v1/images").status_code == 401
    assert client.delete("/api/v1/images/1").status_code == 401
    assert client.get("/admin/images").headers["Location"].startswith("/sign-in")


def test_the_alt_text_is_changed_only_by_who_has_read_it(app: FastAPI, api: TestClient) -> None:
    path = f"/api/v1/images/{uploaded(app, api, samples.jpeg())}"
    read = api.get(path).headers["ETag"]
    assert api.patch(path, json={"alt": "A family \N{MAN}\N{ZERO WIDTH JOINER}\N{BOY}"}).status_code == 200
    read = api.get(path).headers["ETag"]
    changed = api.patch(path, json={"alt": 'Red & blue {{ "tulips" }}'}, headers={"If-Match": read})
    assert changed.status_code == 200
    assert changed.headers["ETag"] == api.get(path).headers["ETag"] != read
    tag = changed.json()["renditions"][1]["tag"]
    assert 'alt="Red &amp; blue &#123;&#123; &quot;tulips&quot; &#125;&#125;"' in tag
    assert api.patch(path, json={"alt": "x"}, headers={"If-Match": read}).status_code == 412
    assert api.delete(path, headers={"If-Match": read}).status_code == 412
    assert api.patch(path, json={"alt": "x" * 501}).json()["errors"][0]["field"] == "alt"
    assert api.patch(path, json={"name": "x"}).status_code == 422


def test_a_tag_has_the_size_at_which_a_mail_shows_it(app: FastAPI, api: TestClient) -> None:
    image_id = uploaded(app, api, samples.jpeg(2400, 1200), alt="Tulips")
    tags = {one["width"]: one["tag"] for one in api.get(f"/api/v1/images/{image_id}").json()["renditions"]}
    for width, shown in ((320, (320, 160)), (600, (600, 300)), (1200, (600, 300))):
        assert re.search(r'width="(\d+)" height="(\d+)"', tags[width]).groups() == tuple(map(str, shown))  # type: ignore[union-attr]
        assert re.search(rf'src="http://127.0.0.1/media/\S+/{width}.jpg"', tags[width])
        assert 'alt="Tulips"' in tags[width]
        assert "max-width: 100%" in tags[width]


def test_where_a_cdn_is_set_mails_name_it(
    settings: Settings, session_factory: SessionFactory, api: TestClient, tmp_path: Path
) -> None:
    elsewhere = settings.model_copy(update={"media_base_url": "https://cdn.example.com/mails", "media_dir": tmp_path})
    far = TestClient(app_with_images(elsewhere, session_factory, tmp_path), base_url="http://127.0.0.1")
    far.headers["Authorization"] = api.headers["Authorization"]
    taken = far.post("/api/v1/images", files={"file": ("tulips.jpg", samples.jpeg())}).json()
    assert re.fullmatch(r"https://cdn\.example\.com/mails/1-[0-9a-f]{32}/320\.jpg", taken["renditions"][0]["url"])


def test_an_image_that_is_used_is_deleted_only_by_who_says_so(
    app: FastAPI,
    api: TestClient,
    client: TestClient,
    session_factory: SessionFactory,
    nudges: list[tuple[object, ...]],
) -> None:
    image_id = uploaded(app, api, samples.jpeg())
    other_id = uploaded(app, api, samples.jpeg())
    path = f"/api/v1/images/{image_id}"
    rendition = api.get(path).json()["renditions"][1]
    with session_factory.begin() as session:
        letter = make_template(session, html=f"<p>{rendition['tag']}</p>")
        make_campaign(session, template=letter, state=MailingState.SENDING)
    refused = api.delete(path)
    assert refused.status_code == 409
    assert "1 templates and 1 launched campaigns" in refused.json()["detail"]
    assert api.delete(f"/api/v1/images/{other_id}").status_code == 204
    assert client.get(rendition["url"]).status_code == 200
    assert api.delete(path, params={"even_if_used": True}).status_code == 204
    assert nudges[-1] == (queue.TIDY_IMAGES,)
    assert api.get(path).status_code == 404
    assert api.get("/api/v1/images").json()["items"] == []


def test_a_failed_image_says_why_and_is_made_again(
    app: FastAPI, api: TestClient, nudges: list[tuple[object, ...]], tmp_path: Path
) -> None:
    (tmp_path / "media").write_text("in the way")
    image_id = uploaded(app, api, samples.jpeg())
    path = f"/api/v1/images/{image_id}"
    failed = api.get(path).json()
    assert failed["state"] == "failed"
    assert "storage of images cannot be used" in failed["error"]
    (tmp_path / "media").unlink()
    again = api.post(f"{path}/again")
    assert (again.status_code, again.json()["state"]) == (202, "processing")
    assert nudges[-1] == (queue.HOP, again.json()["task_id"])
    assert api.post(f"{path}/again").status_code == 409
    make(app, image_id)
    assert api.get(path).json()["state"] == "ready"


def test_a_failed_task_of_an_image_can_be_tried_again_among_the_tasks(
    app: FastAPI, api: TestClient, nudges: list[tuple[object, ...]]
) -> None:
    image_id = uploaded(app, api, samples.jpeg()[:-2000])
    failed = api.get(f"/api/v1/images/{image_id}").json()
    assert "cut off" in failed["error"]
    again = api.post(f"/api/v1/tasks/{failed['task_id']}/retry").json()
    assert (again["kind"], again["subject_id"], nudges[-1]) == ("image", image_id, (queue.HOP, again["id"]))
    assert api.get(f"/api/v1/images/{image_id}").json()["task_id"] == again["id"]


def test_an_image_that_is_not_there_is_404(api: TestClient) -> None:
    for ask in (api.get, api.delete):
        assert ask("/api/v1/images/404").status_code == 404
    assert api.patch("/api/v1/images/404", json={"alt": ""}).status_code == 404
    assert api.post("/api/v1/images/404/again").status_code == 404
