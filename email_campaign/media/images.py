"""Images: an uploaded picture with its original, its renditions, and the task that makes them."""

import enum
import hashlib
import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from sqlalchemy import ForeignKey, Select, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from email_campaign.db import Base, BigId, CreatedAt, text_enum
from email_campaign.errors import Conflict, Invalid, NotFound
from email_campaign.media.pictures import MEDIA_TYPES, Format, Picture, height_for, look
from email_campaign.settings import Settings
from email_campaign.tasks.tasks import Task, TaskState, create_task

TASK_KIND = "image"
MAX_ALT_CHARACTERS = 500
MAX_NAME_CHARACTERS = 200
HASH_CHARACTERS = 32
"""128 bits of the original's hash: whoever has not seen a name does not find it."""
STEM = re.compile(r"[1-9][0-9]{0,17}-[0-9a-f]{32}")
KEY = re.compile(rf"(?P<stem>{STEM.pattern})/(?P<width>[1-9][0-9]{{0,8}})\.(?P<extension>{'|'.join(MEDIA_TYPES)})")
"""What a key looks like, and nothing else does."""


class ImageState(enum.StrEnum):
    """What people are told; it follows from the image's task."""

    PROCESSING = "processing"
    READY = "ready"
    FAILED = "failed"


class Image(Base):
    """One uploaded picture. Its size is that of the original, upright; `verified_at` is when all of it was decoded."""

    __tablename__ = "images"

    id: Mapped[BigId]
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id"), index=True)
    file_name: Mapped[str]
    alt: Mapped[str] = mapped_column(server_default="")
    format: Mapped[Format] = mapped_column(text_enum(Format))
    is_animated: Mapped[bool]
    width: Mapped[int]
    height: Mapped[int]
    byte_count: Mapped[int]
    sha256: Mapped[bytes]
    created_by: Mapped[int | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[CreatedAt]
    verified_at: Mapped[datetime | None]

    @property
    def stem(self) -> str:
        """What the keys of all its files begin with, and nobody else's: the id never comes again, nor does the hash."""
        return f"{self.id}-{self.sha256.hex()[:HASH_CHARACTERS]}"


class ImageOriginal(Base):
    """The file as it was uploaded. It is in Postgres, and so in each backup: everything can be made again from it."""

    __tablename__ = "image_originals"

    image_id: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), primary_key=True)
    content: Mapped[bytes]


class Rendition(Base):
    """The picture in one width. `stored_at` is None until its file is in the storage."""

    __tablename__ = "renditions"

    image_id: Mapped[int] = mapped_column(ForeignKey("images.id", ondelete="CASCADE"), primary_key=True)
    width: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    height: Mapped[int]
    extension: Mapped[str]
    byte_count: Mapped[int | None]
    stored_at: Mapped[datetime | None]

    def key(self, image: Image) -> str:
        """Its file in the storage. It follows from the original, so what is made again after a loss has its old URL."""
        return f"{image.stem}/{self.width}.{self.extension}"


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it comes in."""

    file_name: str
    file: BinaryIO
    alt: str
    created_by: int | None


def take_in(session: Session, upload: Upload, settings: Settings, now: datetime) -> Image:
    """Keep the original, and make the task that turns it into renditions (`task_id`); nothing of it is stored yet.

    Raises Invalid for what is no picture that mails can show, or too large; the header alone is looked at.
    """
    content = upload.file.read(settings.image_max_bytes + 1)
    if len(content) > settings.image_max_bytes:
        most = settings.image_max_bytes
        limit = f"{most / 1e6:,.1f} MB" if most >= 1e6 else f"{most:,} bytes"
        raise Invalid.field("file", f"The file is larger than {limit} (IMAGE_MAX_BYTES). Save it smaller.")
    alt = _checked_alt(upload.alt)
    picture = look(content, settings.image_max_pixels)
    name = _shown_name(upload.file_name)
    task = create_task(
        session, kind=TASK_KIND, subject_id=None, title=_title(name), created_by=upload.created_by, now=now
    )
    image = Image(
        task_id=task.id,
        file_name=name,
        alt=alt,
        format=picture.format,
        is_animated=picture.is_animated,
        width=picture.width,
        height=picture.height,
        byte_count=len(content),
        sha256=hashlib.sha256(content).digest(),
        created_by=upload.created_by,
        created_at=now,
    )
    session.add(image)
    session.flush()
    widths = _widths(picture, settings.image_widths)
    session.add(ImageOriginal(image_id=image.id, content=content))
    for width in widths:
        height = height_for(picture, width)
        session.add(Rendition(image_id=image.id, width=width, height=height, extension=picture.extension))
    task.subject_id, task.total_count = image.id, len(widths)
    session.flush()
    return image


def get_image(session: Session, image_id: int) -> Image:
    """Raises NotFound."""
    found = session.get(Image, image_id)
    if found is None:
        raise _no_image(image_id)
    return found


def lock_image(session: Session, image_id: int) -> Image:
    """As `get_image`, under a row lock and read afresh: who changes it meanwhile waits."""
    found = session.get(Image, image_id, with_for_update=True, populate_existing=True)
    if found is None:
        raise _no_image(image_id)
    return found


def all_images(term: str = "") -> Select[Image]:
    """Every image with the term in name or alt text, whatever the case; unordered. Keyset pages go by id."""
    term = term.replace("\0", "").strip()
    found = select(Image)
    if not term:
        return found
    return found.where(Image.file_name.icontains(term, autoescape=True) | Image.alt.icontains(term, autoescape=True))


def renditions_of(session: Session, image_ids: Collection[int]) -> Mapping[int, Sequence[Rendition]]:
    """The renditions of these images, the narrowest first."""
    found: dict[int, list[Rendition]] = {image_id: [] for image_id in image_ids}
    query = select(Rendition).where(Rendition.image_id.in_(found)).order_by(Rendition.image_id, Rendition.width)
    for rendition in session.scalars(query):
        found[rendition.image_id].append(rendition)
    return found


def state_of(task: Task) -> ImageState:
    """How the image of this task is."""
    if task.finished_at is None:
        return ImageState.PROCESSING
    return ImageState.READY if task.state is TaskState.SUCCEEDED else ImageState.FAILED


def failure_of(task: Task) -> str | None:
    """Why an image has failed; None for one that has not."""
    return "It was cancelled." if task.state is TaskState.CANCELLED else task.error


def change_alt(session: Session, image_id: int, alt: str) -> Image:
    """Say what the picture shows. Tags that were copied before keep their words. Raises NotFound, Invalid."""
    changed = lock_image(session, image_id)
    changed.alt = _checked_alt(alt)
    session.flush()
    return changed


def make_again(
    session: Session, image_id: int, created_by: int | None, now: datetime, *, lost: Collection[int] = ()
) -> Task:
    """A task that makes what is not stored, and the widths that were `lost`. The door nudges it, or the sweep.

    Raises NotFound, and Conflict while one is going on.
    """
    image = lock_image(session, image_id)
    before = session.get_one(Task, image.task_id)
    if before.finished_at is None:
        raise Conflict("The image is being made already; wait for it.")
    title = _title(image.file_name)
    task = create_task(session, kind=TASK_KIND, subject_id=image.id, title=title, created_by=created_by, now=now)
    renditions = renditions_of(session, [image.id])[image.id]
    for one in renditions:
        if one.width in lost:
            one.stored_at = None
    task.total_count = len(renditions)
    task.done_count = task.earlier_count = sum(one.stored_at is not None for one in renditions)
    image.task_id = task.id
    session.flush()
    return task


def delete_image(session: Session, image_id: int, now: datetime) -> Image:
    """Forget the image, its original and its names; its files go afterwards (tidy.py). Raises NotFound."""
    image = lock_image(session, image_id)
    task = session.get_one(Task, image.task_id, with_for_update=True)
    if task.finished_at is None:
        task.cancel_requested_at = task.cancel_requested_at or now
    session.delete(image)
    session.flush()
    return image


def _widths(picture: Picture, wanted: Sequence[int]) -> list[int]:
    """The wanted ones that make it smaller, and its own where that is not above the largest. Never a larger one."""
    if picture.is_animated:
        return [picture.width]
    smaller = [width for width in wanted if width < picture.width]
    return [*smaller, picture.width] if picture.width <= max(wanted) else smaller


def _checked_alt(alt: str) -> str:
    words = " ".join(alt.split())
    if len(words) > MAX_ALT_CHARACTERS:
        raise Invalid.field("alt", f"The text has {len(words):,} characters; at most {MAX_ALT_CHARACTERS} are kept.")
    if any(unicodedata.category(character) in {"Cc", "Cs"} for character in words):
        raise Invalid.field("alt", "The text contains a character that cannot be shown.")
    return words


def _shown_name(file_name: str) -> str:
    """The last part of a client's file name, fit to be shown."""
    name = "".join(one for one in re.split(r"[/\\]", file_name)[-1] if one.isprintable())
    return name[:MAX_NAME_CHARACTERS] or "image"


def _title(name: str) -> str:
    return f"Image {name}"


def _no_image(image_id: int) -> NotFound:
    return NotFound(f"There is no image {image_id}.")
