"""`email-campaign status`: what runs, where, and whether each part serves."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
import psycopg
import redis

from email_campaign.local import ports, runfile
from email_campaign.local.children import answering_workers
from email_campaign.local.logs import last_error
from email_campaign.local.runfile import Run
from email_campaign.queue import make_app
from email_campaign.settings import Settings

PATIENCE_SECONDS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One part of the service, as it is now."""

    pid: int | None
    is_healthy: bool
    log: str
    last_error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The whole of it. Passwords are left out; `run.json` in the data folder has them."""

    running: bool
    healthy: bool = False
    version: str = ""
    pid: int | None = None
    started_at: str = ""
    data_dir: str = ""
    addresses: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    parts: dict[str, Part] = field(default_factory=dict)


def look(data_dir: Path) -> Status:
    """Ask every part of the run on this folder."""
    run = runfile.find(data_dir)
    if not run:
        return Status(running=False, data_dir=str(data_dir))
    healthy = _healthy(run)
    parts = {}
    for name in sorted({*run.pids, *healthy}):
        log = data_dir / "logs" / f"{name}.log"
        # Beat answers to nobody: a living process is all there is to see.
        parts[name] = Part(
            pid=run.pids.get(name),
            is_healthy=healthy.get(name, name in run.pids),
            log=str(log) if log.exists() else "",
            last_error=last_error(log),
        )
    return Status(
        running=True,
        healthy=all(part.is_healthy for part in parts.values()),
        version=run.version,
        pid=run.pid,
        started_at=run.started_at,
        data_dir=run.data_dir,
        addresses={name: _without_password(address) for name, address in run.addresses.items()},
        ports=run.ports,
        parts=parts,
    )


def as_json(status: Status) -> str:
    """For scripts."""
    return json.dumps(asdict(status), indent=2)


def as_text(status: Status) -> str:
    """For people."""
    if not status.running:
        return f"Nothing runs on {status.data_dir}. Start it with `make run`."
    lines = [f"email-campaign {status.version} runs since {status.started_at} (process {status.pid})."]
    lines += [f"  {name:<9} {address}" for name, address in status.addresses.items()]
    lines.append("")
    for name, part in status.parts.items():
        pid = f"process {part.pid}" if part.pid else "elsewhere"
        lines.append(f"  {name:<9} {'serves' if part.is_healthy else 'DOES NOT SERVE':<15} {pid:<15} {part.log}")
        if part.last_error:
            lines.append(f"            last error: {part.last_error[:160]}")
    return "\n".join(lines)


def _healthy(run: Run) -> dict[str, bool]:
    """Whether each part that can be asked serves."""
    workers = [name for name in run.pids if name in {"control", "work"} or name.startswith("send")]
    redis_serves = _succeeds(lambda: _ping_redis(run.addresses["redis"]))
    answering = answering_workers(make_app(Settings(redis_url=run.addresses["redis"]))) if redis_serves else set()
    return {
        "postgres": _succeeds(lambda: _ask_postgres(run.addresses["database"])),
        "valkey": redis_serves,
        "web": _succeeds(lambda: _get(run.addresses["pages"])),
        "inbox": _succeeds(lambda: _get(run.addresses["inbox"])) and _accepts(run.addresses["smtp"]),
        **{name: any(node.startswith(f"{name}@") for node in answering) for name in workers},
    }


def _succeeds(question: Callable[[], None]) -> bool:
    try:
        question()
    except (psycopg.Error, redis.RedisError, httpx.HTTPError):
        return False
    return True


def _ask_postgres(url: str) -> None:
    with psycopg.connect(url.replace("postgresql+psycopg:", "postgresql:", 1), connect_timeout=PATIENCE_SECONDS) as one:
        one.execute("SELECT 1")


def _ping_redis(url: str) -> None:
    with redis.Redis.from_url(url, socket_connect_timeout=PATIENCE_SECONDS, socket_timeout=PATIENCE_SECONDS) as client:
        client.ping()


def _get(url: str) -> None:
    """Any answer below 500 is one: the pages ask visitors to sign in."""
    if (answer := httpx.get(url, timeout=PATIENCE_SECONDS)).is_server_error:
        answer.raise_for_status()


def _accepts(address: str) -> bool:
    host, _, port = address.rpartition(":")
    return ports.is_answering(host.strip("[]"), int(port))


def _without_password(address: str) -> str:
    parts = urlsplit(address)
    if not parts.password:
        return address
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}@{parts.netloc.rpartition('@')[2]}".lstrip("@")))
