"""The walk of a campaign through every part as it runs: API, Celery, Postgres, SMTP, inbox, and back to the API."""

import io
import json
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, select

from email_campaign import queue
from email_campaign.backups.manifest import Manifest
from email_campaign.clock import utc_now
from email_campaign.local.programs import Lifeline
from email_campaign.media import images
from email_campaign.reports.dashboard import dashboard
from email_campaign.settings import Settings
from email_campaign.tasks import outcomes
from email_campaign.tasks.tasks import Task
from tests.commands import command
from tests.faults.waiting import wait_until
from tests.invariants import check_settled
from tests.media import samples
from tests.media.samples import opened
from tests.service import PATIENCE_SECONDS, Service, running_service
from tests.tables import empty_tables
from tests.tools.collector import Collector, running_collector
from tests.tools.scripted_smtp import Rule, Script, ScriptedServer, running_smtp

BEYOND_THE_CALENDAR = 10**9
"""So many days ago there was no date: the nightly putting away of attempts fails."""


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScriptedServer]:
    with running_smtp(Script(), tmp_path_factory.mktemp("wire") / "wire.jsonl") as server:
        yield server


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with running_collector() as made:
        yield made


@pytest.fixture(scope="module")
def service(
    engine: Engine,
    settings: Settings,
    lifeline: Lifeline,
    services_dir: Path,
    relay: ScriptedServer,
    collector: Collector,
) -> Iterator[Service]:
    """Watched as in the wild: logs in JSON, traces on."""
    folder = services_dir / "walk"
    folder.mkdir(mode=0o711)
    watched = {"log_format": "json", "otel_exporter_otlp_endpoint": collector.endpoint}
    at_night = {"backup_dir": folder / "backups", "attempts_kept_days": BEYOND_THE_CALENDAR}
    with running_service(settings, lifeline, folder, relay.address, **watched, **at_night) as running:
        yield running
    empty_tables(engine)


@pytest.fixture(autouse=True)
def usual_relay(relay: ScriptedServer) -> None:
    relay.script.rules.clear()


def settled(service: Service, relay: ScriptedServer, campaign_id: int) -> dict[str, int]:
    """The counts of the finished campaign, with every invariant checked against rows and wire."""
    counts = service.finished(campaign_id)
    with service.factory() as session:
        check_settled(session, campaign_id, service.settings, relay.log)
    return counts


def test_an_imported_list_is_mailed_and_every_copy_is_in_the_send_log(service: Service, relay: ScriptedServer) -> None:
    campaign_id = service.launch(30)
    assert settled(service, relay, campaign_id) == {"accepted": 30}
    log = service.get(f"/campaigns/{campaign_id}/deliveries", state="accepted", limit=100)["items"]
    assert len({entry["address"] for entry in log}) == 30
    attempt = service.get(f"/deliveries/{log[0]['id']}")["attempts"][0]
    assert (attempt["code"], attempt["phase"], attempt["verdict"]) == (250, "body", "accepted")


def test_a_large_file_is_checked_part_by_part_and_then_imported(service: Service) -> None:
    log = service.folder / "work.log"
    before = len(log.read_bytes())
    list_id = service.post("/lists", name="Large")["id"]
    rows = "".join(f"large{number}@example.com,{'x' * 9_000}\n" for number in range(500))
    ended = service.import_csv(list_id, f"address,word\n{rows}")
    assert (ended["state"], ended["counts"]["created"], ended["counts"]["rows"]) == ("succeeded", 500, 500)
    assert service.get(f"/tasks/{ended['task_id']}")["total_count"] == 501
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (told := log.read_bytes()[before:]).count(b"Task email_campaign.check_part") < 6:  # received, succeeded
        assert time.monotonic() < deadline, told.decode()
        time.sleep(0.05)


def test_an_image_goes_through_its_chain_is_served_and_goes_when_it_is_deleted(service: Service) -> None:
    with service.factory.begin() as session:
        upload = images.Upload("tulips.jpg", io.BytesIO(samples.jpeg(1600, 800, orientation=6)), "", None)
        image = images.take_in(session, upload, service.settings, utc_now())
        # Somebody has the task, so that what is done was done by the messages of the chain alone.
        session.get_one(Task, image.task_id).lease_until = utc_now() + timedelta(hours=1)
    queue.nudge(queue.PREPARE_IMAGE, image.id, by=queue.make_app(service.settings))
    service.wait(f"/tasks/{image.task_id}", lambda task: task["done_count"] == 3)
    with service.factory.begin() as session:
        session.get_one(Task, image.task_id).lease_until = None
    ready = service.wait(f"/images/{image.id}", lambda one: one["state"] == "ready")
    for one in ready["renditions"]:
        seen = opened(httpx.get(one["url"]).raise_for_status().content)
        assert seen.size == (one["width"], one["height"]) == (one["width"], 2 * one["width"])
    service.api.delete(f"/images/{image.id}").raise_for_status()
    wait_until(lambda: {httpx.get(one["url"]).status_code for one in ready["renditions"]} == {404})


def test_a_451_is_retried_and_then_accepted(service: Service, relay: ScriptedServer) -> None:
    relay.script.rules.append(Rule("rcpt", reply=b"451 4.7.1 greylisted", first=1))
    campaign_id = service.launch(5)
    assert settled(service, relay, campaign_id) == {"accepted": 5}
    log = service.get(f"/campaigns/{campaign_id}/deliveries")["items"]
    assert [entry["attempt_count"] for entry in log] == [2] * 5


def test_a_5_1_1_is_rejected_and_suppressed(service: Service, relay: ScriptedServer) -> None:
    relay.script.rules.append(Rule("rcpt", to=lambda who: who.startswith("p0."), reply=b"550 5.1.1 no such user"))
    campaign_id = service.launch(3)
    assert settled(service, relay, campaign_id) == {"accepted": 2, "rejected": 1}
    rejected = service.get(f"/campaigns/{campaign_id}/deliveries", state="rejected")["items"]
    suppressed = service.get("/suppressions", q=rejected[0]["address"])["items"]
    assert [(s["address"], s["reason"]) for s in suppressed] == [(rejected[0]["address"], "hard_bounce")]


def test_a_scheduled_campaign_goes_out_by_beat(service: Service, relay: ScriptedServer) -> None:
    campaign_id = service.draft(3)
    at = utc_now() + timedelta(seconds=2)
    service.post(f"/campaigns/{campaign_id}/schedule", scheduled_at=at.isoformat())
    assert settled(service, relay, campaign_id) == {"accepted": 3}
    launched = service.get(f"/campaigns/{campaign_id}")["launched_at"]
    assert launched >= at.isoformat()[:19]


def test_who_is_confirmed_is_welcomed_by_mail(service: Service, relay: ScriptedServer) -> None:
    words = {"subject": "Welcome", "html": "<p>Welcome. {{ unsubscribe_url }}</p>"}
    template_id = service.post("/templates", name="Welcome", **words)["id"]
    list_id = service.post("/lists", name="Club", welcome_template_id=template_id)["id"]
    service.import_csv(list_id, "address\nimported@club.example\n")
    contact_id = service.post("/contacts", address="joined@club.example")["id"]
    assert service.api.put(f"/lists/{list_id}/members/{contact_id}", json={}).is_success
    wait_until(lambda: "joined@club.example" in relay.log.bodies_by_recipient(), 30)
    assert "imported@club.example" not in relay.log.bodies_by_recipient()


def test_a_second_launch_is_refused_and_enrols_nobody_twice(service: Service, relay: ScriptedServer) -> None:
    campaign_id = service.launch(10)
    assert service.api.post(f"/campaigns/{campaign_id}/launch").status_code == 409
    assert settled(service, relay, campaign_id) == {"accepted": 10}


def test_pause_holds_and_resume_goes_on(service: Service, relay: ScriptedServer) -> None:
    relay.script.rules.append(Rule("data", delay_seconds=0.1))
    campaign_id = service.launch(200)
    service.wait(f"/campaigns/{campaign_id}", lambda c: c["counts"]["accepted"] >= 5)
    service.post(f"/campaigns/{campaign_id}/pause")
    paused = service.wait(f"/campaigns/{campaign_id}", lambda c: c["counts"]["sending"] == 0)
    assert paused["counts"]["pending"] > 0
    assert "aused" in paused["why_waiting"]
    taken = len(relay.log.bodies())
    later = service.launch(3)
    assert settled(service, relay, later) == {"accepted": 3}
    assert len(relay.log.bodies()) == taken + 3  # while another campaign went out, this one held
    service.post(f"/campaigns/{campaign_id}/resume")
    assert settled(service, relay, campaign_id) == {"accepted": 200}


def test_a_killed_worker_loses_nobody_and_doubles_nobody(service: Service, relay: ScriptedServer) -> None:
    relay.script.rules.append(Rule("dot", delay_seconds=0.05))
    campaign_id = service.launch(300)
    service.wait(f"/campaigns/{campaign_id}", lambda c: c["counts"]["accepted"] >= 30)
    service.kill("send1")
    service.start("send1")
    counts = settled(service, relay, campaign_id)
    assert set(counts) <= {"accepted", "unknown"}
    assert sum(counts.values()) == 300
    assert counts.get("unknown", 0) <= service.settings.send_connections


def test_a_walk_is_traced_from_task_to_slice_and_commit(
    service: Service, relay: ScriptedServer, collector: Collector
) -> None:
    settled(service, relay, service.launch(3))
    wanted = {"email_campaign.launch", "email_campaign.send", "email_campaign.sweep", "slice", "commit"}
    deadline = time.monotonic() + 30
    while (
        not wanted <= set(collector.names()) or "POST /api/v1/campaigns/{campaign_id}/launch" not in collector.names()
    ):
        assert time.monotonic() < deadline, set(collector.names())
        time.sleep(0.1)
    launched = {span.span_id for span in collector.spans if span.name.endswith("/launch")}
    linked = [one.span_id for span in collector.spans if span.name == "email_campaign.launch" for one in span.links]
    assert launched & set(linked)
    assert not re.search(r"\w@d\d", " ".join(map(str, collector.spans)))


def test_a_service_that_walks_is_ready_and_its_logs_name_nobody(service: Service, relay: ScriptedServer) -> None:
    relay.script.rules.append(Rule("rcpt", reply=b"550 5.1.1 <p0@d0.example> is not here"))
    settled(service, relay, service.launch(3))
    answer = service.api.get(f"{service.settings.public_url}/readyz")
    assert answer.status_code == 200, answer.text
    written = "\n".join(log.read_text() for log in service.folder.glob("*.log"))
    lines = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    told_by = {line["logger"].split(".")[0] for line in lines}
    assert told_by >= {"uvicorn", "celery"}
    assert any("task" in line for line in lines)
    assert not re.search(r"\w@d\d", written)


def test_the_worker_makes_the_daily_backup(service: Service) -> None:
    def the_backup(answer: Any) -> Any:
        return next((one for one in answer["items"] if one["kind"] == "backup"), None)

    tasks = service.wait("/tasks", lambda a: (the_backup(a) or {}).get("state") not in {None, "waiting", "running"})
    assert the_backup(tasks)["state"] == "succeeded", the_backup(tasks)
    (file,) = (service.folder / "backups").glob("*.dump")
    Manifest.beside(file).check(file)


def test_a_nightly_task_that_fails_is_told_to_people_until_it_works(service: Service) -> None:
    def last(kind: str) -> str | None:
        with service.factory() as session:
            query = select(Task.state).where(Task.kind == kind).order_by(Task.id.desc()).limit(1)
            return session.scalar(query)

    queue.nudge(queue.PUT_AWAY, by=queue.make_app(service.settings))
    wait_until(lambda: last("put_away") == "failed")
    with service.factory.begin() as session:
        assert any("putting away" in need.message for need in dashboard(session, utc_now()).needs)
        outcomes.tell_failure(session, "recount", "It did not work.", utc_now())
    queue.nudge(queue.RECOUNT, by=queue.make_app(service.settings))
    wait_until(lambda: last("recount") == "succeeded")


def test_a_test_from_the_command_line_says_what_the_relay_said(service: Service, relay: ScriptedServer) -> None:
    campaign_id = service.draft(1)
    known = {"DATABASE_URL": service.settings.database_url, "REDIS_URL": service.settings.redis_url}
    secret = service.settings.secret_key.get_secret_value()
    seen = command(
        "send-test", str(campaign_id), "ada@example.com", data_dir=service.folder, SECRET_KEY=secret, **known
    )
    assert seen.returncode == 0, seen.stderr
    assert "is accepted. The relay said: 250" in seen.stdout
    relay.script.rules.append(Rule("rcpt", reply=b"550 5.1.1 nobody here"))
    refused = command(
        "send-test", str(campaign_id), "eve@example.com", data_dir=service.folder, SECRET_KEY=secret, **known
    )
    assert refused.returncode == 1
    assert "is rejected. The relay said: 550 5.1.1" in refused.stderr
