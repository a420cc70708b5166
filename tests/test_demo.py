"""The demo on the service as it runs, inbox included."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from sqlalchemy import Engine, select

from email_campaign.accounts.tokens import ApiToken
from email_campaign.local import plan, ports
from email_campaign.local.demo import beside
from email_campaign.local.demo.beside import Beside
from email_campaign.local.demo.client import DemoFailed
from email_campaign.local.demo.crash import Grip, crash
from email_campaign.local.demo.play import play
from email_campaign.local.demo.steps import Stage
from email_campaign.local.demo.telling import Teller
from email_campaign.local.programs import Lifeline
from email_campaign.local.terminal import Terminal
from email_campaign.settings import Settings
from tests.service import Service, running_service
from tests.tables import empty_tables

COUNT = 40


@pytest.fixture(scope="module")
def service(engine: Engine, settings: Settings, lifeline: Lifeline, services_dir: Path) -> Iterator[Service]:
    smtp_port, http_port = ports.free_port(), ports.free_port()
    folder = services_dir / "demo"
    folder.mkdir()
    update = {"inbox_smtp_port": smtp_port, "inbox_http_port": http_port, "send_processes": 1}
    with running_service(settings, lifeline, folder, ("127.0.0.1", smtp_port), **update) as running:
        running.start("inbox")
        yield running
    empty_tables(engine)


@pytest.fixture
def stage(service: Service) -> Stage:
    where = plan.addresses(service.settings)
    token = service.api.headers["Authorization"].removeprefix("Bearer ")
    return Stage(where["pages"], where["inbox"], where["smtp"], token, lambda _: None)


def told(stage: Stage) -> str:
    screen = io.StringIO()
    play(stage, Teller(Terminal(screen)), COUNT)
    return screen.getvalue()


def test_it_tells_what_was_imported_refused_skipped_and_sent_and_counts_it_in_the_inbox(
    service: Service, stage: Stage
) -> None:
    first = told(stage)
    assert f"{COUNT + 5} rows: {COUNT} created, 2 repeated, 3 refused" in first
    assert "line  12  The address needs the form name@domain." in first
    assert f"accepted       {COUNT - 1}\n" in first
    assert "skipped         1   1 suppressed" in first
    assert f"{COUNT} on the list = {COUNT} in the send log; {COUNT - 1} accepted = {COUNT - 1} in the inbox" in first
    assert len(first.splitlines()) <= 40
    mails = httpx.get(f"{stage.inbox}/api/v2/messages", params={"limit": 250}).json()
    assert len({mail["Raw"]["To"][0] for mail in mails["items"]}) == mails["total"] == COUNT - 1
    shown = [word for word in first.split() if word.startswith("http://")]
    assert len(shown) == 3
    assert all(httpx.get(url, follow_redirects=True).status_code == 200 for url in shown)

    again = told(stage)
    assert f"{COUNT + 5} rows: {COUNT} unchanged, 2 repeated, 3 refused" in again
    assert again.startswith("Demo 2: ")
    assert f"{COUNT - 1} accepted = {COUNT - 1} in the inbox" in again


def test_it_refuses_a_relay_that_is_not_our_inbox(service: Service, stage: Stage) -> None:
    before = len(service.get("/lists")["items"])
    with pytest.raises(DemoFailed, match=f"the relay is 127.0.0.1:{service.settings.smtp_port}"):
        play(replace(stage, smtp="127.0.0.1:1"), Teller(Terminal(io.StringIO())), COUNT)
    assert len(service.get("/lists")["items"]) == before


def grip(service: Service, pids: dict[str, int], **update: int) -> Grip:
    return Grip(service.factory, service.settings.model_copy(update=update), lambda: pids)


def refusal(stage: Stage, grip: Grip) -> str:
    with pytest.raises(DemoFailed) as refused:
        crash(stage, Teller(Terminal(io.StringIO())), grip)
    return str(refused.value)


def test_the_crash_demo_refuses_before_it_changes_anything(service: Service, stage: Stage) -> None:
    before = len(service.get("/lists")["items"])
    ours = {"send1": 1, "valkey": 2}
    assert "the relay is 127.0.0.1" in refusal(replace(stage, smtp="127.0.0.1:1"), grip(service, ours))
    assert "REDIS_URL names one that is not ours" in refusal(stage, grip(service, {"send1": 1}))
    assert "No send worker runs here" in refusal(stage, grip(service, {"valkey": 1}))
    few = refusal(stage, grip(service, ours, inbox_keep=100))
    assert "set INBOX_KEEP to 5000 and INBOX_MAX_BYTES to 100000000 at least" in few
    sending = service.launch(20, limits=[{"count": 1, "seconds": 3600}])
    service.wait(f"/campaigns/{sending}", lambda campaign: campaign["state"] == "sending")
    assert "is being sent, and killing a worker would leave copies of it unknown" in refusal(stage, grip(service, ours))
    service.post(f"/campaigns/{sending}/cancel")
    assert len(service.get("/lists")["items"]) == before + 1  # the one of the launched campaign


def test_its_token_is_good_for_nothing_afterwards(service: Service) -> None:
    elsewhere = plan.addresses(service.settings) | {"smtp": "127.0.0.1:1"}
    with pytest.raises(DemoFailed):
        beside.play_on(Beside(service.settings, Terminal(io.StringIO())), elsewhere, dict)
    with service.factory() as session:
        tokens = session.scalars(select(ApiToken).where(ApiToken.name == beside.TOKEN_NAME)).all()
    assert tokens
    assert all(token.revoked_at for token in tokens)


def test_a_web_server_that_is_away_is_one_sentence(stage: Stage) -> None:
    nowhere = f"http://127.0.0.1:{ports.free_port()}"
    with pytest.raises(DemoFailed, match=r"does not answer GET /relay \(ConnectError\)\.$"):
        play(replace(stage, pages=nowhere), Teller(Terminal(io.StringIO())), COUNT)
