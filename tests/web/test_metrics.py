"""Metrics: what Prometheus reads, for whom, and that alerts and dashboard ask for nothing else."""

import json
import re
from datetime import timedelta
from typing import Any

import pytest
import yaml
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from sqlalchemy.orm import sessionmaker
from starlette.testclient import TestClient

from email_campaign.campaigns.mailings import MailingState
from email_campaign.clock import utc_now
from email_campaign.db import SessionFactory, make_engine
from email_campaign.delivery import workers
from email_campaign.delivery.deliveries import count_moves
from email_campaign.delivery.measures import Measures
from email_campaign.local.places import CHECKOUT
from email_campaign.settings import Settings
from email_campaign.tasks import signs
from email_campaign.web.app import create_app
from tests import factories

RULES = CHECKOUT / "deploy" / "prometheus" / "email-campaign.rules.yml"
DASHBOARD = CHECKOUT / "deploy" / "grafana" / "email-campaign.json"
TOKEN = "metrics-token-of-no-value"
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def opened(settings: Settings) -> Settings:
    return settings.model_copy(update={"metrics_token": SecretStr(TOKEN)})


@pytest.fixture
def app(opened: Settings, session_factory: SessionFactory) -> FastAPI:
    return create_app(opened, session_factory)


def scrape(client: TestClient) -> Samples:
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}", "Host": "web:8000"})
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert "@" not in answer.text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"email_campaign_{name}", frozenset(labels.items())]


@pytest.fixture
def busy(session_factory: SessionFactory) -> int:
    """A campaign in mid-send and a worker that has beaten; the worker's id."""
    with session_factory.begin() as session:
        template = factories.make_template(session)
        campaign = factories.make_campaign(session, template=template, state=MailingState.SENDING)
        count_moves(session, campaign.id, {"accepted": 7, "unknown": 2})
        other = factories.make_campaign(session, template=template, state=MailingState.SENDING)
        count_moves(session, other.id, {"accepted": 3})
        worker_id = workers.register(session, host="here", pid=1, now=utc_now() - timedelta(seconds=9))
        measures = Measures(
            answered_count=10,
            granted_count=12,
            refused_count=3,
            commit_seconds=0.5,
            commit_groups=[4, 0, 1, *[0] * 8, 2],
            idle_now=2,
            most_connections=32,
        )
        workers.beat(session, worker_id, rate_per_second=5.0, connection_count=6, measures=measures)
        signs.give_sign(session, signs.SWEEP)
        return worker_id


def test_a_scrape_tells_of_rows_and_workers(client: TestClient, busy: int) -> None:
    seen, worker = scrape(client), str(busy)
    assert value(seen, "database_up") == value(seen, "broker_up") == 1
    assert value(seen, "deliveries", state="accepted", relay="relay") == 10
    assert value(seen, "deliveries", state="unknown", relay="relay") == 2
    assert value(seen, "mailings", kind="campaign", state="sending") == 2
    assert value(seen, "queue_messages", queue="send") >= 0
    assert value(seen, "limiter_granted_total", worker=worker) == 12
    assert value(seen, "limiter_refused_total", worker=worker) == 3
    assert value(seen, "connections", worker=worker, use="busy") == 4
    assert value(seen, "worker_heartbeat_age_seconds", worker=worker) < 60
    assert value(seen, "recorder_commit_seconds_bucket", worker=worker, le="0.01") == 4
    assert value(seen, "recorder_commit_seconds_bucket", worker=worker, le="0.025") == 5
    assert value(seen, "recorder_commit_seconds_count", worker=worker) == 7
    assert value(seen, "sign_age_seconds", sign="sweep") < 60
    assert value(seen, "check_ok", check="sweep") == 1
    assert value(seen, "table_bytes", table="deliveries") > 0
    assert value(seen, "database_connections_most") > 0


def test_what_alerts_and_dashboard_ask_for_is_given(client: TestClient, busy: int) -> None:
    given = {name for name, _ in scrape(client)}
    rules = yaml.safe_load(RULES.read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"]]
    board: dict[str, Any] = json.loads(DASHBOARD.read_text())
    questions = [alert["expr"] for alert in alerts]
    questions += [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    asked = {name for question in questions for name in re.findall(r"email_campaign_\w+", question)}
    assert len(asked) > 20
    assert asked <= given
    assert len({alert["alert"] for alert in alerts}) == len(alerts)
    for alert in alerts:
        assert alert["labels"]["severity"] in {"page", "ticket"}, alert
        assert alert["annotations"]["summary"], alert
        assert alert["annotations"]["description"], alert


def test_every_check_that_an_alert_names_is_made(client: TestClient) -> None:
    made = {check["name"] for check in client.get("/readyz").json()["checks"]}
    named = {one for names in re.findall(r'check=~?"([^"]+)"', RULES.read_text()) for one in names.split("|")}
    assert named
    assert named <= made


def test_prometheus_is_told_of_our_rules_and_path() -> None:
    told = yaml.safe_load((CHECKOUT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    assert told["rule_files"] == [RULES.name]
    assert told["scrape_configs"][0]["metrics_path"] == "/metrics"


@pytest.mark.parametrize("sent", [None, "Bearer wrong", "Basic x", f"Bearer {TOKEN}é".encode("latin-1")])
def test_without_the_token_there_is_nothing(client: TestClient, sent: str | bytes | None) -> None:
    answer = client.get("/metrics", headers={"Authorization": sent} if sent else {})
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert "email_campaign_" not in answer.text


def test_while_no_token_is_set_there_are_no_metrics(settings: Settings, session_factory: SessionFactory) -> None:
    nobody = TestClient(create_app(settings, session_factory), base_url="http://127.0.0.1")
    answer = nobody.get("/metrics", headers={"Authorization": "Bearer ", "Accept": "application/json"})
    assert answer.status_code == 404
    assert "METRICS_TOKEN" in answer.text


def test_without_database_or_broker_it_says_that(opened: Settings) -> None:
    nowhere = opened.model_copy(
        update={"database_url": "postgresql+psycopg://me@127.0.0.1:1/mine", "redis_url": "redis://127.0.0.1:1/0"}
    )
    engine = make_engine(nowhere)
    seen = scrape(TestClient(create_app(nowhere, sessionmaker(engine)), base_url="http://127.0.0.1"))
    engine.dispose()
    assert value(seen, "database_up") == value(seen, "broker_up") == 0


def test_a_row_of_another_release_is_read() -> None:
    assert Measures.read({"answered_count": 3, "of_tomorrow": 1}).answered_count == 3
