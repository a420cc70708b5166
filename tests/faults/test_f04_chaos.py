"""F4: chaos: 3,000 recipients, workers killed and stopped at random until all is done. At least ten kills with a body
open, else the run is void."""

import random
import signal
import time

import pytest

from tests.faults.conftest import Scene
from tests.faults.waiting import wait_until
from tests.tools.scripted_smtp import Rule

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

COUNT = 3000
WORKERS = ("send1", "send2")
LEAST_KILLS = 10
MOST_KILLS = 20
"""Beyond these the rest may go out in peace."""


def test_f04_no_kill_and_no_stop_loses_or_doubles_anybody(scene: Scene) -> None:
    dice = random.Random(4)
    scene.sink.script.rules.append(Rule("dot", delay_seconds=1.0))
    scene.sink.script.rules.append(Rule("rcpt", to=lambda address: address.startswith("p1"), delay_seconds=0.3))
    campaign_id = scene.service.launch(COUNT)
    kills = counting = 0
    while scene.service.get(f"/campaigns/{campaign_id}")["state"] != "finished":
        time.sleep(dice.uniform(0.2, 1.5))
        name = dice.choice(WORKERS)
        if dice.random() < 0.25:
            scene.signal(name, signal.SIGSTOP)
            time.sleep(dice.uniform(0.1, 3.0))
            scene.signal(name, signal.SIGCONT)
        elif kills < MOST_KILLS and scene.leases_of(name):  # one that is only starting has nothing to lose
            kills += 1
            counting += _kill_within_a_body(scene, name)
            scene.service.processes[name] = scene.service.lifeline.start(
                scene.service.programs[name], scene.service.folder / f"{name}.log"
            )
    counts = scene.settled(campaign_id)
    assert counting >= LEAST_KILLS, f"void: only {counting} of {kills} kills with a body open"
    assert set(counts) <= {"accepted", "unknown"}
    assert sum(counts.values()) == COUNT
    assert counts.get("unknown", 0) <= scene.service.settings.send_connections * kills


def _kill_within_a_body(scene: Scene, name: str) -> bool:
    """Kill it; whether it had begun a body and not yet had the answer, as the relay's log tells."""
    log = scene.sink.log
    before, opened = len(log.cut_bodies()), set(log.open_bodies())
    scene.kill(name)
    # The relay sees the connections of this worker end; those bodies of the other one are answered in a second.
    wait_until(lambda: len(log.cut_bodies()) > before or not opened & set(log.open_bodies()))
    return len(log.cut_bodies()) > before
