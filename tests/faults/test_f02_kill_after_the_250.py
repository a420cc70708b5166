"""F2: a worker is killed after the relay took the mail: unknown and never resent; with `resend` exactly once more, with
the same Message-ID."""

import pytest

from tests.faults.conftest import Scene
from tests.tools.scripted_smtp import Rule

pytestmark = pytest.mark.faults


def test_f02_what_was_on_the_wire_is_unknown_and_stays_so(scene: Scene) -> None:
    scene.sink.script.rules.append(Rule("dot", delay_seconds=3.0))
    campaign_id = scene.service.launch(60)
    scene.until_bodies(campaign_id, 10)
    scene.kill("send1", "send2")
    taken = scene.bodies(campaign_id)
    scene.sink.script.rules.clear()
    scene.service.start("send1", "send2")
    counts = scene.settled(campaign_id)
    assert counts["unknown"] >= taken >= 10
    assert counts["unknown"] <= 2 * scene.service.settings.send_connections
    assert counts["accepted"] + counts["unknown"] == 60


def test_f02_with_the_policy_resend_it_goes_out_exactly_once_more(scene: Scene) -> None:
    scene.sink.script.rules.append(Rule("dot", delay_seconds=3.0))
    campaign_id = scene.service.launch(60, unknown_policy="resend")
    scene.until_bodies(campaign_id, 10)
    scene.kill("send1", "send2")
    once = set(scene.wire(campaign_id))
    scene.sink.script.rules.clear()
    scene.service.start("send1", "send2")
    assert scene.settled(campaign_id) == {"accepted": 60}
    for who, bodies in scene.wire(campaign_id).items():
        assert len(bodies) == (2 if who in once else 1)
        assert len({body.message_id for body in bodies}) == 1
