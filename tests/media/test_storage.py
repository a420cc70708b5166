"""The storage: what was put is there, whole, under its name, on a disk and in S3 over HTTP."""

import os
import threading
from pathlib import Path

import pytest

from email_campaign.local import ports
from email_campaign.media.storage import HALF, DiskStorage, StorageFailed, check, open_storage
from email_campaign.settings import Settings
from tests.media.conftest import client_of

KEY = f"7-{'0' * 32}/600.png"


def test_what_was_put_is_read_listed_and_removed(stored: Settings) -> None:
    storage = open_storage(stored)
    assert storage.read(KEY) is None
    assert list(storage.all_keys()) == []
    storage.remove(KEY)
    storage.put(KEY, b"first", "image/png")
    storage.put(KEY, b"again", "image/png")
    assert storage.read(KEY) == b"again"
    assert list(storage.all_keys()) == [KEY]
    storage.remove(KEY)
    assert storage.read(KEY) is None
    assert list(storage.all_keys()) == []


def test_a_check_leaves_nothing_behind(stored: Settings) -> None:
    storage = open_storage(stored)
    check(storage)
    assert list(storage.all_keys()) == []


def test_in_s3_a_file_has_what_a_cdn_passes_on_and_stands_below_the_prefix(in_s3: Settings) -> None:
    open_storage(in_s3).put(KEY, b"picture", "image/png")
    seen = client_of(in_s3).get_object(Bucket=in_s3.s3_bucket, Key=f"mails/{KEY}")
    assert (seen["ContentType"], seen["CacheControl"]) == ("image/png", "public, max-age=31536000, immutable")


def test_a_neighbour_below_another_prefix_is_not_seen(in_s3: Settings) -> None:
    storage = open_storage(in_s3.model_copy(update={"s3_prefix": "mail"}))
    open_storage(in_s3).put(KEY, b"theirs", "image/png")
    assert list(storage.all_keys()) == []


def test_a_bucket_that_is_not_there_or_does_not_answer_is_said_so(in_s3: Settings) -> None:
    nobody = f"http://127.0.0.1:{ports.free_port()}"
    for update in ({"s3_bucket": "another"}, {"s3_endpoint_url": nobody}):
        storage = open_storage(in_s3.model_copy(update=update))
        with pytest.raises(StorageFailed, match="storage of images cannot be used"):
            storage.put(KEY, b"", "image/png")
        with pytest.raises(StorageFailed):
            list(storage.all_keys())


def test_secrets_stand_in_no_message(in_s3: Settings) -> None:
    assert "secret" not in repr(in_s3.s3_secret_access_key)
    assert open_storage(in_s3).where == f"the bucket {in_s3.s3_bucket} below mails/"


def test_a_folder_that_cannot_be_written_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    storage = DiskStorage(tmp_path / "file")
    with pytest.raises(StorageFailed, match="storage of images cannot be used"):
        storage.put(KEY, b"", "image/png")
    assert storage.read(KEY) is None


def test_nobody_reads_a_half_and_a_writer_that_failed_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = DiskStorage(tmp_path)
    storage.put(KEY, b"old", "image/png")
    at_the_disk, go_on = threading.Event(), threading.Event()

    def slow(_descriptor: int) -> None:
        at_the_disk.set()
        assert go_on.wait(20)
        raise OSError("the disk is full")

    monkeypatch.setattr(os, "fsync", slow)
    failures: list[BaseException] = []

    def write() -> None:
        try:
            storage.put(KEY, b"new", "image/png")
        except StorageFailed as error:
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    assert at_the_disk.wait(20)
    assert storage.read(KEY) == b"old"
    assert any(HALF in key for key in storage.all_keys())
    go_on.set()
    writer.join()
    assert len(failures) == 1
    assert list(storage.all_keys()) == [KEY]
    assert storage.read(KEY) == b"old"
