"""Where the files of images are stored: a folder, or a bucket of S3. No transaction is open while it is talked to."""

import importlib
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from email_campaign.errors import Conflict
from email_campaign.settings import Settings

FOREVER = "public, max-age=31536000, immutable"
"""What stands under a key never changes."""
PROBE = "probe"
PATIENCE_SECONDS = 5
READ_SECONDS = 20
"""For a piece of an answer; with one more try it stays below the lease of a task."""
HALF = ".half-"


class StorageFailed(Conflict):
    """The storage cannot be used now; the message says why. What was to be stored can be stored again."""


class Storage(Protocol):
    """Files by key. A key is a path of plain characters, given by `images.Rendition.key`. All raise StorageFailed."""

    where: str
    """In words, for people."""

    def put(self, key: str, content: bytes, media_type: str) -> None:
        """Store a file, whole or not at all. Safe to repeat."""

    def read(self, key: str) -> bytes | None:
        """The content; None where there is no such file."""

    def all_keys(self) -> Iterator[str]:
        """Every key, in any order."""

    def remove(self, key: str) -> None:
        """Safe to repeat."""


def open_storage(settings: Settings) -> Storage:
    """The one that the settings name. Touches neither disk nor network."""
    if settings.s3_bucket:
        return S3Storage(settings)
    return DiskStorage(settings.media_dir or (settings.data_dir or Path("var")) / "media")


def check(storage: Storage) -> None:
    """Write, read and remove something. Raises StorageFailed."""
    content = secrets.token_bytes(8)
    storage.put(PROBE, content, "application/octet-stream")
    if storage.read(PROBE) != content:
        raise StorageFailed("What was written is not what is read.")
    storage.remove(PROBE)


class DiskStorage:
    """Below a folder that web and workers share."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.expanduser().absolute()
        self.where = f"the folder {self._folder}"

    def put(self, key: str, content: bytes, media_type: str) -> None:  # noqa: ARG002 – the storages' common shape
        """Beside its place first, then moved there: nobody ever reads a half."""
        place = self._folder / key
        half = place.with_name(f"{HALF}{secrets.token_hex(8)}")
        with _told(OSError):
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                with half.open("xb") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                half.replace(place)
            finally:
                half.unlink(missing_ok=True)

    def read(self, key: str) -> bytes | None:
        """The content; None where there is no such file."""
        with _told(OSError):
            try:
                return (self._folder / key).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def all_keys(self) -> Iterator[str]:
        """Every key; the halves of writers that died are among them."""
        with _told(OSError):
            for folder, _, names in os.walk(self._folder):
                for name in names:
                    yield (Path(folder) / name).relative_to(self._folder).as_posix()

    def remove(self, key: str) -> None:
        """With the folder around it, when it was the last in there. Safe to repeat."""
        place = self._folder / key
        with _told(OSError):
            place.unlink(missing_ok=True)
        if place.parent != self._folder:
            with suppress(OSError):  # others are in there
                place.parent.rmdir()


class S3Storage:
    """In a bucket, below a prefix."""

    def __init__(self, settings: Settings) -> None:
        # Loaded where it is needed: it costs each process 30 MB and a second, and most installations have a folder.
        boto3, config, self._errors = map(importlib.import_module, ("boto3", "botocore.config", "botocore.exceptions"))
        self._bucket = settings.s3_bucket
        self._prefix = f"{settings.s3_prefix.strip('/')}/" if settings.s3_prefix.strip("/") else ""
        self.where = f"the bucket {self._bucket}" + (f" below {self._prefix}" if self._prefix else "")
        self._s3: Any = boto3.session.Session().client(
            "s3",
            endpoint_url=settings.s3_endpoint_url or None,
            region_name=settings.s3_region or None,
            aws_access_key_id=settings.s3_access_key_id.get_secret_value() or None,
            aws_secret_access_key=settings.s3_secret_access_key.get_secret_value() or None,
            config=config.Config(
                connect_timeout=PATIENCE_SECONDS,
                read_timeout=READ_SECONDS,
                retries={"mode": "standard", "total_max_attempts": 2},
                # What only Amazon's own S3 is sure to understand is left out.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def put(self, key: str, content: bytes, media_type: str) -> None:
        """With the headers that a CDN in front of the bucket passes on."""
        with self._told():
            self._s3.put_object(
                Bucket=self._bucket,
                Key=self._prefix + key,
                Body=content,
                ContentType=media_type,
                CacheControl=FOREVER,
            )

    def read(self, key: str) -> bytes | None:
        """The content; None where there is no such file."""
        with self._told():
            try:
                content: bytes = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + key)["Body"].read()
            except self._s3.exceptions.NoSuchKey:
                return None
            return content

    def all_keys(self) -> Iterator[str]:
        """Every key below the prefix, in pages of 1,000."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
        with self._told():
            for page in pages:
                for entry in page.get("Contents", ()):
                    yield str(entry["Key"]).removeprefix(self._prefix)

    def remove(self, key: str) -> None:
        """Safe to repeat."""
        with self._told():
            self._s3.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    @contextmanager
    def _told(self) -> Iterator[None]:
        with _told(self._errors.BotoCoreError, self._errors.ClientError):
            yield


@contextmanager
def _told(*failures: type[Exception]) -> Iterator[None]:
    try:
        yield
    except failures as error:
        raise StorageFailed(f"The storage of images cannot be used: {error}") from error
