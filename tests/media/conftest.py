"""A storage of each kind, an S3 that answers over HTTP, and what the work on images is done with."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from email_campaign.db import SessionFactory
from email_campaign.media.pipeline import Workshop
from email_campaign.media.storage import open_storage
from email_campaign.settings import Settings


@pytest.fixture(scope="session")
def s3_url() -> Iterator[str]:
    """Where the S3 answers."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def in_s3(settings: Settings, s3_url: str) -> Settings:
    """Settings for a new bucket."""
    made = settings.model_copy(
        update={
            "s3_bucket": f"images-{secrets.token_hex(4)}",
            "s3_endpoint_url": s3_url,
            "s3_region": "eu-central-1",
            "s3_prefix": "/mails/",
            "s3_access_key_id": SecretStr("key"),
            "s3_secret_access_key": SecretStr("secret"),
        }
    )
    client_of(made).create_bucket(
        Bucket=made.s3_bucket, CreateBucketConfiguration={"LocationConstraint": made.s3_region}
    )
    return made


@pytest.fixture
def on_disk(settings: Settings, tmp_path: Path) -> Settings:
    """Settings for a new folder."""
    return settings.model_copy(update={"media_dir": tmp_path / "media"})


@pytest.fixture(params=["on_disk", "in_s3"])
def stored(request: pytest.FixtureRequest) -> Settings:
    """Settings for each kind of storage."""
    chosen: Settings = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture
def workshop(on_disk: Settings, session_factory: SessionFactory) -> Workshop:
    return Workshop(session_factory, open_storage(on_disk), on_disk)


def client_of(settings: Settings) -> Any:
    """To look into the bucket by another way than ours."""
    return boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint_url,
        region_name=settings.s3_region,
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
