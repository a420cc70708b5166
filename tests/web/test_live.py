"""Live numbers over a real server: told soon after they change, to whoever is signed in."""

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from starlette.testclient import TestClient

from email_campaign.accounts.sessions import SignInSession
from email_campaign.campaigns.mailings import Mailing, MailingState
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery.deliveries import count_moves
from email_campaign.local import ports
from email_campaign.local.children import children
from email_campaign.local.programs import Lifeline, running
from email_campaign.settings import Settings
from email_campaign.tasks.tasks import Task, TaskState, create_task
from email_campaign.web.live import Hub
from tests.factories import make_campaign

HERE = "/admin/events"
PATIENCE_SECONDS = 10.0
MANY = 100
"""More than there are threads and connections of the pool together."""
SOON_SECONDS = 3.0
"""A reading each second, and a machine that may be busy."""


class Line:
    """The events of an open stream, one after the other."""

    def __init__(self, answer: httpx.Response) -> None:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        self._lines = answer.iter_lines()

    def next(self) -> tuple[str, dict[str, Any]] | None:
        """Name and data of the next event; None where the stream ended."""
        name = ""
        for line in self._lines:
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: "):
                return name, json.loads(line.removeprefix("data: "))
        return None

    def until(self, name: str, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The data of the first event of this name of which it holds."""
        while (told := self.next()) is not None:
            if told[0] == name and holds(told[1]):
                return told[1]
        pytest.fail(f"the stream ended before {name} was told")


@pytest.fixture
def browser(app: FastAPI, signed_in: TestClient) -> Iterator[httpx.Client]:
    """The signed-in browser, on the app behind a real server."""
    port = ports.free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    _wait_until(lambda: server.started)
    cookies = {"session": signed_in.cookies["session"]}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", cookies=cookies, timeout=PATIENCE_SECONDS) as client:
        yield client
    server.should_exit = True
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


@pytest.fixture
def task(session_factory: SessionFactory) -> Task:
    """A task that is a third done."""
    with session_factory.begin() as session:
        made = create_task(session, kind="import", subject_id=7, title="Import", created_by=None, now=utc_now())
        made.state, made.done_count, made.total_count = TaskState.RUNNING, 100, 300
        return made


@contextmanager
def following(browser: httpx.Client, *topics: str) -> Iterator[Line]:
    with browser.stream("GET", HERE, params={"of": topics}) as answer:
        yield Line(answer)


def test_a_change_is_told_soon_after_its_commit(browser: httpx.Client, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        campaign = make_campaign(session, state=MailingState.SENDING)
        count_moves(session, campaign.id, {"accepted": 1, "pending": 9})
    topic = f"campaigns/{campaign.id}"
    with following(browser, topic, "dashboard", "relay") as line:
        first = line.until(topic, lambda _: True)
        assert (first["counts"]["accepted"], first["state"], first["done"]) == (1, "sending", False)
        with session_factory.begin() as session:
            count_moves(session, campaign.id, {"accepted": 4, "pending": -4})
        began = time.monotonic()
        assert line.until(topic, lambda told: told["counts"]["accepted"] == 5)["counts"]["pending"] == 5
        assert time.monotonic() - began < SOON_SECONDS
        with session_factory.begin() as session:
            mailing = session.get_one(Mailing, campaign.id)
            mailing.state, mailing.finished_at = MailingState.FINISHED, utc_now()
        assert line.until(topic, lambda told: told["state"] != "sending")["done"] is True


def test_what_the_stream_tells_is_what_the_address_tells(browser: httpx.Client, task: Task) -> None:
    topics = (f"tasks/{task.id}", "tasks", "dashboard", "relay")
    with following(browser, *topics) as line:
        told = dict(filter(None, (line.next() for _ in topics)))
    assert told.keys() == set(topics)
    for topic in topics:
        assert told[topic] == browser.get(f"/admin/{topic}/live").json(), topic


def test_a_stream_ends_with_the_last_thing_that_it_tells(
    browser: httpx.Client, session_factory: SessionFactory, task: Task
) -> None:
    with following(browser, f"tasks/{task.id}", "tasks/999") as line:
        assert line.until("tasks/999", lambda _: True) == {"done": True}
        with session_factory.begin() as session:
            over = session.get_one(Task, task.id)
            over.state, over.done_count, over.finished_at = TaskState.SUCCEEDED, 300, utc_now()
        assert line.until(f"tasks/{task.id}", lambda told: told["done"])["done_count"] == 300
        assert line.next() is None


def test_pages_that_come_back_all_at_once_are_all_served(browser: httpx.Client, task: Task) -> None:
    async def come_back() -> list[int]:
        many = httpx.Limits(max_connections=MANY)
        async with httpx.AsyncClient(
            base_url=browser.base_url, cookies=browser.cookies, timeout=PATIENCE_SECONDS, limits=many
        ) as client:

            async def follow() -> int:
                async with client.stream("GET", HERE, params={"of": f"tasks/{task.id}"}) as answer:
                    return answer.status_code

            return await asyncio.gather(*(follow() for _ in range(MANY)))

    assert asyncio.run(come_back()) == [200] * MANY


@pytest.mark.parametrize("accept", ["text/event-stream", "application/json"])
def test_a_stream_is_for_those_who_are_signed_in(client: TestClient, accept: str) -> None:
    refused = client.get(HERE, params={"of": "dashboard"}, headers={"Accept": accept})
    assert refused.status_code == 401
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert client.get(HERE, params={"of": "dashboard"}).status_code == 303


def test_who_is_signed_out_hears_no_more(
    app: FastAPI, browser: httpx.Client, session_factory: SessionFactory, task: Task
) -> None:
    app.state.live = Hub(session_factory, every_seconds=0.1, beat_seconds=0.0)
    with following(browser, f"tasks/{task.id}") as line:
        line.until("beat", lambda _: True)
        with session_factory.begin() as session:
            for signed_in in session.query(SignInSession):
                signed_in.expires_at = utc_now()
        while line.next() is not None:
            pass


@pytest.mark.parametrize(
    "of",
    [[], ["contacts"], ["tasks/0"], ["tasks/x"], ["tasks/9999999999999999999"], ["relay\nevent: x"], ["tasks"] * 25],
)
def test_what_nobody_can_follow_is_refused(signed_in: TestClient, of: list[str]) -> None:
    answer = signed_in.get(HERE, params={"of": of}, headers={"Accept": "text/event-stream"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "of"


def test_open_streams_do_not_hold_up_the_end_of_the_service(
    settings: Settings,
    signed_in: TestClient,
    session_factory: SessionFactory,
    task: Task,
    lifeline: Lifeline,
    services_dir: Path,
) -> None:
    own = settings.model_copy(update={"web_port": ports.free_port()})
    program = next(program for program in children(own, services_dir) if program.name == "web")
    log = services_dir / "live-web.log"
    url = f"http://127.0.0.1:{own.web_port}"
    cookies = {"session": signed_in.cookies["session"]}
    with (
        running(lifeline, program, log) as process,
        httpx.Client(base_url=url, cookies=cookies, timeout=PATIENCE_SECONDS) as browser,
        following(browser, f"tasks/{task.id}") as line,
    ):
        line.until(f"tasks/{task.id}", lambda _: True)
        os.kill(process.pid, signal.SIGTERM)
        assert line.next() is None  # a stream that is cut off raises
        process.wait(PATIENCE_SECONDS)
    assert "Cancel" not in log.read_text()  # what uvicorn says of answers that it cuts off


def _wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
