"""What the doctor looks at beyond this process: database, schema, broker, clocks, queues' consumers, relay, pages."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import redis
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError, ProgrammingError, SQLAlchemyError
from sqlalchemy.orm import Session

from email_campaign.clock import utc_now
from email_campaign.delivery import relays
from email_campaign.delivery.connect import RelayTarget
from email_campaign.delivery.relays import RelayState
from email_campaign.delivery.trial_call import call_relay
from email_campaign.local.findings import Finding, fail, ok, warn
from email_campaign.local.places import CHECKOUT
from email_campaign.local.reachable import POSTGRES_MINIMUM, REDIS_MINIMUM
from email_campaign.media.storage import StorageFailed, check, open_storage
from email_campaign.queue import depths
from email_campaign.reports.health import checks, database_size
from email_campaign.settings import Settings

PATIENCE_SECONDS = 5.0
CLOCK_WARN_SECONDS, CLOCK_FAIL_SECONDS = 2.0, 30.0
CONNECTIONS_SHARE = 0.8
RELAY_ID = 1


def database(engine: Engine, settings: Settings) -> Iterator[Finding]:
    """Whether it answers, its version, schema, connections and clock, and what its rows say of the work."""
    try:
        with engine.connect() as connection:
            yield from _server(connection)
            schema = _schema(connection)
            yield schema
            yield _clock("clock of Postgres", *_read_clock(connection))
    except OperationalError as error:
        words = str(error.orig).strip().splitlines()[0]
        yield fail("database", f"It does not answer: {words}", "Start Postgres, or correct DATABASE_URL.")
        return
    if schema.state == "fail":
        return
    with Session(engine) as session:
        yield from _work(session, settings)
        yield _relay_row(session)


def broker(settings: Settings) -> Iterator[Finding]:
    """Whether it answers, its version, whether it keeps what it is given, and its clock."""
    patience = {"socket_connect_timeout": PATIENCE_SECONDS, "socket_timeout": PATIENCE_SECONDS}
    try:
        with redis.Redis.from_url(settings.redis_url, **patience) as client:
            yield _broker_version(client)
            yield from _broker_memory(client)
            began = time.time()
            seconds, micros = client.time()
            yield _clock("clock of the broker", seconds + micros / 1e6, began)
    except (redis.RedisError, ValueError) as error:
        yield fail("broker", f"It does not answer: {error}", "Start Redis (or Valkey), or correct REDIS_URL.")


def relay(settings: Settings) -> Iterator[Finding]:
    """Call it as sending does, without a mail."""
    call = call_relay(RelayTarget.from_settings(settings), settings.mail_from)
    where = f"{settings.smtp_host}:{settings.smtp_port}"
    if call.error:
        mend = "Mend what it says; the settings are SMTP_HOST, SMTP_PORT, SMTP_SECURITY, SMTP_USERNAME, SMTP_PASSWORD."
        yield fail("relay", call.error, mend)
    else:
        yield ok("relay", f"{where} takes mail from {settings.mail_from}; it answered in {call.seconds:.1f} s.")


def images(settings: Settings) -> Iterator[Finding]:
    """Whether images can be stored and read: recipients ask for them."""
    storage = open_storage(settings)
    try:
        check(storage)
    except StorageFailed as error:
        how = "the settings are S3_*" if settings.s3_bucket else "web and worker must both be able to write there"
        mend = f"Mend what it says ({how}, or MEDIA_DIR); then `email-campaign tidy-images` makes again what is lost."
        yield fail("images", f"In {storage.where}: {error.message}", mend)
    else:
        yield ok("images", f"They are stored in {storage.where}, which can be written and read.")


def pages(address: str) -> Iterator[Finding]:
    """Whether a web process answers there, and works."""
    try:
        answer = httpx.get(f"{address}/livez", timeout=PATIENCE_SECONDS, follow_redirects=True)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        mend = "Start web, or correct PUBLIC_URL: it stands in every mail, and unsubscribe links lead there."
        yield warn("pages", f"Nobody answers at {address}: {error}", mend)
        return
    if answer.status_code == httpx.codes.OK:
        yield ok("pages", f"{address} answers.")
    else:
        mend = "Read web's log; if another program answers there, correct PUBLIC_URL."
        yield warn("pages", f"{address}/livez answers {answer.status_code}.", mend)


def _server(connection: Connection) -> Iterator[Finding]:
    row = connection.execute(_SERVER).one()
    major = row.version // 10_000
    seen = f"Postgres {major} answers."
    if major < POSTGRES_MINIMUM:
        yield fail("database", seen, f"Move to Postgres {POSTGRES_MINIMUM} or later.")
    else:
        yield ok("database", seen)
    if row.is_standby:
        yield fail("database role", "It is a standby, which takes no writes.", "Lead DATABASE_URL to the primary.")
    seen = f"{row.used:,} of {row.most:,} connections are in use."
    if row.used > CONNECTIONS_SHARE * row.most:
        yield warn("connections", seen, "Raise max_connections of Postgres, or run fewer processes.")
    else:
        yield ok("connections", seen)


def _schema(connection: Connection) -> Finding:
    script = ScriptDirectory.from_config(Config(str(CHECKOUT / "alembic.ini")))
    head = script.get_current_head()
    try:
        there = connection.scalar(text("SELECT version_num FROM alembic_version"))
    except ProgrammingError:
        connection.rollback()
        there = None
    if there == head:
        return ok("migrations", f"The schema is this release's ({head}).")
    seen = f"The schema is at {there or 'nothing'}, and this release is at {head}."
    if there is not None and there not in {revision.revision for revision in script.walk_revisions()}:
        # Every migration works with the release before it, so a newer schema is nothing to mend here.
        return warn("migrations", f"{seen} It was made by a newer release.", "Upgrade this installation.")
    return fail("migrations", seen, "Run: email-campaign migrate")


def _read_clock(connection: Connection) -> tuple[float, float]:
    began = time.time()
    theirs: datetime = connection.execute(text("SELECT clock_timestamp()")).scalar_one()
    return theirs.timestamp(), began


def _clock(name: str, theirs: float, began: float) -> Finding:
    """Ours is taken in the middle of the question, so that a slow line is no difference."""
    ended = time.time()
    apart = max(0.0, abs(theirs - (began + ended) / 2) - (ended - began) / 2)
    seen = f"It differs from this machine's by {apart:.1f} s ({datetime.fromtimestamp(theirs, UTC):%H:%M:%S} UTC)."
    if apart < CLOCK_WARN_SECONDS:
        return ok(name, seen)
    mend = "Set the clocks by NTP on all machines: timedatectl set-ntp true"
    return fail(name, seen, mend) if apart >= CLOCK_FAIL_SECONDS else warn(name, seen, mend)


def _work(session: Session, settings: Settings) -> Iterator[Finding]:
    """What /readyz would say, of which the database and the broker are looked at more closely here."""
    names = {"control": "queue control", "work": "queue work", "send": "queues send, send.system", "due": "due copies"}
    try:
        for check in checks(session, settings, depths(settings.redis_url), utc_now()):
            if check.name not in {"database", "broker"}:
                name = names.get(check.name, check.name)
                yield ok(name, check.seen) if check.ok else fail(name, check.seen, check.mend)
        size = database_size(session)
        yield ok("size", f"The database has {size / 1024**3:,.1f} GB on its server's disk.")
    except SQLAlchemyError as error:
        session.rollback()
        yield fail("work", f"It cannot be read: {type(error).__name__}.", "Run: email-campaign migrate")


def _relay_row(session: Session) -> Finding:
    row = relays.get(session, RELAY_ID)
    if row.state is RelayState.PAUSED:
        why = f": {row.state_reason}" if row.state_reason else "."
        return warn("relay's state", f"It is paused, so nothing goes out{why}", "Resume it on its page.")
    if row.failure_count:
        seen = f"{row.failure_count:,} connects failed in a row; the last: {row.last_error}"
        return warn("relay's state", seen, "Mend the cause, then Try now on its page.")
    return ok("relay's state", "It is active.")


def _broker_version(client: "redis.Redis") -> Finding:
    info: dict[str, Any] = client.info("server")
    version = str(info["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < REDIS_MINIMUM:
        return fail("broker", f"Redis {version} answers.", "Move to Redis 6.2 or later, or Valkey.")
    return ok("broker", f"Redis {version} answers.")


def _broker_memory(client: "redis.Redis") -> Iterator[Finding]:
    memory: dict[str, Any] = client.info("memory")
    policy = str(memory.get("maxmemory_policy", "unknown"))
    if policy not in {"noeviction", "unknown"}:
        seen = f"maxmemory-policy is {policy}: it may drop limits and messages when its memory is full."
        yield warn("broker's memory", seen, "Set maxmemory-policy noeviction in redis.conf.")
    else:
        yield ok("broker's memory", f"It holds {memory['used_memory'] / 1024**2:,.0f} MB, and drops nothing by itself.")
    persistence: dict[str, Any] = client.info("persistence")
    if not persistence.get("aof_enabled"):
        seen = "It does not keep an append-only file: a restart costs a sweep, and limits are counted anew."
        yield warn("broker's disk", seen, "Set appendonly yes in redis.conf.")


_SERVER = text("""
SELECT CAST(current_setting('server_version_num') AS int) AS version, pg_is_in_recovery() AS is_standby,
    CAST(current_setting('max_connections') AS int) AS most,
    (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend') AS used
""")
