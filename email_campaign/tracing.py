"""Traces: spans of requests, tasks, slices and commits, sent away where an endpoint is set; nothing otherwise.

A span carries ids and never an address. What cannot be sent is dropped: no work waits for it.
"""

import importlib
import logging
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.trace import Link, Span, SpanKind, Tracer

SEND_SECONDS = 3
"""How long the endpoint may take for what it is sent."""
NAMESPACE = "email_campaign."

_NONE: AbstractContextManager[None] = nullcontext()


class _Tracing:
    """This process's one tracer, once there is an endpoint."""

    tracer: Tracer | None = None
    provider: Any = None


def start(endpoint: str, part: str) -> bool:
    """Trace this process, `part` of the service, to this endpoint (OTLP/HTTP); whether there is one. Safe to repeat.

    `OTEL_SERVICE_NAME`, `OTEL_TRACES_SAMPLER` and `OTEL_EXPORTER_OTLP_HEADERS` are heeded. The provider is not made the
    global one: others' spans would carry paths and queries, which name addresses.
    """
    if not endpoint or _Tracing.tracer is not None:
        return bool(endpoint)
    # 0.2 s and 3 MB, which who sets no endpoint need not pay.
    sdk = importlib.import_module("opentelemetry.sdk.trace")
    export = importlib.import_module("opentelemetry.sdk.trace.export")
    resources = importlib.import_module("opentelemetry.sdk.resources")
    otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    # Its queue says that it is full with every span that is dropped.
    logging.getLogger("opentelemetry.sdk._shared_internal").setLevel(logging.ERROR)
    name = os.environ.get("OTEL_SERVICE_NAME", "email-campaign")
    resource = resources.Resource.create({"service.name": name, NAMESPACE + "part": part})
    provider = sdk.TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = otlp.OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=SEND_SECONDS)
    provider.add_span_processor(export.BatchSpanProcessor(exporter))
    _Tracing.provider, _Tracing.tracer = provider, provider.get_tracer("email_campaign")
    return True


def stop() -> None:
    """Send what is there, for some seconds at most, and trace no more."""
    provider, _Tracing.provider, _Tracing.tracer = _Tracing.provider, None, None
    if provider is not None:
        provider.force_flush(SEND_SECONDS * 1000)
        provider.shutdown()


def span(name: str, ids: Mapping[str, int | str]) -> AbstractContextManager[Span | None]:
    """A span of what happens inside; without an endpoint nothing, at the cost of this call."""
    if _Tracing.tracer is None:
        return _NONE
    return _Tracing.tracer.start_as_current_span(name, attributes=_attributes(ids))


def serve(name: str, headers: Mapping[str, str]) -> AbstractContextManager[Span | None]:
    """The span of a request; it goes on with the caller's trace where the headers name one."""
    if _Tracing.tracer is None:
        return _NONE
    return _Tracing.tracer.start_as_current_span(name, propagate.extract(headers), SpanKind.SERVER)


def carry(headers: dict[str, Any]) -> None:
    """Write into a message's headers which span sends it."""
    if _Tracing.tracer is not None:
        propagate.inject(headers)


def work(name: str, headers: Mapping[str, str], ids: Mapping[str, int | str]) -> AbstractContextManager[Span | None]:
    """The span of a task, linked to the one that sent its message.

    A trace of its own: tasks send each other on for as long as a campaign lasts, and no trace is that long.
    """
    if _Tracing.tracer is None:
        return _NONE
    sender = trace.get_current_span(propagate.extract(headers)).get_span_context()
    links = [Link(sender)] if sender.is_valid else []
    return _Tracing.tracer.start_as_current_span(
        name, trace.set_span_in_context(trace.INVALID_SPAN), SpanKind.CONSUMER, _attributes(ids), links
    )


def trace_id() -> str:
    """Of the span that is open here, in hexadecimal; empty without one."""
    context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(context.trace_id) if context.is_valid else ""


def _attributes(ids: Mapping[str, int | str]) -> dict[str, int | str]:
    return {NAMESPACE + name: value for name, value in ids.items()}
