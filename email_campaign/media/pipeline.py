"""From an original to stored renditions: verify, then for each width resize, compress and store.

Rows say what is done. Each step reads them, works without a transaction, and writes down what it did; any of them may
be done by anybody, twice, or side by side, with the same result: by a message, or by the task that carries the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.media.images import Image, ImageOriginal, Rendition
from email_campaign.media.pictures import MEDIA_TYPES, render, verify
from email_campaign.media.storage import Storage
from email_campaign.settings import Settings
from email_campaign.tasks.carrying import Beat, Cancelled
from email_campaign.tasks.tasks import Task


@dataclass(frozen=True, slots=True)
class Workshop:
    """What the work on images is done with."""

    factory: SessionFactory
    storage: Storage
    settings: Settings


def verify_image(workshop: Workshop, image_id: int) -> Sequence[int]:
    """Decode all of the original, where nobody has; the widths that are not stored yet, none when it is gone.

    Raises Invalid for a picture that is broken.
    """
    with workshop.factory() as session:
        image = session.get(Image, image_id)
        if image is None or _is_over(session, image):
            return []
        content = None if image.verified_at else session.get_one(ImageOriginal, image_id).content
        missing = _missing(session, image_id)
    if content is not None:
        verify(content, workshop.settings.image_max_pixels)
        with workshop.factory.begin() as session:
            session.execute(update(Image).where(Image.id == image_id).values(verified_at=utc_now()))
    return missing


def make_rendition(workshop: Workshop, image_id: int, width: int) -> None:
    """Make and store the picture in one width, where nobody has. Raises StorageFailed."""
    with workshop.factory() as session:
        rendition = session.get(Rendition, (image_id, width))
        if rendition is None or rendition.stored_at is not None:
            return
        image = session.get_one(Image, image_id)
        if _is_over(session, image):
            return
        original = session.get_one(ImageOriginal, image_id).content
    size = (rendition.width, rendition.height)
    made = render(original, size, rendition.extension, workshop.settings.image_max_pixels)
    workshop.storage.put(rendition.key(image), made, MEDIA_TYPES[rendition.extension])
    with workshop.factory.begin() as session:
        # The task's row first: whoever deletes the image takes them in this order, too.
        task = session.get_one(Task, image.task_id, with_for_update=True)
        here = (Rendition.image_id == image_id, Rendition.width == width)
        session.execute(update(Rendition).where(*here).values(byte_count=len(made), stored_at=utc_now()))
        if task.finished_at is None:
            task.done_count = _stored_count(session, image_id)


def carry_out(workshop: Workshop, beat: Beat) -> tuple[int, Mapping[str, Any]]:
    """All that is left to do for the image of a task, under its lease: what is done, and the sizes before and after.

    Raises Invalid, StorageFailed, and Cancelled also where the image was deleted.
    """
    image_id = _image_of(workshop.factory, beat.task_id)
    beat(_done(workshop.factory, image_id), at_once=True)
    widths = verify_image(workshop, image_id)
    beat(_done(workshop.factory, image_id), at_once=True)  # who was asked to stop meanwhile got no widths
    for width in widths:
        make_rendition(workshop, image_id, width)
        beat(_done(workshop.factory, image_id), at_once=True)
    with workshop.factory() as session:
        image = session.get(Image, image_id)
        if image is None:
            raise Cancelled
        sizes = session.scalars(select(Rendition.byte_count).where(Rendition.image_id == image_id)).all()
    return len(sizes), {"bytes_before": image.byte_count, "bytes_after": sum(size or 0 for size in sizes)}


def _image_of(factory: SessionFactory, task_id: int) -> int:
    with factory() as session:
        image_id = session.scalar(select(Image.id).where(Image.task_id == task_id))
    if image_id is None:
        raise Cancelled
    return image_id


def _is_over(session: Session, image: Image) -> bool:
    """Whether nobody wants the rest any more."""
    task = session.get_one(Task, image.task_id)
    return task.finished_at is not None or task.cancel_requested_at is not None


def _missing(session: Session, image_id: int) -> Sequence[int]:
    query = select(Rendition.width).where(Rendition.image_id == image_id, Rendition.stored_at.is_(None))
    return session.scalars(query.order_by(Rendition.width)).all()


def _done(factory: SessionFactory, image_id: int) -> int:
    with factory() as session:
        return _stored_count(session, image_id)


def _stored_count(session: Session, image_id: int) -> int:
    query = select(func.count(Rendition.stored_at)).where(Rendition.image_id == image_id)
    return session.scalar(query) or 0
