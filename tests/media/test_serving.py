"""Recipients get an image from us wherever it is stored."""

import warnings

from email_campaign.db import SessionFactory
from email_campaign.media import images
from email_campaign.media.pipeline import Workshop
from email_campaign.media.storage import open_storage
from email_campaign.settings import Settings
from email_campaign.tasks.tasks import TaskState
from email_campaign.web.app import create_app
from tests.media import samples
from tests.media.samples import opened
from tests.media.test_pipeline import hop, upload

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Starlette's client would rather have the successor of httpx
    from starlette.testclient import TestClient


def test_an_image_is_served_from_a_folder_and_from_s3(stored: Settings, session_factory: SessionFactory) -> None:
    workshop = Workshop(session_factory, open_storage(stored), stored)
    image = upload(session_factory, stored, samples.jpeg())
    assert hop(workshop, image.task_id) is TaskState.SUCCEEDED
    with session_factory() as session:
        (rendition, *_) = images.renditions_of(session, [image.id])[image.id]
    client = TestClient(create_app(stored, session_factory), base_url="http://127.0.0.1")
    seen = client.get(f"/media/{rendition.key(image)}")
    assert (seen.status_code, seen.headers["Content-Type"], opened(seen.content).size) == (
        200,
        "image/jpeg",
        (320, 160),
    )
    assert client.get(f"/media/{image.stem}/321.jpg").status_code == 404
