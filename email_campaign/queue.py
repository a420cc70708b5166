"""The queue: Celery app, queues, routes, Beat schedule, task names and `nudge`.

A message carries ids only and is a hint: rows decide what is done, and a Beat tick makes up for every lost one.
"""

import logging
from collections.abc import Mapping
from typing import Any

from celery import Celery, signature
from celery.exceptions import CeleryError
from celery.schedules import crontab
from celery.signals import before_task_publish
from kombu import Connection
from kombu.exceptions import OperationalError
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from email_campaign import tracing
from email_campaign.settings import Settings, get_settings

log = logging.getLogger(__name__)

SEND_QUEUES = ("send.system", "send")
"""For send workers (thread pools). System mail (password resets, tests) has a queue of its own, for its launch too: it
waits neither for the slices nor for the windows of campaigns."""
CONTROL_QUEUE = "control"
"""For a prefork worker of its own: what moves mailings on. Short, and never behind imports and enrolments."""
WORK_QUEUE = "work"
"""For a prefork worker: enrolments, imports, images and other long tasks, in hops."""

LAUNCH = "email_campaign.launch"
LAUNCH_ONE = "email_campaign.launch_one"
ENROL = "email_campaign.enrol"
WELCOME = "email_campaign.welcome"
DISPATCH = "email_campaign.dispatch"
SEND = "email_campaign.send"
WINDOW_DONE = "email_campaign.window_done"
SWEEP = "email_campaign.sweep"
HOP = "email_campaign.hop"
CHECK = "email_campaign.check"
CHECK_PART = "email_campaign.check_part"
PREPARE_IMAGE = "email_campaign.prepare_image"
MAKE_RENDITION = "email_campaign.make_rendition"
TIDY = "email_campaign.tidy"
RECOUNT = "email_campaign.recount"
PUT_AWAY = "email_campaign.put_away"
TIDY_IMAGES = "email_campaign.tidy_images"
BACK_UP = "email_campaign.back_up"
ASK_FOR_REPORTS = "email_campaign.ask_for_reports"
TELL_FAILURE = "email_campaign.tell_failure"
TELL_SUCCESS = "email_campaign.tell_success"

QUEUES = (*SEND_QUEUES, CONTROL_QUEUE, WORK_QUEUE)

ROUTES = {
    LAUNCH: CONTROL_QUEUE,
    LAUNCH_ONE: SEND_QUEUES[0],
    WELCOME: CONTROL_QUEUE,
    DISPATCH: CONTROL_QUEUE,
    WINDOW_DONE: CONTROL_QUEUE,
    SWEEP: CONTROL_QUEUE,
    SEND: SEND_QUEUES[1],
    ENROL: WORK_QUEUE,
    HOP: WORK_QUEUE,
    CHECK: WORK_QUEUE,
    CHECK_PART: WORK_QUEUE,
    PREPARE_IMAGE: WORK_QUEUE,
    MAKE_RENDITION: WORK_QUEUE,
    TIDY: WORK_QUEUE,
    RECOUNT: WORK_QUEUE,
    PUT_AWAY: WORK_QUEUE,
    TIDY_IMAGES: WORK_QUEUE,
    BACK_UP: WORK_QUEUE,
    ASK_FOR_REPORTS: WORK_QUEUE,
    TELL_FAILURE: WORK_QUEUE,
    TELL_SUCCESS: WORK_QUEUE,
}

TOLD = {
    RECOUNT: "recount",
    PUT_AWAY: "put_away",
    TIDY_IMAGES: "tidy_images",
    BACK_UP: "back_up",
    ASK_FOR_REPORTS: "ask_for_reports",
}
"""What the clock starts, with the kind under which people are told when it fails: no row would tell them."""

RESULT_SECONDS = 900
"""Above any window's deadline: under `noeviction` chord results would otherwise live a day."""
BROKER_PATIENCE_SECONDS = 3
"""How long a door waits for a broker that does not answer before it leaves the work to the sweep."""


class BrokerChannel(kombu_redis.Channel):
    """A channel that outlives its connection says so with an error that Celery expects.

    kombu 5.7 closes a lost connection twice; the second time it looks for the address of a connection that is gone, and
    the AttributeError ends the whole worker, bodies under way included, where it should wait for its broker.
    """

    def _connparams(self, asynchronous: bool = False) -> Any:
        if self.connection is None or self.connection.client is None:
            raise RedisConnectionError("The connection to the broker is closed.")
        return super()._connparams(asynchronous=asynchronous)  # type: ignore[misc]  # no public name for it


class BrokerTransport(kombu_redis.Transport):
    """Redis as kombu speaks it, with such channels."""

    Channel = BrokerChannel


TRANSPORT_ALIASES["redis"] = f"{__name__}:{BrokerTransport.__name__}"
"""By its usual name, and not by `broker_transport`, so that Flower still knows the broker by its URL."""


def make_app(settings: Settings) -> Celery:
    """The Celery app; every option has its reason in docs/architecture.md."""
    app = Celery("email_campaign", broker=settings.redis_url, backend=settings.redis_url)
    transport = {
        "visibility_timeout": 3600,
        "socket_timeout": 30,
        "socket_connect_timeout": BROKER_PATIENCE_SECONDS,
        "socket_keepalive": True,
        "health_check_interval": 15,
    }
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_serializer="json",
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        task_default_queue=WORK_QUEUE,
        task_routes={name: {"queue": queue} for name, queue in ROUTES.items()},
        task_create_missing_queues=True,
        task_store_errors_even_if_ignored=False,
        task_publish_retry=False,
        result_expires=RESULT_SECONDS,
        broker_transport_options=transport,
        result_backend_transport_options=transport,
        redis_socket_connect_timeout=BROKER_PATIENCE_SECONDS,
        redis_socket_timeout=30,
        redis_socket_keepalive=True,
        redis_backend_health_check_interval=15,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        worker_soft_shutdown_timeout=5.0,
        worker_enable_soft_shutdown_on_idle=False,
        worker_hijack_root_logger=False,
        worker_send_task_events=True,
        task_send_sent_event=True,
        event_queue_expires=60,
        timezone="UTC",
        enable_utc=True,
        beat_schedule=_beat_schedule(settings),
    )
    return app


def nudge(name: str, *ids: int, by: Celery | None = None) -> None:
    """Hint at work that a committed row describes. Never raises: a broker that is away costs one Beat tick.

    `by`: the app of other settings than this process'.
    """
    try:
        (by or app).send_task(name, args=ids, ignore_result=True, **_callbacks(name))
    except (OperationalError, RedisError, CeleryError, OSError) as error:
        log.warning("the broker did not take %s%s, the sweep will: %s", name, ids, type(error).__name__)


def depths(redis_url: str) -> Mapping[str, int] | None:
    """How many messages wait in each queue; None when the broker does not answer."""
    patience = {
        "socket_connect_timeout": BROKER_PATIENCE_SECONDS,
        "socket_timeout": BROKER_PATIENCE_SECONDS,
        "max_retries": 0,
    }
    try:
        with Connection(redis_url, transport_options=patience) as connection:
            return {queue: _length(connection, queue) for queue in QUEUES}
    except (OperationalError, RedisError, OSError):
        return None


def send_queue_is_empty() -> bool:
    """Whether the broker holds no send task; False when it does not answer."""
    try:
        with app.connection_for_read() as connection:
            return not any(_length(connection, queue) for queue in SEND_QUEUES)
    except (OperationalError, RedisError, OSError):
        return False


def _length(connection: Connection, queue: str) -> int:
    channel: Any = connection.default_channel
    return int(channel.client.llen(queue))


def _callbacks(name: str) -> dict[str, Any]:
    """Celery's link and link_error for what people are told of; the errback gets request, error and traceback."""
    if name not in TOLD:
        return {}
    told = {"kind": TOLD[name]}
    return {
        "link": signature(TELL_SUCCESS, kwargs=told, immutable=True),
        "link_error": signature(TELL_FAILURE, kwargs=told),
    }


def _beat_schedule(settings: Settings) -> dict[str, dict[str, Any]]:
    """Idempotent ticks only; a tick that nobody took before the next one is worthless and expires."""
    night = {"expires": 3600.0}
    return {
        "sweep": {"task": SWEEP, "schedule": settings.sweep_seconds, "options": {"expires": settings.sweep_seconds}},
        "tidy": {"task": TIDY, "schedule": 600.0, "options": {"expires": 600.0}},
        "ask for reports": {
            "task": ASK_FOR_REPORTS,
            "schedule": 60.0,
            "options": {"expires": 60.0} | _callbacks(ASK_FOR_REPORTS),
        },
        "back up": {"task": BACK_UP, "schedule": crontab(hour=2, minute=17), "options": night | _callbacks(BACK_UP)},
        "recount": {"task": RECOUNT, "schedule": crontab(hour=3, minute=17), "options": night | _callbacks(RECOUNT)},
        "put away": {"task": PUT_AWAY, "schedule": crontab(hour=4, minute=17), "options": night | _callbacks(PUT_AWAY)},
        "tidy images": {
            "task": TIDY_IMAGES,
            "schedule": crontab(hour=5, minute=17),
            "options": night | _callbacks(TIDY_IMAGES),
        },
    }


@before_task_publish.connect
def _carry_trace(headers: dict[str, Any], **_: Any) -> None:
    tracing.carry(headers)


app = make_app(get_settings())
