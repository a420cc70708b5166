"""F5: FLUSHALL in mid-campaign: every message, binding and counter of the broker is gone, and the campaign is done."""

import time

import pytest
import redis

from tests.faults.conftest import Scene
from tests.tools.scripted_smtp import Rule

pytestmark = pytest.mark.faults


def test_f05_a_campaign_outlives_a_flushed_broker(scene: Scene) -> None:
    scene.sink.script.rules.append(Rule("dot", delay_seconds=0.1))
    campaign_id = scene.service.launch(400)
    with redis.Redis.from_url(scene.service.settings.redis_url) as broker:
        for part in (40, 160):
            scene.until_bodies(campaign_id, part)
            broker.flushall()
            scene.tally.made()
            flushed_at = time.monotonic()
    assert scene.settled(campaign_id) == {"accepted": 400}
    assert time.monotonic() - flushed_at < 30
    assert scene.settled(scene.service.launch(5)) == {"accepted": 5}
