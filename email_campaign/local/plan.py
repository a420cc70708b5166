"""What a run will look like, before anything starts: its ports, its addresses, its embedded services."""

from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from email_campaign.local import places, ports, postgres, valkey
from email_campaign.local.programs import Program
from email_campaign.settings import Settings

POSTGRES_PORT = 5432
VALKEY_PORT = 6379


@dataclass(frozen=True, slots=True)
class Plan:
    """Settings with every address filled in, the embedded services to start first, and what to tell about ports."""

    settings: Settings
    data_dir: Path
    services: tuple[Program, ...]
    ports: dict[str, int]
    moved: tuple[str, ...]
    relay_is_inbox: bool


def make(settings: Settings, data_dir: Path) -> Plan:
    """Choose ports, make what is missing in the data folder, fill in the addresses.

    Raises PortsUnavailable before anything is made, StartFailed where Postgres or Valkey cannot be prepared.
    """
    wishes = _wishes(settings)
    chosen = dict(zip(wishes, ports.choose(list(wishes.values())), strict=True))
    update: dict[str, object] = {
        "data_dir": data_dir,
        "web_port": chosen["web"],
        "inbox_smtp_port": chosen["smtp"],
        "inbox_http_port": chosen["inbox"],
    }
    services: list[Program] = []
    if "postgres" in chosen:
        bin_dir = postgres.find_binaries(data_dir, settings.postgres_bin_dir)
        cluster = postgres.prepare(data_dir / "postgres", port=chosen["postgres"], bin_dir=bin_dir)
        services.append(cluster.program())
        update["database_url"] = cluster.url.replace("postgresql:", "postgresql+psycopg:", 1)
    if "valkey" in chosen:
        server = valkey.prepare(data_dir / "valkey", port=chosen["valkey"])
        services.append(server.program())
        update["redis_url"] = server.url
    if not settings.secret_key.get_secret_value():
        update["secret_key"] = SecretStr(places.kept_secret(data_dir / places.SECRET_KEY_NAME))
    relay_is_inbox = not settings.model_fields_set & {"smtp_host", "smtp_port"}
    if relay_is_inbox:
        update |= {"smtp_host": settings.inbox_host, "smtp_port": chosen["smtp"]}
    if "public_url" not in settings.model_fields_set:
        update["public_url"] = f"http://{reachable_host(settings.web_host)}:{chosen['web']}"
    moved = tuple(
        f"Port {wish.port} is taken, so {wish.what} got {chosen[name]}."
        for name, wish in wishes.items()
        if chosen[name] != wish.port
    )
    return Plan(settings.model_copy(update=update), data_dir, tuple(services), chosen, moved, relay_is_inbox)


def addresses(settings: Settings) -> dict[str, str]:
    """Where everything is reached from this machine, by name."""
    return {
        "pages": f"http://{reachable_host(settings.web_host)}:{settings.web_port}",
        "inbox": f"http://{reachable_host(settings.inbox_host)}:{settings.inbox_http_port}",
        "smtp": f"{reachable_host(settings.inbox_host)}:{settings.inbox_smtp_port}",
        "relay": f"{settings.smtp_host}:{settings.smtp_port}",
        "database": settings.database_url,
        "redis": settings.redis_url,
    }


def reachable_host(host: str) -> str:
    """The host under which this machine itself reaches a server that listens there."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 – compared, not bound
    return f"[{host}]" if ":" in host else host


def _wishes(settings: Settings) -> dict[str, ports.Wish]:
    by_hand = settings.model_fields_set
    wishes = {
        "web": _wish(settings, "the web server", "web_port", settings.web_host),
        "inbox": _wish(settings, "the inbox's page", "inbox_http_port", settings.inbox_host),
        "smtp": _wish(settings, "the inbox's SMTP", "inbox_smtp_port", settings.inbox_host),
    }
    if "database_url" not in by_hand:
        wishes["postgres"] = ports.Wish(what="Postgres", host="127.0.0.1", port=POSTGRES_PORT)
    if "redis_url" not in by_hand:
        wishes["valkey"] = ports.Wish(what="Valkey", host="127.0.0.1", port=VALKEY_PORT)
    return wishes


def _wish(settings: Settings, what: str, field: str, host: str) -> ports.Wish:
    return ports.Wish(
        what=what,
        host=host,
        port=getattr(settings, field),
        setting=field.upper(),
        is_by_hand=field in settings.model_fields_set,
    )
