"""F24: workers are restarted one after the other by SIGTERM: nothing is unknown, and most of the throughput is kept."""

import signal

import pytest

from tests.faults.conftest import Scene
from tests.tools.scripted_smtp import Rule

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

COUNT = 600
PER_SECOND = 40
"""What one process alone can do, so that the restart and not the lack of a process is measured."""


def test_f24_a_rolling_restart_leaves_nothing_unknown(scene: Scene) -> None:
    scene.sink.script.rules.append(Rule("dot", delay_seconds=0.1))
    undisturbed = scene.service.launch(COUNT, limits=[{"count": PER_SECOND, "seconds": 1}])
    assert scene.settled(undisturbed) == {"accepted": COUNT}
    campaign_id = scene.service.launch(COUNT, limits=[{"count": PER_SECOND, "seconds": 1}])
    scene.until_bodies(campaign_id, 60)
    for name in ("send1", "send2"):
        scene.signal(name, signal.SIGTERM)
        assert scene.end_of(name).returncode == 0
        scene.service.start(name)
    assert scene.settled(campaign_id) == {"accepted": COUNT}
    assert _rate(scene, campaign_id) >= 0.8 * _rate(scene, undisturbed)


def _rate(scene: Scene, campaign_id: int) -> float:
    times: list[float] = sorted(body.at for bodies in scene.wire(campaign_id).values() for body in bodies)
    return float(len(times) / (times[-1] - times[0]))
