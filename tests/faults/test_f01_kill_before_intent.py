"""F1: a worker is killed before INTENT: the copy is sent later, and nothing is unknown."""

import pytest

from tests.faults.conftest import Scene
from tests.faults.waiting import wait_until
from tests.tools.scripted_smtp import Rule

pytestmark = pytest.mark.faults


def test_f01_workers_killed_before_the_intent_leave_nothing_unknown(scene: Scene) -> None:
    scene.sink.script.rules.append(Rule("data", delay_seconds=5.0))
    campaign_id = scene.service.launch(40)
    wait_until(lambda: len(scene.sink.log.events("rcpt")) >= 10)
    scene.kill("send1", "send2")
    assert scene.bodies(campaign_id) == 0
    scene.sink.script.rules.clear()
    scene.service.start("send1", "send2")
    assert scene.settled(campaign_id) == {"accepted": 40}
