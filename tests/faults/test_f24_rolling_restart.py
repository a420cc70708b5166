"""F24: workers are restarted one after the other by SIGTERM: nothing is unknown, and most of the throughput is kept."""

import signal

import pytest

from tests.faults.conftest import Scene
from tests.tools.scripted_smtp import Rule

pytestmark = pytest.mark.faults

PER_SECOND = 40


def test_f24_a_rolling_restart_leaves_nothing_unknown(scene: Scene) -> None:
    scene.sink.script.rules.append(Rule("dot", delay_seconds=0.2))
    campaign_id = scene.service.launch(700, limit_count=PER_SECOND, limit_seconds=1)
    scene.until_bodies(campaign_id, 60)
    for name in ("send1", "send2"):
        scene.signal(name, signal.SIGTERM)
        assert scene.service.processes.pop(name).wait(30) == 0
        scene.service.start(name)
    assert scene.finished(campaign_id) == {"accepted": 700}
    assert scene.settled(campaign_id) == {"accepted": 700}
    times = sorted(body.at for bodies in scene.wire(campaign_id).values() for body in bodies)
    assert (len(times) - PER_SECOND) / (times[-1] - times[0]) >= 0.8 * PER_SECOND
