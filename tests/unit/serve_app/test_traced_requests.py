"""A request is a span, below the caller's where there is one, and its lines say whose it is."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from actors.errors import DependencyUnavailable
from actors.runtime import subject, tracing
from actors.runtime.local import LocalPool
from actors.runtime.tracing import Kind, Span
from actors.task.messages import GetTask, Task
from tests.fixtures.gateway import GUILD, app_over, client_of

TASK_ID = "task_01k0000000000000000000000a"
TASK = f"/api/v1/tasks/{TASK_ID}"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACEPARENT = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


@pytest.fixture
def spans() -> Iterator[list[Span]]:
    ended: list[Span] = []
    tracing.switch_on(ended.append, ratio=1.0)
    yield ended
    tracing.switch_off()


@pytest.fixture
def known() -> list[subject.Fields]:
    """What a line said of its request, in the middle of it."""
    return []


@pytest.fixture
async def client(known: list[subject.Fields]) -> AsyncIterator[httpx.AsyncClient]:
    async def away(_: GetTask) -> Task:
        known.append(subject.known())
        with tracing.span("sql", Kind.CLIENT):
            raise DependencyUnavailable("postgres")

    async with client_of(app_over({"task": LocalPool({GetTask: away})})) as client:
        yield client


async def test_a_request_is_the_first_span_of_its_correlation(
    client: httpx.AsyncClient, spans: list[Span]
) -> None:
    answer = await client.get(TASK)

    sql, request = spans
    assert request.place == tracing.first_of(answer.headers["x-correlation-id"])
    assert (request.name, request.parent_id) == ("GET /api/v1/tasks/{task_id}", 0)
    assert (request.failed, request.attributes["http.response.status_code"]) == ("503", 503)
    assert (sql.parent_id, sql.failed) == (request.place.span_id, "DependencyUnavailable")


async def test_the_callers_trace_is_taken_and_the_correlation_holds_it(
    client: httpx.AsyncClient, spans: list[Span]
) -> None:
    answer = await client.get(TASK, headers=TRACEPARENT)

    correlation_id = answer.headers["x-correlation-id"]
    assert correlation_id.startswith(f"trc_{TRACE}-01-")
    assert {span.place.trace_id for span in spans} == {int(TRACE, 16)}
    assert spans[-1].parent_id == int(PARENT, 16)
    assert tracing.first_of(correlation_id).trace_id == int(TRACE, 16)


async def test_a_correlation_of_the_callers_own_is_kept(
    client: httpx.AsyncClient, spans: list[Span]
) -> None:
    answer = await client.get(TASK, headers={**TRACEPARENT, "X-Correlation-Id": "mine"})

    assert answer.headers["x-correlation-id"] == "mine"
    assert {span.place.trace_id for span in spans} == {tracing.first_of("mine").trace_id}


async def test_requests_at_once_are_not_mixed_up(
    client: httpx.AsyncClient, spans: list[Span]
) -> None:
    answers = await asyncio.gather(*(client.get(TASK) for _ in range(8)))

    wanted = {tracing.first_of(one.headers["x-correlation-id"]).trace_id for one in answers}
    by_trace = {span.place.trace_id: span.place.span_id for span in spans if span.name != "sql"}
    assert by_trace.keys() == wanted
    assert all(by_trace[span.place.trace_id] == span.parent_id
               for span in spans if span.name == "sql")  # fmt: skip


async def test_who_goes_away_before_the_answer_leaves_a_span_with_a_name(
    spans: list[Span],
) -> None:
    begun, over = asyncio.Event(), asyncio.Event()

    async def away(_: GetTask) -> Task:
        begun.set()
        await over.wait()
        raise DependencyUnavailable("postgres")

    async with client_of(app_over({"task": LocalPool({GetTask: away})})) as client:
        asked = asyncio.create_task(client.get(TASK))
        await begun.wait()
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        over.set()

    (request,) = [span for span in spans if span.kind is Kind.SERVER]
    assert request.name == "GET /api/v1/tasks/{task_id}"
    assert request.failed == "CancelledError"
    assert "http.response.status_code" not in request.attributes


async def test_probes_are_no_spans(client: httpx.AsyncClient, spans: list[Span]) -> None:
    await client.get("/healthz")
    await client.get("/metrics")

    assert spans == []


async def test_who_does_not_trace_gives_correlations_of_its_own(client: httpx.AsyncClient) -> None:
    answer = await client.get(TASK, headers=TRACEPARENT)

    assert answer.headers["x-correlation-id"].startswith("cor_")


async def test_the_sage_speaks_under_the_ids_of_the_request(
    client: httpx.AsyncClient, known: list[subject.Fields]
) -> None:
    await client.get(TASK, headers={"X-Request-Id": "one", "X-Correlation-Id": "chain"})

    (said,) = known
    assert (said["request_id"], said["correlation_id"]) == ("one", "chain")
    assert (said["entity_id"], said["guild_id"]) == (TASK_ID, GUILD)
    assert said["user_id"] == "user_of_the_tests"
