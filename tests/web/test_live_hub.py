"""The hub behind live numbers: one reading for all who watch, none for nobody, and no one holds up another."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session
from starlette.types import Message

from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.errors import NotFound
from email_campaign.tasks.tasks import Task, TaskState, create_task
from email_campaign.web.admin.tasks import task_numbers
from email_campaign.web.live import Hub, Listener, NoRoom, Read
from email_campaign.web.streams import EventStream

PATIENCE_SECONDS = 10.0
FEW, MANY = 1, 100


@pytest.fixture
def task(session_factory: SessionFactory) -> Task:
    """A task that is a third done."""
    with session_factory.begin() as session:
        made = create_task(session, kind="import", subject_id=7, title="Import", created_by=None, now=utc_now())
        made.state, made.done_count, made.total_count = TaskState.RUNNING, 100, 300
        return made


def test_a_hundred_listeners_cost_what_one_does(session_factory: SessionFactory, task: Task) -> None:
    with _counted(session_factory) as statements:
        for count in (FEW, MANY):
            asyncio.run(_listen(session_factory, task, count, readings=3))
            assert len(statements) == 3, f"{count} listeners"
            statements.clear()


def test_nothing_is_read_while_nobody_listens(session_factory: SessionFactory, task: Task) -> None:
    async def come_and_go() -> None:
        hub = Hub(session_factory)
        listener = hub.join({"it": _read_of(task)}, session_id=1)
        await anext(aiter(_told(listener)))
        hub.leave(listener)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.wait(others, timeout=PATIENCE_SECONDS)
        assert not asyncio.all_tasks() - {asyncio.current_task()}

    asyncio.run(come_and_go())


def test_who_takes_nothing_misses_what_is_old_and_is_dropped(session_factory: SessionFactory, task: Task) -> None:
    listener = Listener(["it"], session_id=1)
    for number in range(1000):
        listener.tell("it", str(number))
    listener.end()

    async def heard() -> list[str]:
        return [message async for message in listener.messages()]

    assert asyncio.run(heard())[1:] == ["event: it\ndata: 999\n\n"]

    async def stall() -> None:
        hub = Hub(session_factory)
        slow = hub.join({"it": _read_of(task)}, session_id=1)
        stream = EventStream(hub, slow, stalled_seconds=0.05)

        async def never_taken(message: Message) -> None:
            await asyncio.Event().wait()

        async def silence() -> Message:
            await asyncio.Event().wait()
            raise AssertionError

        async with asyncio.timeout(PATIENCE_SECONDS):
            await stream({"type": "http", "asgi": {"spec_version": "2.3"}}, silence, never_taken)
        assert not slow.topics

    asyncio.run(stall())


def test_there_is_room_for_so_many_and_none_after_the_end(session_factory: SessionFactory, task: Task) -> None:
    async def fill() -> None:
        hub = Hub(session_factory, most_listeners=2)
        kept = [hub.join({"it": _read_of(task)}, session_id=1) for _ in range(2)]
        with pytest.raises(NoRoom):
            hub.join({"it": _read_of(task)}, session_id=1)
        hub.leave(kept[0])
        hub.join({"it": _read_of(task)}, session_id=1)
        hub.close()
        with pytest.raises(NoRoom):
            hub.join({"it": _read_of(task)}, session_id=1)

    asyncio.run(fill())


def test_a_page_that_cannot_be_read_does_not_stop_the_others(
    session_factory: SessionFactory, task: Task, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(session: Session, now: datetime) -> Mapping[str, Any]:
        raise ZeroDivisionError

    def gone(session: Session, now: datetime) -> Mapping[str, Any]:
        raise NotFound("It is not there.")

    async def follow_both() -> None:
        hub = Hub(session_factory)
        bad, missing = hub.join({"bad": broken}, session_id=1), hub.join({"gone": gone}, session_id=1)
        good = hub.join({"it": _read_of(task)}, session_id=1)
        assert [message async for message in _told(bad)] == []
        assert [message async for message in _told(missing)] == ['event: gone\ndata: {"done":true}\n\n']
        assert "it" in await anext(aiter(_told(good)))
        hub.close()

    asyncio.run(follow_both())
    assert "live numbers of bad cannot be read" in caplog.text


def _read_of(task: Task) -> Read:
    return lambda session, now: task_numbers(session, task.id, now)


async def _listen(factory: SessionFactory, task: Task, count: int, *, readings: int) -> None:
    """So many listeners, until each was told what was read and the task was read so often."""
    hub, loop, enough, read_count = Hub(factory, every_seconds=0.3), asyncio.get_running_loop(), asyncio.Event(), 0

    def read(session: Session, now: datetime) -> Mapping[str, Any]:
        nonlocal read_count
        read_count += 1
        numbers = task_numbers(session, task.id, now)
        if read_count == readings:
            loop.call_soon_threadsafe(enough.set)
        return numbers

    listeners = [hub.join({"it": read}, session_id=1) for _ in range(count)]
    for listener in listeners:
        assert (await anext(aiter(_told(listener)))).startswith("event: it")
    await enough.wait()
    hub.close()


async def _told(listener: Listener) -> AsyncIterator[str]:
    async for message in listener.messages():
        if not message.startswith("retry"):
            yield message


@contextmanager
def _counted(factory: SessionFactory) -> Iterator[list[str]]:
    statements: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        statements.append(statement)

    engine = factory.kw["bind"]
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)
