"""An app with a folder of its own for images, and its work on them done here and now."""

from pathlib import Path

from fastapi import FastAPI
from starlette.testclient import TestClient

from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.media.images import Image
from email_campaign.media.pipeline import Workshop, carry_out
from email_campaign.media.storage import open_storage
from email_campaign.settings import Settings
from email_campaign.tasks import running
from email_campaign.tasks.carrying import carry
from email_campaign.web.app import create_app


def app_with_images(settings: Settings, factory: SessionFactory, folder: Path) -> FastAPI:
    """The app, whose images stand in this folder."""
    return create_app(settings.model_copy(update={"media_dir": folder, "public_url": "http://127.0.0.1"}), factory)


def make(app: FastAPI, image_id: int) -> None:
    """What the worker does for an image."""
    settings: Settings = app.state.settings
    workshop = Workshop(app.state.session_factory, open_storage(settings), settings)
    with workshop.factory() as session:
        task_id = session.get_one(Image, image_id).task_id
    taken = running.lease(workshop.factory, task_id, 60, utc_now())
    assert taken is not None
    carry(workshop.factory, task_id, taken.token, settings, lambda beat: carry_out(workshop, beat))


def uploaded(app: FastAPI, api: TestClient, content: bytes, name: str = "tulips.jpg", alt: str = "Tulips") -> int:
    """An image that is ready; its id."""
    answer = api.post("/api/v1/images", files={"file": (name, content)}, data={"alt": alt})
    assert answer.status_code == 202, answer.text
    image_id: int = answer.json()["id"]
    make(app, image_id)
    return image_id
