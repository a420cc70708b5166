"""Traces: nothing without an endpoint; with one, spans of tasks and slices, and no harm from a dead one."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from email_campaign import tracing
from email_campaign.local import ports
from tests.tools.collector import Collector, tracing_to_collector


@pytest.fixture
def collector() -> Iterator[Collector]:
    with tracing_to_collector() as made:
        yield made


def test_without_an_endpoint_nothing_is_loaded_and_nothing_made() -> None:
    script = """
import json, sys
from email_campaign import tracing
assert not tracing.start("", "tests")
headers = {}
with tracing.span("slice", {"slice": 1}) as span, tracing.work("task", {}, {}) as work:
    tracing.carry(headers)
print(json.dumps([span, work, headers, tracing.trace_id(), "opentelemetry.sdk.trace" in sys.modules]))
"""
    seen = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=os.environ)
    assert json.loads(seen.stdout) == [None, None, {}, "", False], seen.stderr


def test_a_task_is_a_trace_of_its_own_linked_to_who_sent_it(collector: Collector) -> None:
    headers: dict[str, Any] = {}
    with tracing.serve("GET", {}):
        tracing.carry(headers)
        sender = tracing.trace_id()
    with tracing.work("send", headers, {"task": "t1"}), tracing.span("slice", {"slice": 7, "mailing": 3}):
        pass
    tracing.stop()
    spans = {span.name: span for span in collector.spans}
    assert set(spans) == {"GET", "send", "slice"}
    assert spans["send"].links[0].trace_id.hex() == sender
    assert spans["send"].trace_id.hex() != sender
    assert spans["slice"].parent_span_id == spans["send"].span_id
    told = {one.key: one.value.int_value for one in spans["slice"].attributes}
    assert told == {"email_campaign.slice": 7, "email_campaign.mailing": 3}


def test_an_endpoint_that_is_dead_hurts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    try:
        assert tracing.start(f"http://127.0.0.1:{ports.free_port()}", "tests")
        with tracing.span("slice", {"slice": 1}) as span:
            assert span is not None
    finally:
        tracing.stop()
    assert not [record for record in caplog.records if record.levelname == "CRITICAL"]
