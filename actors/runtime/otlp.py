"""Hands spans to a collector: OTLP over HTTP, protobuf. Imported only where tracing is on.

What the collector does not take in time is dropped and counted: nobody waits for it.
"""

import atexit
import http.client
import threading
from collections import deque
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

import structlog
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2 as wire

from actors import metrics
from actors.runtime.tracing import Span, Value
from actors.settings import TracingSettings

_log = structlog.get_logger("elders_guild.tracing")
_SCOPE = "elders_guild"


class Exporter:
    """A bounded queue and one thread that empties it.

    Args:
        settings: where to, how many, how often.
        resource: says which process the spans are of.
    """

    def __init__(self, settings: TracingSettings, resource: Mapping[str, Value]) -> None:
        self._settings = settings
        self._resource = resource
        self._waiting: deque[Span] = deque(maxlen=settings.queue)
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="guild-otlp", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def add(self, span: Span) -> None:
        """Never blocks; the oldest is dropped when too many wait."""
        if len(self._waiting) == self._settings.queue:
            metrics.SPANS_DROPPED.labels("queue").inc()
        self._waiting.append(span)
        if len(self._waiting) >= self._settings.batch:
            self._wake.set()

    def close(self) -> None:
        """Sends what waits, for as long as one request may take."""
        self._ended.set()
        self._wake.set()
        self._thread.join(self._settings.timeout_s)

    def _run(self) -> None:
        while not self._ended.is_set():
            self._wake.wait(self._settings.flush_s)
            self._wake.clear()
            self._send_all()
        self._send_all()

    def _send_all(self) -> None:
        while self._waiting:
            count = min(len(self._waiting), self._settings.batch)
            self._send([self._waiting.popleft() for _ in range(count)])

    def _send(self, spans: list[Span]) -> None:
        try:
            status = _post(self._settings, encode(spans, self._resource))
        except Exception as error:  # the thread must live; the text may hold the token
            status, reason = 0, type(error).__name__
        else:
            reason = str(status)
        if 200 <= status < 300:
            metrics.SPANS_EXPORTED.inc(len(spans))
            return
        metrics.SPANS_DROPPED.labels("collector").inc(len(spans))
        _log.warning("spans_dropped", spans=len(spans), reason=reason)


def encode(spans: Iterable[Span], resource: Mapping[str, Value]) -> bytes:
    """The body of one request."""
    within = wire.ScopeSpans(spans=[_encoded(span) for span in spans])
    within.scope.name = _SCOPE
    of = wire.ResourceSpans(
        resource=Resource(attributes=_attributes(resource)), scope_spans=[within]
    )
    body: bytes = ExportTraceServiceRequest(resource_spans=[of]).SerializeToString()
    return body


def _encoded(span: Span) -> wire.Span:
    place, link = span.place, span.link
    return wire.Span(
        trace_id=place.trace_id.to_bytes(16),
        span_id=place.span_id.to_bytes(8),
        parent_span_id=span.parent_id.to_bytes(8) if span.parent_id else b"",
        name=span.name,
        kind=wire.Span.SpanKind.ValueType(span.kind),
        start_time_unix_nano=span.begun_ns,
        end_time_unix_nano=span.ended_ns,
        attributes=_attributes(span.attributes),
        links=[]
        if link is None
        else [
            wire.Span.Link(trace_id=link.trace_id.to_bytes(16), span_id=link.span_id.to_bytes(8))
        ],
        status=wire.Status(code=wire.Status.STATUS_CODE_ERROR, message=span.failed)
        if span.failed
        else None,
    )


def _attributes(given: Mapping[str, Value]) -> list[KeyValue]:
    return [KeyValue(key=name, value=_value(value)) for name, value in given.items()]


def _value(value: Value) -> AnyValue:
    match value:
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case _:
            return AnyValue(string_value=value)


def _post(settings: TracingSettings, body: bytes) -> int:
    address = urlsplit(settings.endpoint)
    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    connection = kind(address.netloc, timeout=settings.timeout_s)
    headers = {"Content-Type": "application/x-protobuf"}
    if token := settings.token.get_secret_value():
        headers["Authorization"] = f"Bearer {token}"
    try:
        connection.request("POST", address.path or "/v1/traces", body, headers)
        answer = connection.getresponse()
        answer.read(64 << 10)
        return answer.status
    finally:
        connection.close()
