"""The event benchmark counts what was acknowledged, and reads its goals from the right figures."""

import asyncio
from collections.abc import Sequence

import orjson
import pytest

from actors import cloudevents
from benchmarks.event_logs.drafts import AGGREGATES, DATA_BYTES, Draft, Drafts
from benchmarks.event_logs.shapes import BATCHES, MANY, ONE, Shape, measure, publish
from benchmarks.event_logs.wire import request, structured
from benchmarks.events import ACTOR, ALWAYS, BARE, END, goals
from benchmarks.frame import Results, Summary


class Memory:
    """A log that keeps in mind how it was written to."""

    def __init__(self) -> None:
        self.requests: list[Sequence[Draft]] = []
        self.at_once = 0
        self.most_at_once = 0

    async def write(self, drafts: Sequence[Draft]) -> None:
        self.requests.append(drafts)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1


def found(figures: dict[str, dict[str, float]]) -> Results:
    return {
        contender: {name: Summary.of([value]) for name, value in metrics.items()}
        for contender, metrics in figures.items()
    }


def test_every_event_is_one_kilobyte_of_json_and_no_other_has_its_id() -> None:
    drafts = Drafts()

    taken = [*drafts.take(AGGREGATES), *drafts.take(AGGREGATES)]

    assert {len(draft.data.encode()) for draft in taken} == {DATA_BYTES}
    assert all(isinstance(orjson.loads(draft.data), dict) for draft in taken)
    assert len({draft.source_id for draft in taken}) == len(taken)
    assert len({draft.key for draft in taken}) == AGGREGATES


@pytest.mark.parametrize("shape", [ONE, MANY, BATCHES])
async def test_a_shape_keeps_its_publishers_busy_and_counts_every_acknowledged_event(
    shape: Shape,
) -> None:
    log = Memory()

    seen = await publish(log, Drafts(), shape, 0.01)

    assert log.most_at_once == shape.publishers
    assert {len(request) for request in log.requests} == {shape.events}
    assert seen.events == sum(len(request) for request in log.requests)
    assert len(seen.latencies_ms) == len(log.requests)


async def test_a_log_slower_than_the_round_still_has_a_rate() -> None:
    seen = await publish(Memory(), Drafts(), BATCHES, 0.0)

    assert seen.events == BATCHES.publishers * BATCHES.events
    assert seen.per_s > 0


async def test_a_refused_event_ends_the_run() -> None:
    class Refusing:
        async def write(self, drafts: Sequence[Draft]) -> None:
            raise ConnectionError("an event was not acknowledged")

    with pytest.raises(ExceptionGroup, match="unhandled"):
        await measure(Refusing(), Drafts(), 0.01)


def test_goals_compare_the_actor_path_within_one_run() -> None:
    results = found(
        {
            ACTOR: {"c32_per_s": 4_000, "b200_per_s": 21_000},
            BARE: {"c32_per_s": 5_000},
            ALWAYS: {"c32_per_s": 2_000},
            END: {"drain_per_s": 4_999, "handled_ms_p50": 9, "handled_ms_p99": 51},
        }
    )

    judged = {goal.name: (goal.measured, goal.met) for goal in goals(results)}

    assert judged == {
        "c32_over_bare": (0.8, True),
        "c32_over_jetstream": (2.0, True),
        "b200_per_s": (21_000, True),
        "drain_per_s": (4_999, False),
        "handled_ms_p50": (9, True),
        "handled_ms_p99": (51, False),
    }


def test_a_contender_that_is_missing_meets_no_goal() -> None:
    assert not any(goal.met for goal in goals({}))


def test_http_says_an_event_as_a_structured_cloudevent_with_its_length() -> None:
    body = orjson.dumps(structured(Draft(7, '{"a":1}')))

    head, _, sent = (
        request(8000, "token", cloudevents.STRUCTURED, body).decode().partition("\r\n\r\n")
    )

    assert f"Content-Length: {len(sent)}" in head.split("\r\n")
    assert "Content-Type: application/cloudevents+json" in head.split("\r\n")
    assert orjson.loads(sent) == {
        "specversion": "1.0",
        "id": "e7",
        "source": "/benchmarks/events/http",
        "type": "custom.bench.published",
        "subject": "thing-7",
        "datacontenttype": "application/json",
        "data": {"a": 1},
    }
