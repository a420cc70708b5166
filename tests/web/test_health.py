"""The probes: what a process says of itself, and what it says of the service."""

import asyncio
import threading

from anyio import to_thread
from starlette.testclient import TestClient

from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory
from email_campaign.delivery import workers
from email_campaign.tasks import signs
from email_campaign.web.public import health


def test_a_service_at_work_is_ready(client: TestClient, session_factory: SessionFactory) -> None:
    with session_factory.begin() as session:
        for name in (signs.SWEEP, "control", "work"):
            signs.give_sign(session, name)
        workers.register(session, host="here", pid=1, now=utc_now())
    answer = client.get("/readyz")
    assert answer.status_code == 200, answer.text
    assert {check["name"] for check in answer.json()["checks"]} >= {"database", "broker", "sweep", "send", "due"}
    assert client.head("/readyz").status_code == 200


def test_a_service_that_does_nothing_is_not_ready_and_says_why(client: TestClient) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 503
    failed = {check["name"]: check for check in answer.json()["checks"] if not check["ok"]}
    assert failed["sweep"]["seen"] == "No sweep was ever seen to its end."
    assert "beat" in failed["sweep"]["mend"]


def test_a_process_that_answers_is_alive(client: TestClient) -> None:
    assert client.get("/livez").text == "ok"


def test_a_process_without_a_free_thread_is_not() -> None:
    free = threading.Event()

    async def ask_while_all_threads_wait() -> int:
        limiter = to_thread.current_default_thread_limiter()
        limiter.total_tokens = 1
        stuck = asyncio.create_task(to_thread.run_sync(free.wait))
        await asyncio.sleep(0)
        try:
            return (await health.livez()).status_code
        finally:
            free.set()
            await stuck

    assert asyncio.run(ask_while_all_threads_wait()) == 503
