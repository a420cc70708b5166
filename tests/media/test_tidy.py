"""The storage against the rows: what nobody names goes, what is lost comes back under its old name, the rest stays."""

from typing import Any

from sqlalchemy import delete

from email_campaign.clock import utc_now
from email_campaign.media import images
from email_campaign.media.images import Image
from email_campaign.media.pipeline import Workshop, make_rendition
from email_campaign.media.storage import open_storage
from email_campaign.media.tidy import Tidied, tidy
from email_campaign.settings import Settings
from email_campaign.tasks.tasks import Task, TaskState
from tests.media import samples
from tests.media.test_pipeline import hop, upload


def test_what_is_as_it_should_be_stays(workshop: Workshop) -> None:
    image = upload(workshop.factory, workshop.settings, samples.jpeg())
    assert hop(workshop, image.task_id) is TaskState.SUCCEEDED
    before = set(workshop.storage.all_keys())
    assert tidy(workshop.factory, workshop.storage, utc_now()) == Tidied(0, 0)
    assert set(workshop.storage.all_keys()) == before


def test_a_file_that_is_lost_is_made_again_under_its_name(workshop: Workshop) -> None:
    image = upload(workshop.factory, workshop.settings, samples.jpeg())
    hop(workshop, image.task_id)
    before = {key: workshop.storage.read(key) for key in workshop.storage.all_keys()}
    workshop.storage.remove(f"{image.stem}/600.jpg")
    assert tidy(workshop.factory, workshop.storage, utc_now()) == Tidied(0, 1)
    assert tidy(workshop.factory, workshop.storage, utc_now()) == Tidied(0, 0)  # it is under way
    with workshop.factory() as session:
        again = session.get_one(Task, session.get_one(Image, image.id).task_id)
    assert (again.done_count, again.total_count) == (2, 3)
    assert hop(workshop, again.id) is TaskState.SUCCEEDED
    assert {key: workshop.storage.read(key) for key in workshop.storage.all_keys()} == before


def test_a_new_storage_is_filled_from_the_originals(workshop: Workshop, in_s3: Settings) -> None:
    made = [upload(workshop.factory, workshop.settings, content) for content in (samples.jpeg(), samples.moving())]
    for image in made:
        hop(workshop, image.task_id)
    moved = Workshop(workshop.factory, open_storage(in_s3), in_s3)
    assert tidy(moved.factory, moved.storage, utc_now()) == Tidied(0, 2)
    for image in made:
        with workshop.factory() as session:
            hop(moved, session.get_one(Image, image.id).task_id)
    assert set(moved.storage.all_keys()) == set(workshop.storage.all_keys())


def test_files_of_images_that_are_no_more_go_and_those_of_others_stay(workshop: Workshop) -> None:
    gone, kept = (upload(workshop.factory, workshop.settings, samples.jpeg()) for _ in range(2))
    for image in (gone, kept):
        hop(workshop, image.task_id)
    workshop.storage.put("notes.txt", b"of somebody else", "text/plain")
    workshop.storage.put(f"{kept.stem}/900.jpg", b"of another setting, in mails out there", "image/jpeg")
    with workshop.factory.begin() as session:
        session.execute(delete(Image).where(Image.id == gone.id))
    assert tidy(workshop.factory, workshop.storage, utc_now()) == Tidied(3, 0)
    names = {f"{kept.stem}/{width}.jpg" for width in (320, 600, 800, 900)}
    assert set(workshop.storage.all_keys()) == names | {"notes.txt"}


def test_an_image_that_is_uploaded_and_stored_meanwhile_is_neither_missed_nor_removed(workshop: Workshop) -> None:
    class Slow:
        """While files are listed somebody uploads, and files are stored: before the listing sees them, and after."""

        where = "slow"
        removed: list[str] = []  # noqa: RUF012 – one test's own

        def all_keys(self) -> Any:
            before = upload(workshop.factory, workshop.settings, samples.jpeg())
            make_rendition(workshop, before.id, 320)
            yield from workshop.storage.all_keys()
            make_rendition(workshop, before.id, 600)

        def remove(self, key: str) -> None:
            self.removed.append(key)

    slow: Any = Slow()
    assert tidy(workshop.factory, slow, utc_now()) == Tidied(0, 0)
    assert slow.removed == []


def test_one_that_is_deleted_while_files_are_looked_for_does_no_harm(workshop: Workshop) -> None:
    image = upload(workshop.factory, workshop.settings, samples.jpeg())
    hop(workshop, image.task_id)

    class Empty:
        where = "empty"

        def all_keys(self) -> Any:
            with workshop.factory.begin() as session:
                images.delete_image(session, image.id, utc_now())
            return iter(())

    empty: Any = Empty()
    assert tidy(workshop.factory, empty, utc_now()) == Tidied(0, 0)
