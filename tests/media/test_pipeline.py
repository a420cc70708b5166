"""From an upload to stored renditions, whoever does it, dies over it, repeats it or cancels it."""

import io
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context
from typing import Any, NoReturn

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import sessionmaker

from email_campaign.accounts.users import User
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory, make_engine
from email_campaign.errors import Conflict, Invalid
from email_campaign.media import images
from email_campaign.media.images import KEY, Image, ImageOriginal, ImageState, Upload
from email_campaign.media.pipeline import Workshop, carry_out, make_rendition, verify_image
from email_campaign.media.storage import Storage, StorageFailed, open_storage
from email_campaign.media.tidy import tidy
from email_campaign.settings import Settings
from email_campaign.tasks import running
from email_campaign.tasks.carrying import Beat, carry
from email_campaign.tasks.tasks import Task, TaskState, overdue, request_cancel
from tests.media import samples
from tests.media.samples import opened

assert User.__tablename__ == "users"  # tasks refer to it

IDLE = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in transaction%'"
)


def upload(factory: SessionFactory, settings: Settings, content: bytes, name: str = "tulips.jpg") -> Image:
    with factory.begin() as session:
        return images.take_in(session, Upload(name, io.BytesIO(content), "Tulips", None), settings, utc_now())


def hop(workshop: Workshop, task_id: int) -> TaskState | None:
    """As the worker does it."""
    taken = running.lease(workshop.factory, task_id, workshop.settings.task_lease_seconds, utc_now())
    if taken is None:
        return None
    return carry(workshop.factory, task_id, taken.token, workshop.settings, lambda beat: carry_out(workshop, beat))


def sizes(workshop: Workshop, image: Image) -> dict[tuple[int, int], str]:
    """What is stored of the image, as it is: size and format."""
    found = {}
    for key in workshop.storage.all_keys():
        if key.startswith(f"{image.stem}/"):
            assert KEY.fullmatch(key)
            content = workshop.storage.read(key)
            assert content is not None
            made = opened(content)
            found[made.size] = str(made.format)
    return found


def task_of(workshop: Workshop, image_id: int) -> Task:
    with workshop.factory() as session:
        return session.get_one(Task, session.get_one(Image, image_id).task_id)


def test_an_upload_is_made_in_every_width_that_is_smaller_and_stored(
    stored: Settings, session_factory: SessionFactory
) -> None:
    workshop = Workshop(session_factory, open_storage(stored), stored)
    image = upload(session_factory, stored, samples.jpeg(4000, 2000, orientation=6))
    assert (image.width, image.height, image.file_name) == (2000, 4000, "tulips.jpg")
    assert hop(workshop, image.task_id) is TaskState.SUCCEEDED
    assert sizes(workshop, image) == {(320, 640): "JPEG", (600, 1200): "JPEG", (1200, 2400): "JPEG"}
    task = task_of(workshop, image.id)
    assert (task.done_count, task.total_count, images.state_of(task)) == (3, 3, ImageState.READY)
    with session_factory() as session:
        made = images.renditions_of(session, [image.id])[image.id]
        assert all(one.stored_at and one.byte_count for one in made)
        assert session.get_one(Image, image.id).verified_at is not None
    assert task.result == {"bytes_before": image.byte_count, "bytes_after": sum(one.byte_count or 0 for one in made)}


@pytest.mark.parametrize(
    ("width", "widths"),
    [(100, [100]), (320, [320]), (321, [320, 321]), (800, [320, 600, 800]), (1300, [320, 600, 1200])],
)
def test_no_picture_is_made_larger_than_it_is(workshop: Workshop, width: int, widths: list[int]) -> None:
    image = upload(workshop.factory, workshop.settings, samples.png(width, 50))
    with workshop.factory() as session:
        assert [one.width for one in images.renditions_of(session, [image.id])[image.id]] == widths


def test_a_moving_picture_is_stored_byte_for_byte(workshop: Workshop) -> None:
    content = samples.moving()
    image = upload(workshop.factory, workshop.settings, content)
    assert hop(workshop, image.task_id) is TaskState.SUCCEEDED
    (key,) = workshop.storage.all_keys()
    assert key == f"{image.stem}/120.gif"
    assert workshop.storage.read(key) == content


def test_a_file_above_the_limit_is_refused_and_nothing_stays(workshop: Workshop) -> None:
    small = workshop.settings.model_copy(update={"image_max_bytes": 1_000})
    with pytest.raises(Invalid, match="larger than 1,000 bytes"):
        upload(workshop.factory, small, samples.jpeg())
    with workshop.factory() as session:
        assert session.scalars(select(Image)).all() == []
        assert session.scalars(select(Task)).all() == []


def test_a_broken_picture_fails_with_the_reason_and_stores_nothing(workshop: Workshop) -> None:
    image = upload(workshop.factory, workshop.settings, samples.jpeg()[:-2000])
    assert hop(workshop, image.task_id) is TaskState.FAILED
    task = task_of(workshop, image.id)
    assert "broken or cut off" in (images.failure_of(task) or "")
    assert images.state_of(task) is ImageState.FAILED
    assert list(workshop.storage.all_keys()) == []


def test_the_messages_of_the_chain_do_it_all_and_the_task_only_ends(workshop: Workshop) -> None:
    image = upload(workshop.factory, workshop.settings, samples.jpeg())
    widths = verify_image(workshop, image.id)
    assert widths == [320, 600, 800]
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda width: make_rendition(workshop, image.id, width), [*widths, *widths]))
    assert task_of(workshop, image.id).done_count == 3
    with workshop.factory.begin() as session:
        session.get_one(ImageOriginal, image.id).content = b"nobody looks any more"
    assert hop(workshop, image.task_id) is TaskState.SUCCEEDED
    assert len(sizes(workshop, image)) == 3


class Watched:
    """A storage that looks, each time it is talked to, whether a transaction is open anywhere."""

    where = "watched"

    def __init__(self, storage: Storage, factory: SessionFactory) -> None:
        self._storage, self._factory = storage, factory
        self.put_count = 0

    def put(self, key: str, content: bytes, media_type: str) -> None:
        with self._factory() as session:
            assert session.scalar(IDLE) == 0
        self.put_count += 1
        self._storage.put(key, content, media_type)


def test_no_transaction_is_open_while_the_storage_is_talked_to(workshop: Workshop) -> None:
    watched: Any = Watched(workshop.storage, workshop.factory)
    image = upload(workshop.factory, workshop.settings, samples.jpeg())
    assert hop(Workshop(workshop.factory, watched, workshop.settings), image.task_id) is TaskState.SUCCEEDED
    assert watched.put_count == 3


def _die_while_storing(settings: Settings, task_id: int) -> None:
    """A worker that is killed, as the kernel does it, with the second file in its hands."""
    factory = sessionmaker(make_engine(settings), expire_on_commit=False)
    real = open_storage(settings)

    class Deadly:
        where = "deadly"

        def __init__(self) -> None:
            self.count = 0

        def put(self, key: str, content: bytes, media_type: str) -> None:
            self.count += 1
            if self.count == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            real.put(key, content, media_type)

    deadly: Any = Deadly()
    hop(Workshop(factory, deadly, settings), task_id)


def test_a_killed_worker_loses_nothing_and_another_goes_on_where_it_was(workshop: Workshop) -> None:
    image = upload(workshop.factory, workshop.settings, samples.jpeg())
    killed = get_context("spawn").Process(target=_die_while_storing, args=(workshop.settings, image.task_id))
    killed.start()
    killed.join(60)
    assert killed.exitcode == -signal.SIGKILL
    task = task_of(workshop, image.id)
    assert (task.state, task.done_count) == (TaskState.RUNNING, 1)
    assert hop(workshop, image.task_id) is None  # its lease is not over yet
    assert task.lease_until is not None
    with workshop.factory.begin() as session:
        assert overdue(session, task.lease_until, 0) == [image.task_id]  # so the sweep nudges it
        session.get_one(Task, image.task_id).lease_until = utc_now()
    watched: Any = Watched(workshop.storage, workshop.factory)
    assert hop(Workshop(workshop.factory, watched, workshop.settings), image.task_id) is TaskState.SUCCEEDED
    assert watched.put_count == 2
    assert len(sizes(workshop, image)) == 3


def test_a_storage_that_is_away_fails_the_task_and_a_retry_makes_what_is_missing(workshop: Workshop) -> None:
    class Away:
        where = "away"

        def put(self, *_: object) -> None:
            raise StorageFailed("The storage of images cannot be used: nobody answers")

    away: Any = Away()
    image = upload(workshop.factory, workshop.settings, samples.jpeg())
    make_rendition(workshop, image.id, 320)
    assert hop(Workshop(workshop.factory, away, workshop.settings), image.task_id) is TaskState.FAILED
    assert "nobody answers" in (task_of(workshop, image.id).error or "")
    with workshop.factory.begin() as session:
        again = images.make_again(session, image.id, None, utc_now())
        assert (again.done_count, again.total_count) == (1, 3)
        with pytest.raises(Conflict, match="being made already"):
            images.make_again(session, image.id, None, utc_now())
    assert hop(workshop, again.id) is TaskState.SUCCEEDED
    assert len(sizes(workshop, image)) == 3


def test_a_database_that_is_away_for_a_moment_fails_no_image(workshop: Workshop) -> None:
    image = upload(workshop.factory, workshop.settings, samples.jpeg())
    taken = running.lease(workshop.factory, image.task_id, 60, utc_now())
    assert taken is not None

    def cut_off(_: Beat) -> NoReturn:
        raise OperationalError("SELECT 1", {}, Exception("the server closed the connection"))

    assert carry(workshop.factory, image.task_id, taken.token, workshop.settings, cut_off) is None
    task = task_of(workshop, image.id)
    assert (task.state, task.error) == (TaskState.RUNNING, None)


def test_a_cancelled_task_stops_and_messages_that_come_late_make_nothing(workshop: Workshop) -> None:
    image = upload(workshop.factory, workshop.settings, samples.jpeg())
    with workshop.factory.begin() as session:
        request_cancel(session, image.task_id, utc_now())
    make_rendition(workshop, image.id, 320)
    assert verify_image(workshop, image.id) == []
    assert hop(workshop, image.task_id) is TaskState.CANCELLED
    make_rendition(workshop, image.id, 320)
    assert list(workshop.storage.all_keys()) == []
    assert images.failure_of(task_of(workshop, image.id)) == "It was cancelled."


def test_a_deleted_image_ends_its_task_and_its_files_go_after_the_row(workshop: Workshop) -> None:
    image, other = (upload(workshop.factory, workshop.settings, samples.jpeg()) for _ in range(2))
    make_rendition(workshop, image.id, 320)
    assert hop(workshop, other.task_id) is TaskState.SUCCEEDED
    with workshop.factory.begin() as session:
        images.delete_image(session, image.id, utc_now())
    make_rendition(workshop, image.id, 600)
    assert hop(workshop, image.task_id) is TaskState.CANCELLED
    assert len(sizes(workshop, image)) == 1
    assert tidy(workshop.factory, workshop.storage, utc_now()).removed_count == 1
    assert sizes(workshop, image) == {}
    assert len(sizes(workshop, other)) == 3  # the same picture, under names of its own
