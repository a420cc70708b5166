"""Every Celery task, a few lines each: open, call one domain function, nudge what follows."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import cache, partial
from typing import Any

from celery import chain, chord, group
from celery.signals import (
    setup_logging,
    task_postrun,
    task_prerun,
    worker_process_shutdown,
    worker_ready,
    worker_shutdown,
    worker_shutting_down,
)
from sqlalchemy.exc import SQLAlchemyError

from email_campaign import log as logs
from email_campaign import tracing
from email_campaign.accounts import sessions as sign_ins
from email_campaign.accounts import throttle
from email_campaign.audience import import_checks, imports
from email_campaign.audience.import_undo import TASK_KIND as UNDO_IMPORT
from email_campaign.audience.import_undo import undo_handler
from email_campaign.audience.importing import IMPORT_HANDLER
from email_campaign.audience.welcomes import waiting_lists
from email_campaign.backups import daily
from email_campaign.campaigns import attaching, failure_mail, launching
from email_campaign.clock import utc_now
from email_campaign.db import session_factory
from email_campaign.delivery import dispatch as dispatching
from email_campaign.delivery import enrol as enrolling
from email_campaign.delivery import sweep as sweeping
from email_campaign.delivery import welcoming, workers
from email_campaign.delivery.mailed import mailed
from email_campaign.delivery.process import SendProcess
from email_campaign.delivery.proof_task import PROOF_HANDLER
from email_campaign.delivery.proof_task import TASK_KIND as PROOF
from email_campaign.delivery.put_away import put_away_old
from email_campaign.delivery.recount import recount_recent
from email_campaign.delivery.unknown_task import RESOLVE_HANDLER
from email_campaign.delivery.unknown_task import TASK_KIND as RESOLVE_UNKNOWN
from email_campaign.errors import DomainError
from email_campaign.media import pipeline
from email_campaign.media.images import TASK_KIND as IMAGE
from email_campaign.media.images import Image
from email_campaign.media.storage import open_storage
from email_campaign.media.tidy import tidy as tidy_storage
from email_campaign.queue import (
    ASK_FOR_REPORTS,
    BACK_UP,
    CHECK,
    CHECK_PART,
    CONTROL_QUEUE,
    DISPATCH,
    ENROL,
    HOP,
    LAUNCH,
    LAUNCH_ONE,
    MAKE_RENDITION,
    PREPARE_IMAGE,
    PUT_AWAY,
    RECOUNT,
    SEND,
    SEND_QUEUES,
    SWEEP,
    TELL_FAILURE,
    TELL_SUCCESS,
    TIDY,
    TIDY_IMAGES,
    WELCOME,
    WINDOW_DONE,
    WORK_QUEUE,
    app,
    nudge,
    send_queue_is_empty,
)
from email_campaign.reports.scheduled import report as reports
from email_campaign.reports.scheduled.making import REPORT_HANDLER
from email_campaign.settings import get_settings
from email_campaign.tasks import carrying, idempotency, outcomes, running, signs
from email_campaign.tasks import tasks as long_tasks

log = logging.getLogger(__name__)

HANDLERS = {
    imports.TASK_KIND: IMPORT_HANDLER,
    UNDO_IMPORT: undo_handler(mailed),
    PROOF: PROOF_HANDLER,
    RESOLVE_UNKNOWN: RESOLVE_HANDLER,
    reports.TASK_KIND: REPORT_HANDLER,
}
"""Who carries out which kind of long task."""
PROGRAMS = {daily.TASK_KIND: ("email_campaign.local.cli", "backup", "--task")}
"""Kinds that are no work of short steps: a program of its own carries such a task, under the task's lease."""
PURGES: tuple[Callable[..., object], ...] = (
    idempotency.purge,
    sign_ins.purge,
    throttle.purge,
    imports.purge_imports,
    attaching.purge,
)
START_SECONDS = 60.0
"""So long may such a program take to begin; until then nobody starts another."""
ENROL_SECONDS = 5.0
"""After this an enrolment lets others have the worker, and comes back."""
DRAIN_SECONDS = 5.0
SIGN_SECONDS = 5.0
"""A process says so often, at most, that it takes tasks from its queue."""
SIGNING_QUEUES = frozenset({CONTROL_QUEUE, WORK_QUEUE})
"""Send processes say it with their beat."""

_process_lock = threading.Lock()
_signed_at: dict[str, float] = {}
_spans: dict[str, AbstractContextManager[Any]] = {}


@app.task(name=LAUNCH, ignore_result=True)
def launch(mailing_id: int) -> None:
    """Enrol the first page of the audience and let its sending begin; the rest goes on behind it."""
    with session_factory().begin() as session:
        more = enrolling.enrol_page(session, mailing_id, get_settings(), utc_now())
    dispatch()
    if more:
        nudge(ENROL, mailing_id)


@app.task(name=LAUNCH_ONE, ignore_result=True)
def launch_one(mailing_id: int) -> None:
    """Enrol a mailing of one and send it out of turn: a person waits for it."""
    with session_factory().begin() as session:
        enrolling.enrol_page(session, mailing_id, get_settings(), utc_now())
    with session_factory().begin() as session:
        window = dispatching.dispatch_one(session, mailing_id, get_settings(), utc_now())
    if window is not None:
        _publish(window)


@app.task(name=ENROL, ignore_result=True)
def enrol(mailing_id: int) -> None:
    """Enrol page after page for some seconds."""
    until = time.monotonic() + ENROL_SECONDS
    more = True
    while more and time.monotonic() < until:
        with session_factory().begin() as session:
            more = enrolling.enrol_page(session, mailing_id, get_settings(), utc_now())
        nudge(DISPATCH)
    if more:
        nudge(ENROL, mailing_id)


@app.task(name=WELCOME, ignore_result=True)
def welcome(list_id: int) -> None:
    """Enrol whoever waits for the welcome mail of a list and let it go out in its turn."""
    with session_factory().begin() as session:
        more = welcoming.enrol_waiting(session, list_id, get_settings(), utc_now())
    dispatch()
    if more:
        nudge(WELCOME, list_id)


@app.task(name=DISPATCH, ignore_result=True)
def dispatch() -> None:
    """Open windows for whoever has work and publish each as a chord."""
    with session_factory().begin() as session:
        windows = dispatching.dispatch(session, get_settings(), utc_now())
    for window in windows:
        _publish(window)


@app.task(name=SEND)
def send(slice_id: int) -> None:
    """Send the copies of a slice. Never raises: one failed task of a chord, and its body never runs."""
    try:
        send_process().send_slice(slice_id)
    except Exception:
        log.exception("slice %d was not finished; the sweep takes it up", slice_id)


@app.task(name=WINDOW_DONE, ignore_result=True)
def window_done(_results: list[None], window_id: int, mailing_id: int) -> None:
    """All tasks of a window have returned: count in SQL what that means, and go on."""
    with session_factory().begin() as session:
        dispatching.close_window(session, window_id)
    with session_factory().begin() as session:
        dispatching.finish_if_done(session, mailing_id, utc_now())
    dispatch()


@app.task(name=SWEEP, ignore_result=True)
def sweep() -> None:
    """Find and mend what a crash, a lost message or a restart left behind; launch what is due."""
    settings, factory = get_settings(), session_factory()
    for mailing_id in launching.launch_due(factory, utc_now()):
        nudge(LAUNCH, mailing_id)
    swept = sweeping.sweep(factory, settings, utc_now(), queue_is_empty=send_queue_is_empty())
    for mailing_id in swept.enrolling:
        nudge(ENROL, mailing_id)
    with factory.begin() as session:
        unwelcomed = waiting_lists(session, utc_now() - timedelta(seconds=settings.sweep_seconds))
        begun = daily.look_after(session, settings, utc_now())
        mailed = failure_mail.tell_by_mail(session, settings, utc_now())
        waiting = long_tasks.overdue(session, utc_now(), settings.sweep_seconds)
    for mailing_id in mailed:
        nudge(LAUNCH_ONE, mailing_id)
    for list_id in unwelcomed:
        nudge(WELCOME, list_id)
    for task_id in [*waiting, *filter(None, [begun])]:
        nudge(HOP, task_id)
    dispatch()
    with factory.begin() as session:
        signs.give_sign(session, signs.SWEEP)


@app.task(name=HOP, ignore_result=True)
def hop(task_id: int) -> None:
    """Carry a long task on for some seconds, or start the program that does, under a lease that it is given."""
    with session_factory()() as session:
        kind = long_tasks.kind_of(session, task_id)
    if program := PROGRAMS.get(kind or ""):
        seconds = max(get_settings().task_lease_seconds, START_SECONDS)
        taken = running.lease(session_factory(), task_id, seconds, utc_now())
        if taken is not None:
            _start_aside(*program, str(task_id), str(taken.token))
    elif kind == IMAGE:
        taken = running.lease(session_factory(), task_id, get_settings().task_lease_seconds, utc_now())
        if taken is not None:
            work = partial(pipeline.carry_out, _workshop())
            carrying.carry(session_factory(), task_id, taken.token, get_settings(), work)
    elif running.run(session_factory(), task_id, HANDLERS, get_settings()):
        nudge(HOP, task_id)


@app.task(name=CHECK, ignore_result=True)
def check(import_id: int) -> None:
    """Check the parts of an uploaded file side by side, and import it behind them: a group in a chain.

    A part whose message is lost is checked by the import itself, which the sweep begins if the chain does not.
    """
    with session_factory()() as session:
        task_id = imports.get_import(session, import_id).task_id
        parts = import_checks.unchecked_parts(session, import_id)
    if task_id is None:
        return
    if len(parts) < 2:
        hop(task_id)
    else:
        chain(group(check_part.s(import_id, number) for number in parts), hop.si(task_id))()


@app.task(name=CHECK_PART)
def check_part(import_id: int, number: int) -> None:
    """Check one part. Never raises: one failed task of the group, and the chain ends."""
    try:
        with session_factory().begin() as session:
            import_checks.check_part(session, import_id, number, get_settings())
    except Exception:
        log.exception("part %d of import %d was not checked; the import does it", number, import_id)


# Acknowledged before it is begun: a picture that kills its worker must not come back with its message. The rest is done
# by its task, whose interruptions are counted.
@app.task(name=PREPARE_IMAGE, ignore_result=True, acks_late=False)
def prepare_image(image_id: int) -> None:
    """Verify an uploaded picture, make its renditions side by side and end its task behind them: a group in a chain."""
    with session_factory()() as session:
        image = session.get(Image, image_id)
    if image is None:
        return
    try:
        widths = pipeline.verify_image(_workshop(), image_id)
    except DomainError:
        widths = []  # the task finds the same, and keeps the words
    if widths:
        chain(group(make_rendition.s(image_id, width) for width in widths), hop.si(image.task_id))()
    else:
        hop(image.task_id)


@app.task(name=MAKE_RENDITION, acks_late=False)
def make_rendition(image_id: int, width: int) -> None:
    """Resize, compress and store one width. Never raises: one failed task of the group, and the chain ends."""
    try:
        pipeline.make_rendition(_workshop(), image_id, width)
    except Exception:
        log.exception("image %d was not made %d wide; its task does it", image_id, width)


@app.task(name=TIDY, ignore_result=True)
def tidy() -> None:
    """Put away what nobody needs any more. Each in a transaction of its own: folding keeps the dispatcher out."""
    with session_factory().begin() as session:
        workers.fold_counters(session)
    for purge in PURGES:
        with session_factory().begin() as session:
            purge(session, now=utc_now())


@app.task(name=RECOUNT, ignore_result=True)
def recount(after: int = 0) -> None:
    """Nightly: counters against rows, for some seconds; the mailings beyond are for the next."""
    last = recount_recent(session_factory(), utc_now(), after)
    if last is not None:
        nudge(RECOUNT, last)


@app.task(name=PUT_AWAY, ignore_result=True)
def put_away() -> None:
    """Nightly: the attempts of mailings that were settled long ago."""
    if put_away_old(session_factory(), get_settings().attempts_kept_days, utc_now()):
        nudge(PUT_AWAY)


@app.task(name=TIDY_IMAGES, ignore_result=True)
def tidy_images() -> None:
    """Nightly, and after an image was deleted: stored files against rows."""
    workshop = _workshop()
    tidy_storage(workshop.factory, workshop.storage, utc_now())


@app.task(name=BACK_UP, ignore_result=True)
def back_up() -> None:
    """Nightly: a backup, where a folder for backups is set."""
    with session_factory().begin() as session:
        task_id = daily.begin_if_due(session, get_settings(), utc_now(), daily.AT_NIGHT)
    if task_id is not None:
        nudge(HOP, task_id)


@app.task(name=ASK_FOR_REPORTS, ignore_result=True)
def ask_for_reports() -> None:
    """Every minute: the reports that are due."""
    with session_factory().begin() as session:
        task_ids = reports.begin_due(session, utc_now())
    for task_id in task_ids:
        nudge(HOP, task_id)


@app.task(name=TELL_FAILURE, ignore_result=True)
def tell_failure(_request: Any, error: BaseException, _traceback: Any, kind: str) -> None:
    """A nightly task failed (Celery's link_error, called in the worker where it failed): show it to people."""
    words = (
        error.message if isinstance(error, DomainError) else f"{type(error).__name__}; the log of the worker has more."
    )
    with session_factory().begin() as session:
        outcomes.tell_failure(session, kind, words, utc_now())


@app.task(name=TELL_SUCCESS, ignore_result=True)
def tell_success(kind: str) -> None:
    """A nightly task went well (Celery's link): if it had failed before, it is told that it works again."""
    with session_factory().begin() as session:
        outcomes.tell_success(session, kind, utc_now())


@cache
def _workshop() -> pipeline.Workshop:
    """Made at its first use: a client of S3 is none that survives a fork."""
    return pipeline.Workshop(session_factory(), open_storage(get_settings()), get_settings())


def _start_aside(*module: str) -> None:
    """Start a program of ours that outlives this process. The shell ends at once, so nobody has to wait for a child."""
    subprocess.run(["/bin/sh", "-c", '"$@" &', "sh", sys.executable, "-m", *module], check=True)


def _publish(window: dispatching.Published) -> None:
    queue = SEND_QUEUES[0] if window.is_system else SEND_QUEUES[1]
    header = [send.s(slice_id).set(queue=queue) for slice_id in window.slice_ids]
    chord(header)(window_done.s(window.window_id, window.mailing_id))


@cache
def _start_send_process() -> SendProcess:
    return SendProcess(get_settings(), session_factory())


def send_process() -> SendProcess:
    """This process's one send process, started at its first use."""
    with _process_lock:
        return _start_send_process()


@setup_logging.connect
def _configure_logging(**_: Any) -> None:
    logs.configure(get_settings().log_level, get_settings().log_format)
    tracing.start(get_settings().otel_exporter_otlp_endpoint, "worker")


@task_prerun.connect
def _begin(task_id: str, task: Any, **_: Any) -> None:
    queue = str((task.request.delivery_info or {}).get("routing_key"))
    span = _spans[task_id] = tracing.work(task.name, task.request.headers or {}, {"task": task_id, "queue": queue})
    span.__enter__()
    trace = tracing.trace_id()
    logs.set_ids(task=task_id, **({"trace": trace} if trace else {}))
    if queue in SIGNING_QUEUES and time.monotonic() - _signed_at.get(queue, -SIGN_SECONDS) >= SIGN_SECONDS:
        _sign(queue)


@task_postrun.connect
def _end(task_id: str, **_: Any) -> None:
    if span := _spans.pop(task_id, None):
        span.__exit__(None, None, None)
    logs.set_ids()


def _sign(queue: str) -> None:
    try:
        with session_factory().begin() as session:
            signs.give_sign(session, queue)
    except SQLAlchemyError as error:
        log.warning("it could not be noted that tasks are taken from %s: %s", queue, type(error).__name__)
    else:
        _signed_at[queue] = time.monotonic()


@worker_ready.connect
def _start(sender: Any, **_: Any) -> None:
    # A worker that consumes send queues says at once that it is there.
    if set(sender.app.amqp.queues.consume_from) & set(SEND_QUEUES):
        send_process()


@worker_shutting_down.connect
def _drain(**_: Any) -> None:
    if _start_send_process.cache_info().currsize:
        send_process().stop_soon()


@worker_shutdown.connect
def _close(**_: Any) -> None:
    if _start_send_process.cache_info().currsize:
        send_process().close(DRAIN_SECONDS)
    tracing.stop()


@worker_process_shutdown.connect
def _close_child(**_: Any) -> None:
    tracing.stop()
