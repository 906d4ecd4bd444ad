"""Spans reach a collector, and nobody waits for one that is not there."""

from collections.abc import Iterator

import pytest

from actors import metrics
from actors.runtime.otlp import Exporter
from actors.runtime.tracing import Kind, Place, Span, Value
from actors.settings import TracingSettings
from cluster.process import free_ports
from tests.fixtures.collector import Collector, collecting

pytestmark = pytest.mark.integration

RESOURCE: dict[str, Value] = {"service.name": "tests", "process.pid": 7}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


def settings(endpoint: str, *, queue: int = 4_096, batch: int = 512) -> TracingSettings:
    return TracingSettings(
        endpoint=endpoint, flush_s=0.05, timeout_s=20.0, queue=queue, batch=batch
    )


def span(number: int = 1) -> Span:
    made = Span("sql", Kind.CLIENT, Place(5, number), 4, Place(6, 6), rows=3, share=0.5, what="é")
    made.end()
    made.fail("deadline_exceeded")
    return made


def dropped(reason: str) -> float:
    value = metrics.REGISTRY.get_sample_value
    return value("elders_guild_spans_dropped_total", {"reason": reason}) or 0.0


def test_a_span_arrives_as_it_was(collector: Collector) -> None:
    exporter = Exporter(settings(collector.endpoint), RESOURCE)

    exporter.add(span())
    exporter.close()

    ((service, arrived),) = collector.spans
    values = {one.key: one.value for one in arrived.attributes}
    assert service == "tests"
    assert (arrived.name, int(arrived.kind)) == ("sql", Kind.CLIENT)
    assert arrived.trace_id == (5).to_bytes(16)
    assert (arrived.span_id, arrived.parent_span_id) == ((1).to_bytes(8), (4).to_bytes(8))
    assert arrived.links[0].trace_id == (6).to_bytes(16)
    assert 0 < arrived.start_time_unix_nano <= arrived.end_time_unix_nano
    assert (arrived.status.code, arrived.status.message) == (2, "deadline_exceeded")
    assert values["rows"].int_value == 3
    assert values["share"].double_value == 0.5
    assert values["what"].string_value == "é"


def test_more_spans_than_a_request_takes_all_arrive(collector: Collector) -> None:
    exporter = Exporter(settings(collector.endpoint, batch=100), RESOURCE)

    for number in range(1, 251):
        exporter.add(span(number))
    exporter.close()

    assert len(collector.spans) == 250


@pytest.mark.parametrize("there", [True, False])
def test_what_no_collector_takes_is_dropped_and_counted(collector: Collector, there: bool) -> None:
    collector.status = 503
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    before = dropped("collector")
    exporter = Exporter(settings(collector.endpoint if there else nobody), RESOURCE)

    exporter.add(span())
    exporter.close()

    assert dropped("collector") == before + 1


def test_who_adds_never_waits(collector: Collector) -> None:
    exporter = Exporter(settings(collector.endpoint, queue=10, batch=1000), RESOURCE)
    exporter.close()
    before = dropped("queue")

    for number in range(1, 16):
        exporter.add(span(number))

    assert dropped("queue") == before + 5
