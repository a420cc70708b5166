"""Metrics for Prometheus, read when they are asked for: from rows, so that any web process answers for the service.

Nothing counts deliveries or attempts: sums come from the counters, what only a send process knows from its beat.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from email_campaign.delivery import slowing
from email_campaign.delivery.deliveries import DeliveryState
from email_campaign.delivery.measures import COMMIT_BOUNDS, Measures
from email_campaign.delivery.relays import Relay, RelayState
from email_campaign.delivery.workers import Worker
from email_campaign.reports.health import checks, living_workers, overdue
from email_campaign.settings import Settings
from email_campaign.tasks.signs import signs

PREFIX = "email_campaign_"
PATIENCE = "SET LOCAL statement_timeout = '5s'"
"""A scrape that takes longer is worth less than what it would take from others."""


def of_service(version: str, depths: Mapping[str, int] | None) -> Iterator[Metric]:
    """What can be said without the database."""
    built = GaugeMetricFamily(PREFIX + "build_info", "Always 1; the label tells the version.", labels=["version"])
    built.add_metric([version], 1)
    yield built
    yield _gauge("broker_up", "Whether the broker answers.", int(depths is not None))
    waiting = GaugeMetricFamily(PREFIX + "queue_messages", "Messages that wait in a queue.", labels=["queue"])
    for queue, count in (depths or {}).items():
        waiting.add_metric([queue], count)
    yield waiting


def database_up(*, is_up: bool) -> Metric:
    """Whether the database answered this scrape: without it, all that follows is missing."""
    return _gauge("database_up", "Whether the database answers.", int(is_up))


def of_rows(session: Session, settings: Settings, depths: Mapping[str, int] | None, now: datetime) -> Iterator[Metric]:
    """Everything that stands in rows."""
    session.execute(text(PATIENCE))
    yield from _deliveries(session)
    yield from _due(session, now)
    yield from _relays(session, now)
    yield from _workers(living_workers(session, settings, now), now)
    yield from _work(session, settings, depths, now)
    yield from _postgres(session)


def _deliveries(session: Session) -> Iterator[Metric]:
    copies = GaugeMetricFamily(
        PREFIX + "deliveries", "Copies of all mailings by state, from the counters.", labels=["state", "relay"]
    )
    counted = {(state, relay): count for relay, state, count in session.execute(_COUNTS)}
    for relay in {relay for _, relay in counted}:
        for state in DeliveryState:
            copies.add_metric([state.value, relay], counted.get((state.value, relay), 0))
    yield copies
    mailings = GaugeMetricFamily(PREFIX + "mailings", "Mailings by kind and state.", labels=["kind", "state"])
    for kind, state, count in session.execute(_MAILINGS):
        mailings.add_metric([kind, state], count)
    yield mailings


def _due(session: Session, now: datetime) -> Iterator[Metric]:
    waiting = overdue(session, now)
    oldest = max(((now - one.since).total_seconds() for one in waiting), default=0.0)
    yield _gauge(
        "oldest_due_delivery_age_seconds",
        "How long the copy has waited that could go out longest; what is paused or limited does not count.",
        oldest,
    )


def _relays(session: Session, now: datetime) -> Iterator[Metric]:
    told = {
        "relay_up": "Whether the relay could be reached when it was last tried.",
        "relay_paused": "Whether the relay is paused, by hand or for refused credentials.",
        "relay_failures": "Failed connects in a row.",
        "relay_slowed": "Whether the relay said that it is too much, and gets less for now.",
    }
    families = {name: GaugeMetricFamily(PREFIX + name, words, labels=["relay"]) for name, words in told.items()}
    for relay in session.scalars(select(Relay).order_by(Relay.id)):
        values = {
            "relay_up": not relay.failure_count,
            "relay_paused": relay.state is RelayState.PAUSED,
            "relay_failures": relay.failure_count,
            "relay_slowed": slowing.rate_now(relay, now) is not None,
        }
        for name, value in values.items():
            families[name].add_metric([relay.name], int(value))
    yield from families.values()


_OF_A_WORKER = {
    "worker_answers": ("answered_count", "Mails that the relay answered, one way or the other."),
    "worker_slices": ("slice_count", "Slices that were taken."),
    "limiter_granted": ("granted_count", "Mails that the limits granted."),
    "limiter_refused": ("refused_count", "Times that the limits granted nothing."),
    "recorder_retries": ("commit_retry_count", "Commits that Postgres did not take at the first try."),
    "connections_opened": ("opened_count", "Connections that were opened to the relay."),
    "connections_dropped": ("dropped_count", "Connections that were dropped after something unexpected."),
}


def _workers(workers: list[Worker], now: datetime) -> Iterator[Metric]:
    yield _gauge("workers", "Send processes that beat.", len(workers))
    age = _family("worker_heartbeat_age_seconds", "Time since the last beat.")
    rate = _family("worker_rate", "Mails a second while at work, as measured last.")
    pool = GaugeMetricFamily(
        PREFIX + "connections", "Connections to the relay that are open, by use.", labels=["worker", "use"]
    )
    most = _family("connections_most", "Connections that the process may have.")
    counts = {
        name: CounterMetricFamily(PREFIX + name, words, labels=["worker"]) for name, (_, words) in _OF_A_WORKER.items()
    }
    commits = HistogramMetricFamily(
        PREFIX + "recorder_commit_seconds",
        "From the oldest order of a commit until it was committed.",
        labels=["worker"],
    )
    for worker in workers:
        name, measures = str(worker.id), Measures.read(worker.measures)
        age.add_metric([name], max(0.0, (now - worker.beat_at).total_seconds()))
        rate.add_metric([name], worker.rate_per_second or 0.0)
        pool.add_metric([name, "idle"], measures.idle_now)
        pool.add_metric([name, "busy"], max(0, worker.connection_count - measures.idle_now))
        most.add_metric([name], measures.most_connections)
        for family, (field, _) in _OF_A_WORKER.items():
            counts[family].add_metric([name], getattr(measures, field))
        commits.add_metric([name], _buckets(measures), measures.commit_seconds)
    yield from (age, rate, pool, most, *counts.values(), commits)


def _buckets(measures: Measures) -> list[tuple[str, float]]:
    """As Prometheus has them: each with all that is below."""
    buckets, total = [], 0
    for bound, count in zip([*map(str, COMMIT_BOUNDS), "+Inf"], measures.commit_groups, strict=True):
        total += count
        buckets.append((bound, float(total)))
    return buckets


def _work(session: Session, settings: Settings, depths: Mapping[str, int] | None, now: datetime) -> Iterator[Metric]:
    ready = GaugeMetricFamily(PREFIX + "check_ok", "The checks of /readyz, one by one.", labels=["check"])
    for check in checks(session, settings, depths, now):
        ready.add_metric([check.name], int(check.ok))
    yield ready
    seen = GaugeMetricFamily(
        PREFIX + "sign_age_seconds", "Time since a sweep ended, or a task was taken from a queue.", labels=["sign"]
    )
    for name, at in sorted(signs(session).items()):
        seen.add_metric([name], max(0.0, (now - at).total_seconds()))
    yield seen
    yield _gauge("tasks_open", "Long tasks (imports and the like) that are not over.", session.scalar(_TASKS) or 0)


def _postgres(session: Session) -> Iterator[Metric]:
    live = GaugeMetricFamily(PREFIX + "table_live_rows", "Rows of a table, as Postgres estimates.", labels=["table"])
    dead = GaugeMetricFamily(PREFIX + "table_dead_rows", "Old versions of rows not cleared away.", labels=["table"])
    size = GaugeMetricFamily(PREFIX + "table_bytes", "Size of a table with its indexes.", labels=["table"])
    for table, live_rows, dead_rows, total in session.execute(_TABLES):
        live.add_metric([table], live_rows)
        dead.add_metric([table], dead_rows)
        size.add_metric([table], total)
    yield from (live, dead, size)
    used = GaugeMetricFamily(
        PREFIX + "database_connections", "Connections to this database, by their state.", labels=["state"]
    )
    for state, count in session.execute(_CONNECTIONS):
        used.add_metric([state], count)
    yield used
    row = session.execute(_SERVER).one()
    yield _gauge("database_connections_most", "Connections that the server allows, to all databases.", row.most)
    yield _gauge(
        "oldest_transaction_seconds",
        "Age of the oldest open transaction: nothing that it might see can be cleared away.",
        float(row.oldest),
    )


def _family(name: str, words: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, words, labels=["worker"])


def _gauge(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(PREFIX + name, words, value=value)


_COUNTS = text("""
SELECT r.name, c.state, sum(c.count) FROM counters c
JOIN mailings m ON m.id = c.mailing_id JOIN relays r ON r.id = m.relay_id GROUP BY r.name, c.state
""")
_MAILINGS = text("SELECT kind, state, count(*) FROM mailings GROUP BY kind, state")
_TASKS = text("SELECT count(*) FROM tasks WHERE finished_at IS NULL")
_TABLES = text("""
SELECT relname, n_live_tup, n_dead_tup, pg_total_relation_size(relid)
FROM pg_stat_user_tables WHERE schemaname = current_schema() ORDER BY relname
""")
_CONNECTIONS = text("""
SELECT coalesce(state, 'unknown'), count(*) FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' GROUP BY 1
""")
_SERVER = text("""
SELECT CAST(current_setting('max_connections') AS bigint) AS most,
    coalesce(extract(epoch FROM now() - (SELECT min(xact_start) FROM pg_stat_activity
        WHERE datname = current_database() AND backend_type = 'client backend')), 0) AS oldest
""")
