"""What is noted of a request: its id, and its span by route, never by what it asks for."""

from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient

from email_campaign import tracing
from tests.tools.collector import Collector, tracing_to_collector


@pytest.fixture
def collector() -> Iterator[Collector]:
    with tracing_to_collector() as made:
        yield made


def test_a_request_is_named_by_its_route_and_never_by_what_it_asks_for(
    collector: Collector, client: TestClient
) -> None:
    traceparent = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
    answer = client.get("/u/secret?q=ada@example.com", headers={"traceparent": traceparent})
    client.get("/livez", headers={"X-Request-ID": "proxy-id-1234"})
    client.get("/api/v1/campaigns/7")
    assert answer.headers["X-Request-ID"]
    tracing.stop()
    assert set(collector.names()) >= {"GET /livez", "GET /api/v1/campaigns/{campaign_id}"}
    assert {span.trace_id.hex() for span in collector.spans} >= {"0123456789abcdef0123456789abcdef"}
    everything = " ".join(map(str, collector.spans))
    assert "secret" not in everything
    assert "ada" not in everything


def test_a_request_keeps_the_id_that_its_proxy_gave_if_it_is_one(client: TestClient) -> None:
    assert client.get("/livez", headers={"X-Request-ID": "proxy-id-1234"}).headers["X-Request-ID"] == "proxy-id-1234"
    made = client.get("/livez", headers={"X-Request-ID": "ada@example.com"}).headers["X-Request-ID"]
    assert len(made) == 16
