"""F8: the counters of chords are lost again and again: the next windows and the finish happen all the same."""

import pytest
import redis

from tests.faults.conftest import Scene
from tests.tools.scripted_smtp import Rule

pytestmark = pytest.mark.faults


def test_f08_windows_go_on_and_the_campaign_finishes_without_any_chord(scene: Scene) -> None:
    scene.sink.script.rules.append(Rule("dot", delay_seconds=0.05))
    campaign_id = scene.service.launch(900)
    lost = 0
    with redis.Redis.from_url(scene.service.settings.redis_url) as broker:
        while scene.service.get(f"/campaigns/{campaign_id}")["state"] != "finished":
            if keys := [*broker.scan_iter("celery-taskset-meta-*"), *broker.scan_iter("chord*")]:
                lost += broker.delete(*keys)
    assert lost > 0
    scene.tally.made(lost)
    assert scene.settled(campaign_id) == {"accepted": 900}
