"""The queue: every task name has a handler and a route, every queue has a consumer wherever the service runs."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from celery.schedules import crontab

from email_campaign import queue
from email_campaign.celery import app
from email_campaign.local.children import children
from email_campaign.local.places import CHECKOUT
from email_campaign.settings import Settings

DAY_SECONDS = 86_400
QUEUES = {*queue.SEND_QUEUES, queue.CONTROL_QUEUE, queue.WORK_QUEUE}


def commands_of_compose() -> dict[str, list[str]]:
    services = yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"]
    return {name: service["command"] for name, service in services.items() if "command" in service}


def commands_of_run(settings: Settings) -> dict[str, Sequence[str]]:
    """Without the interpreter and its `-m`."""
    return {child.name: child.argv[2:] for child in children(settings, Path("/data"))}


def consumed(commands: Iterable[Sequence[str]]) -> list[str]:
    queues = [command[command.index("-Q") + 1] for command in commands if "worker" in command]
    return sorted(name for names in queues for name in names.split(","))


def options(command: Sequence[str]) -> dict[str, Any]:
    """What decides how a worker works: its pool, its size, its queues, its limits."""
    return {
        option: command[command.index(option) + 1]
        for option in ("-P", "-c", "-Q", "--max-tasks-per-child", "--time-limit")
        if option in command
    }


def test_every_task_name_has_a_handler_and_a_route() -> None:
    named = {
        value for name, value in vars(queue).items() if name.isupper() and str(value).startswith("email_campaign.")
    }
    handled = {name for name in app.tasks if name.startswith("email_campaign.")}
    assert named
    assert named == handled == set(queue.ROUTES)


def test_every_route_leads_to_a_queue_that_is_known() -> None:
    assert set(queue.ROUTES.values()) <= QUEUES


def test_every_beat_tick_is_a_known_task_and_expires(settings: Settings) -> None:
    schedule = queue.make_app(settings).conf.beat_schedule
    assert {entry["task"] for entry in schedule.values()} <= set(queue.ROUTES)
    for entry in schedule.values():
        # What stands for an hour of the day comes back after a day.
        seconds = DAY_SECONDS if isinstance(entry["schedule"], crontab) else entry["schedule"]
        assert 0 < entry["options"]["expires"] <= seconds


def test_each_queue_has_one_kind_of_consumer_in_compose() -> None:
    assert consumed(commands_of_compose().values()) == sorted(QUEUES)


def test_each_queue_has_one_kind_of_consumer_under_the_local_supervisor(settings: Settings) -> None:
    one_of_each = settings.model_copy(update={"send_processes": 1})
    assert consumed(commands_of_run(one_of_each).values()) == sorted(QUEUES)


@pytest.mark.parametrize(
    ("service", "child"), [("worker-send", "send1"), ("worker-control", "control"), ("worker", "work")]
)
def test_workers_of_compose_work_as_those_of_the_local_supervisor(settings: Settings, service: str, child: str) -> None:
    assert options(commands_of_compose()[service]) == options(commands_of_run(settings)[child])


def test_beat_runs_once_and_workers_do_not_embed_it(settings: Settings) -> None:
    for commands in (commands_of_compose(), commands_of_run(settings)):
        assert sum("beat" in command for command in commands.values()) == 1
        assert not any({"-B", "--beat"} & set(command) for command in commands.values())


def test_a_channel_whose_connection_was_closed_says_so_in_a_way_that_celery_survives(settings: Settings) -> None:
    connection = queue.make_app(settings).connection_for_read()
    channel: Any = connection.channel()
    connection.close()
    with (
        pytest.raises(connection.connection_errors, match="The connection to the broker is closed"),
        channel.conn_or_acquire(),
    ):
        pytest.fail("there is nothing to talk to")
