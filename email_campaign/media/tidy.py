"""The storage held against the rows: files of images that are no more go, files that are lost are made again."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from email_campaign.db import SessionFactory
from email_campaign.errors import Conflict, NotFound
from email_campaign.media.images import STEM, Image, Rendition, make_again
from email_campaign.media.storage import Storage

ASKED_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Tidied:
    """How many files went, and how many images are made again."""

    removed_count: int
    again_count: int


def tidy(factory: SessionFactory, storage: Storage, now: datetime) -> Tidied:
    """Safe to repeat, and beside uploads and deletions. Raises StorageFailed.

    The rows are read before the files to find what is lost, and after them to find what is nobody's: a file that is
    stored meanwhile is neither, for its image was committed before it was written, and no two images share a name.
    """
    with factory() as session:
        stored = select(Rendition, Image).join(Image, Image.id == Rendition.image_id)
        named = {
            rendition.key(image): rendition
            for rendition, image in session.execute(stored.where(Rendition.stored_at.is_not(None)))
        }
    there = set(storage.all_keys())
    again_count = _make_again(factory, [named[key] for key in named.keys() - there], now)
    unnamed, removed_count = sorted(there - named.keys()), 0
    for start in range(0, len(unnamed), ASKED_AT_ONCE):
        with factory() as session:
            doomed = _nobodys(session, unnamed[start : start + ASKED_AT_ONCE])
        for key in doomed:
            storage.remove(key)
        removed_count += len(doomed)
    return Tidied(removed_count, again_count)


def _make_again(factory: SessionFactory, lost: Iterable[Rendition], now: datetime) -> int:
    """A task for each image; the sweep nudges them."""
    widths: dict[int, list[int]] = {}
    for rendition in lost:
        widths.setdefault(rendition.image_id, []).append(rendition.width)
    count = 0
    for image_id in sorted(widths):
        try:
            with factory.begin() as session:
                make_again(session, image_id, None, now, lost=widths[image_id])
        except (Conflict, NotFound):
            continue  # it is being made already, or was deleted meanwhile
        count += 1
    return count


def _nobodys(session: Session, keys: Iterable[str]) -> list[str]:
    """Those of images that are no more. What has another name than ours was laid there by somebody else, and stays."""
    stems = {key: stem for key in keys if STEM.fullmatch(stem := key.partition("/")[0])}
    ids = {int(stem.partition("-")[0]) for stem in stems.values()}
    living = {image.stem for image in session.scalars(select(Image).where(Image.id.in_(ids)))}
    return [key for key, stem in stems.items() if stem not in living]
