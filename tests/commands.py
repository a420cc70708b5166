"""The console command, as people and scripts call it: as a process of its own, or in this one, which is quick."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from email_campaign.local.cli import main
from email_campaign.settings import Settings, get_settings


@dataclass(frozen=True, slots=True)
class Seen:
    """What a command printed, and its exit code."""

    returncode: int
    stdout: str
    stderr: str


Console = Callable[..., Seen]


def command(*arguments: str, data_dir: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run it in a process of its own, with this data folder and these settings."""
    return subprocess.run(
        [sys.executable, "-m", "email_campaign.local.cli", *arguments],
        env={**os.environ, "DATA_DIR": str(data_dir), **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def console(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Console]:
    """The command in this process, as it would read its environment: the tests' services unless told otherwise."""
    monkeypatch.chdir(tmp_path)  # so that the folder that the command goes to is left again

    def run(*arguments: object, **environment: str) -> Seen:
        known = {
            "DATA_DIR": str(tmp_path / "data"),
            "DATABASE_URL": settings.database_url,
            "REDIS_URL": settings.redis_url,
            "SECRET_KEY": settings.secret_key.get_secret_value(),
        }
        get_settings.cache_clear()
        with monkeypatch.context() as told:
            for name, value in {**known, **environment}.items():
                told.setenv(name, value)
            told.setattr(sys, "argv", ["email-campaign", *map(str, arguments)])
            with pytest.raises(SystemExit) as end:
                main()
        printed = capsys.readouterr()
        if isinstance(end.value.code, str):  # the interpreter would print it, and exit with 1
            return Seen(1, printed.out, printed.err + end.value.code)
        return Seen(int(end.value.code or 0), printed.out, printed.err)

    yield run
    get_settings.cache_clear()
