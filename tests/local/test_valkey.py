"""The embedded Valkey: durable, reachable by password only."""

from pathlib import Path

import pytest
import redis

from email_campaign.local import ports, valkey
from email_campaign.local.programs import Lifeline, running


def test_keys_outlive_a_restart(lifeline: Lifeline, services_dir: Path) -> None:
    home = services_dir / "restarted valkey"
    for expected in (None, b"1"):
        server = valkey.prepare(home, port=ports.free_port())
        with (
            running(lifeline, server.program(), services_dir / "valkey-restarted.log"),
            redis.Redis.from_url(server.url) as client,
        ):
            assert client.get("kept") == expected
            client.set("kept", "1")


def test_it_refuses_strangers_and_eviction(redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    with (
        redis.Redis.from_url(redis_url.replace("redis://:", "redis://:wrong")) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()
