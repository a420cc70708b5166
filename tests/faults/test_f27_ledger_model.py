"""F27: whatever happens to the ledger in whatever order, it equals a plain model, and I1 to I6 hold after each step."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as how
from hypothesis.stateful import run_state_machine_as_test

from email_campaign.db import SessionFactory
from email_campaign.delivery.record import Recorder
from email_campaign.settings import Settings
from tests.faults.ledger_machine import Grounds, LedgerMachine
from tests.tools.loop_thread import running_loop

ALL_CHECKS = list(HealthCheck)


@pytest.fixture
def grounds(session_factory: SessionFactory, settings: Settings, tmp_path: Path) -> Iterator[Grounds]:
    ours = settings.model_copy(
        update={
            "enrol_first_page": 2,
            "enrol_page": 2,
            "retry_delays_seconds": (86_400.0,),
            "worker_dead_looks": 1_000_000,
            "window_deadline_seconds": 3_600.0,
        }
    )
    with running_loop() as thread:
        recorder = Recorder(ours.database_url.replace("+psycopg", "", 1), 0, thread.loop)
        yield Grounds(session_factory, ours, thread, recorder, tmp_path)
        recorder.close(5.0)


@pytest.mark.parametrize(
    ("examples", "steps"),
    [(5, 30), pytest.param(120, 50, marks=[pytest.mark.faults, pytest.mark.timeout(600)])],
)
def test_f27_the_ledger_equals_its_model_in_any_order_of_events(grounds: Grounds, examples: int, steps: int) -> None:
    run_state_machine_as_test(
        lambda: LedgerMachine(grounds),  # type: ignore[arg-type]  # hypothesis calls whatever it is given
        settings=how(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            suppress_health_check=ALL_CHECKS,
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
        ),
    )
