"""The systemd units: the same processes as the containers, with every queue consumed, stopped as gently."""

import configparser
import re
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from email_campaign.local.places import CHECKOUT

FOLDER = CHECKOUT / "deploy"
PROGRAMS = "/opt/email-campaign/.venv/bin/"
SAME = {
    "web": "web",
    "send@": "worker-send",
    "control": "worker-control",
    "work": "worker",
    "beat": "beat",
    "migrate": "migrate",
    "flower": "flower",
}
"""Unit and service of docker-compose.yml."""


def units() -> dict[str, configparser.ConfigParser]:
    """Every unit of a process, by its short name."""
    read = {}
    for file in FOLDER.glob("email-campaign-*.service"):
        unit = configparser.ConfigParser(interpolation=None, strict=False)
        unit.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their capitals
        unit.read(file)
        read[file.stem.removeprefix("email-campaign-")] = unit
    return read


def command_of(unit: configparser.ConfigParser) -> list[str]:
    return shlex.split(unit["Service"]["ExecStart"].removeprefix(PROGRAMS).replace("%%", "%"))


def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((CHECKOUT / "docker-compose.yml").read_text())["services"])


def options(command: Sequence[str]) -> dict[str, str]:
    """What decides how a process works."""
    named = (
        "-P",
        "-c",
        "-Q",
        "--max-tasks-per-child",
        "--time-limit",
        "--loop",
        "--http",
        "--timeout-graceful-shutdown",
    )
    return {option: command[command.index(option) + 1] for option in named if option in command}


def test_every_process_of_the_containers_has_its_unit() -> None:
    assert set(units()) == set(SAME)


@pytest.mark.parametrize(("unit", "service"), SAME.items())
def test_a_unit_works_as_its_container(unit: str, service: str) -> None:
    ours, theirs = command_of(units()[unit]), compose()[service]["command"]
    assert ours[0] == ("email-campaign" if unit in {"migrate", "flower"} else theirs[0])
    assert options(ours) == options(theirs)


def test_every_queue_has_one_kind_of_consumer() -> None:
    def queues(commands: Sequence[Sequence[str]]) -> list[str]:
        return sorted(queue for command in commands for queue in options(command).get("-Q", "").split(",") if queue)

    assert queues([command_of(unit) for unit in units().values()]) == queues(
        [service["command"] for service in compose().values() if "command" in service]
    )


@pytest.mark.parametrize(("unit", "service"), SAME.items())
def test_a_unit_gives_as_much_time_to_stop_as_its_container(unit: str, service: str) -> None:
    if unit == "migrate":
        assert units()[unit]["Service"]["TimeoutStartSec"] == "infinity"
        return
    grace = int(compose()[service]["stop_grace_period"].removesuffix("s"))
    assert int(units()[unit]["Service"]["TimeoutStopSec"]) >= grace
    assert units()[unit]["Service"]["Restart"] == "always"


@pytest.mark.parametrize("unit", SAME)
def test_no_unit_has_rights_that_it_does_not_need(unit: str) -> None:
    service = units()[unit]["Service"]
    assert service["User"] == "email-campaign"
    assert service["CapabilityBoundingSet"] == ""
    assert {service[name] for name in ("NoNewPrivileges", "ProtectHome", "PrivateTmp", "PrivateDevices")} == {"yes"}
    assert service["ProtectSystem"] == "strict"


def test_the_target_starts_one_of_each_and_several_send_processes() -> None:
    wanted = re.findall(r"email-campaign-([\w@]+)\.service", (FOLDER / "email-campaign.target").read_text())
    assert {re.sub(r"@\d+", "@", name) for name in wanted} == set(SAME) - {"migrate", "flower"}
    assert sum(name.startswith("send@") for name in wanted) == 2


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    for file in FOLDER.glob("email-campaign*"):
        # Its programs are not installed here, and systemd looks for them.
        (tmp_path / file.name).write_text(re.sub(rf"{PROGRAMS}\S+", "/bin/true", file.read_text()))
    names = [file.name.replace("@.", "@1.") for file in tmp_path.iterdir()]
    (tmp_path / "email-campaign-send@1.service").write_bytes((tmp_path / "email-campaign-send@.service").read_bytes())
    done = subprocess.run(
        ["systemd-analyze", "verify", *(tmp_path / name for name in names)], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
