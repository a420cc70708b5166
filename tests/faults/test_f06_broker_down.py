"""F6: the broker is killed and stays away: a launch answers cleanly all the same, and within a minute of the broker's
return work goes on, without a restart of anything.

The 60 s of its absence are 25 here; the pauses between Celery's attempts to reconnect are real."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from email_campaign.local import ports, valkey
from email_campaign.local.programs import Lifeline, Process, wait_until_ready
from email_campaign.settings import Settings
from tests.faults.conftest import Scene
from tests.tools.scripted_smtp import Rule

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

AWAY_SECONDS = 25.0
RESUMED_SECONDS = 60.0
ANSWERED_SECONDS = 10.0


class Broker:
    """A Valkey of this test's own with its log of commands, as the service has one."""

    def __init__(self, lifeline: Lifeline, folder: Path) -> None:
        self.made = valkey.prepare(folder, port=ports.free_port())
        self._lifeline = lifeline
        self._log = folder.with_suffix(".log")
        self._process: Process | None = None

    def start(self) -> None:
        """Start it and wait until it has read its log."""
        self._process = self._lifeline.start(self.made.program(), self._log)
        wait_until_ready(self.made.program(), self._process, self._log)

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        assert self._process
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)
        self._lifeline.release(self._process)


@pytest.fixture(scope="module")
def broker(lifeline: Lifeline, services_dir: Path) -> Iterator[Broker]:
    made = Broker(lifeline, services_dir / "valkey-f06")
    made.start()
    yield made
    made.kill()


@pytest.fixture(scope="module")
def service_settings(settings: Settings, broker: Broker) -> Settings:
    return settings.model_copy(update={"redis_url": broker.made.url})


def test_f06_a_launch_without_a_broker_answers_and_goes_out_soon_after_its_return(scene: Scene, broker: Broker) -> None:
    service = scene.service
    scene.sink.script.rules.append(Rule("dot", delay_seconds=0.2))
    waiting_id = service.draft(40)
    running_id = service.launch(1000)
    scene.until_bodies(running_id, 60)
    broker.kill()
    scene.tally.made()
    gone_at = time.monotonic()
    answer = service.api.post(f"/campaigns/{waiting_id}/launch")
    assert answer.status_code == 202, answer.text
    assert time.monotonic() - gone_at < ANSWERED_SECONDS
    assert service.get(f"/campaigns/{waiting_id}")["state"] == "sending"
    time.sleep(max(0.0, gone_at + AWAY_SECONDS - time.monotonic()))
    assert scene.bodies(running_id) < 1000, "void: all had gone out before"
    broker.start()
    back_at = time.monotonic()
    scene.until_bodies(waiting_id, 1)
    assert time.monotonic() - back_at < RESUMED_SECONDS
    assert scene.settled(running_id) == {"accepted": 1000}
    assert scene.settled(waiting_id) == {"accepted": 40}
    assert {name for name, process in service.processes.items() if process.poll() is not None} == set()
