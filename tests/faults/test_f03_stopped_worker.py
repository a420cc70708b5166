"""F3: SIGSTOP beyond the lease, then SIGCONT: before INTENT nothing goes out twice; after it one body a connection at
most, and its late result counts."""

import signal
import time

import pytest

from tests.faults.conftest import Scene
from tests.faults.waiting import wait_until
from tests.tools.scripted_smtp import Rule


@pytest.mark.faults
def test_f03_a_worker_stopped_before_the_intent_sends_nothing_when_it_wakes(scene: Scene) -> None:
    scene.sink.script.rules.append(Rule("data", delay_seconds=2.0))
    before = len(scene.sink.log.events("rcpt"))
    campaign_id = scene.service.launch(60)
    wait_until(lambda: len(scene.sink.log.events("rcpt")) >= before + 16)
    wait_until(lambda: scene.leases_of("send1"))
    scene.signal("send1", signal.SIGSTOP)
    assert scene.sink.log.events("body-begun") == []
    scene.sink.script.rules.clear()
    assert scene.settled(campaign_id) == {"accepted": 60}  # without it: its slices were taken back
    woken_at = time.time()
    scene.signal("send1", signal.SIGCONT)
    wait_until(lambda: scene.lives_of("send1") == 2)
    later = scene.service.launch(20)
    assert scene.settled(later) == {"accepted": 20}
    begun = [event for event in scene.sink.log.events("body-begun") if event.at >= woken_at]
    assert len(begun) == 20
    assert scene.settled(campaign_id) == {"accepted": 60}


@pytest.mark.faults
def test_f03_what_a_stopped_worker_learns_late_counts(scene: Scene) -> None:
    scene.sink.script.rules.append(Rule("dot", delay_seconds=1.0))
    campaign_id = scene.service.launch(60)
    scene.until_bodies(campaign_id, 16)
    scene.signal("send1", signal.SIGSTOP)
    wait_until(lambda: scene.count(campaign_id, "unknown") > 0)
    scene.sink.script.rules.clear()
    counts = scene.settled(campaign_id)
    assert counts["unknown"] >= 1
    scene.signal("send1", signal.SIGCONT)
    wait_until(lambda: scene.count(campaign_id, "unknown") < counts["unknown"])
    wait_until(lambda: scene.count(campaign_id, "unknown") == 0)
    assert scene.settled(campaign_id) == {"accepted": 60}
