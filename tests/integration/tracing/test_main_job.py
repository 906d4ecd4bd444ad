"""The main job on a stack that traces: all spans of its correlation are one tree."""

import asyncio
import time
import uuid
from collections.abc import Iterator

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from actors.runtime import tracing
from benchmarks.local_stack import started
from cluster import runbooks
from cluster.loop import play_loop
from cluster.state import Stack
from cluster.story import Story
from tests.fixtures.collector import Collector, collecting
from tests.fixtures.services import service_folder
from tests.fixtures.stack import as_admin, as_alertmanager

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(400)]

_QUIET_S = 5.0
_WITHIN_S = 60.0
PARTS = {"gateway", "incident", "rag", "task", "bus", "router", "knowledge"}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as collector:
        yield collector


@pytest.fixture(scope="module")
def traced(collector: Collector) -> Iterator[Stack]:
    environment = {
        "GUILD_TRACING__ENDPOINT": collector.endpoint,
        "GUILD_TRACING__FLUSH_S": "0.2",
    }
    with (
        service_folder() as folder,
        started(folder / "data", **environment) as running,
    ):
        yield running


async def test_all_spans_of_the_main_job_are_one_tree(traced: Stack, collector: Collector) -> None:
    run = uuid.uuid4().hex[:12]
    story = Story(deployment=f"traced-{run}", instance="gateway-0", run_id=run)
    async with as_alertmanager(traced) as intake, as_admin(traced) as person:
        await runbooks.ingest(person)

        result = await play_loop(intake, person, story, wait_s=60)

    first = tracing.first_of(result.correlation_id)
    told = await all_told(collector, first.trace_id)
    spans = {span.span_id: span for _, span in told}
    roots = [span for span in spans.values() if not span.parent_span_id]
    missing = [span.name for span in spans.values()
               if span.parent_span_id and span.parent_span_id not in spans]  # fmt: skip
    names = {span.name for span in spans.values()}
    assert [root.span_id for root in roots] == [first.span_id.to_bytes(8)]
    assert missing == []
    assert {service for service, _ in told} >= PARTS
    assert "POST /api/v1/alerts/alertmanager" in names
    assert {"sql", "ask incident", "publish sage.incident.created", "DeliverEvent"} <= names
    assert any(name.startswith("deliver ") for name in names)
    assert all(acyclic(span, spans) for span in spans.values())


async def all_told(collector: Collector, trace_id: int) -> list[tuple[str, Span]]:
    """The spans of a trace, once nothing more has come for a while."""
    deadline, count, since = time.monotonic() + _WITHIN_S, 0, time.monotonic()
    while time.monotonic() < deadline:
        now = len(collector.of_trace(trace_id))
        if now != count:
            count, since = now, time.monotonic()
        if count and time.monotonic() - since > _QUIET_S:
            return collector.of_trace(trace_id)
        await asyncio.sleep(0.2)
    raise AssertionError("spans keep coming")


def acyclic(span: Span, spans: dict[bytes, Span]) -> bool:
    """Whether its parents lead to a span without one."""
    seen = set()
    while span.parent_span_id:
        if span.span_id in seen:
            return False
        seen.add(span.span_id)
        span = spans[span.parent_span_id]
    return True
