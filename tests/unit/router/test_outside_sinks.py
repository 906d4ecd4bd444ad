"""A channel to a receiver that is not ours: what happens while it is down, slow or strict."""

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

from actors.bus.messages import DeliveryPolicy, PullSink
from actors.errors import DependencyUnavailable, ElderGuildError, Gone, Overloaded
from actors.events import Priority, StoredEvent
from actors.router.pace import Pace
from actors.router.relay import Relay
from actors.router.routing import Subscription
from actors.runtime.message import Position
from actors.settings import RouterSettings
from actors.webhooks.answers import Declined
from tests.fixtures.router import QUICK, MemoryRouterStore, stored_event, until

Behave = Callable[[Sequence[StoredEvent]], ElderGuildError | None]
WIDE = QUICK.model_copy(update={"window": 500, "read_batch": 100, "max_in_flight": 64})
POLICY = DeliveryPolicy(max_attempts=3, backoff_s=(0.0,), max_in_flight=64)
HOOK = Subscription(
    "sub_1@1",
    "",
    ("sage.*",),
    sink=PullSink(),  # any: the test makes the sink
    policy=POLICY,
    declared_as="sub_1",
)


class ScriptedReceiver:
    """A sink that answers as the test says."""

    def __init__(self, behave: Behave, pace: Pace, batch: int = 1) -> None:
        self.batch = batch
        self.pace = pace
        self._behave = behave
        self.calls: list[tuple[float, list[str]]] = []
        self.effects: list[StoredEvent] = []
        self.under_way = 0
        self.most_under_way = 0

    async def deliver(self, delivery: str, events: Sequence[StoredEvent], timeout_s: float) -> None:
        self.calls.append((time.monotonic(), [event.event_id for event in events]))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0.001)
        self.under_way -= 1
        failure = self._behave(events)
        if failure is not None:
            raise failure
        self.effects += events

    async def close(self) -> None:
        return None


def pace(**changes: float | None) -> Pace:
    fields = {"rest_after": 5, "rest_s": 0.02, "rest_max_s": 0.04, "at_once": 8, **changes}
    return Pace(**fields)  # type: ignore[arg-type]  # the test's own numbers


def log_of(count: int, aggregates: int = 50) -> list[StoredEvent]:
    return [
        stored_event(seq, aggregate=f"inc_{seq % aggregates}", version=1 + seq // aggregates)
        for seq in range(1, count + 1)
    ]


@asynccontextmanager
async def running(
    store: MemoryRouterStore, sink: ScriptedReceiver, numbers: RouterSettings = WIDE
) -> AsyncIterator[Relay]:
    relay = Relay(store, lambda _: sink, numbers, subscriptions=(HOOK,))
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def assert_in_order(effects: Sequence[StoredEvent]) -> None:
    seen = defaultdict(list)
    for event in effects:
        seen[event.aggregate_id].append(event.aggregate_version)
    assert all(versions == sorted(versions) for versions in seen.values())


async def test_a_receiver_that_is_down_is_tried_now_and_then_and_misses_nothing() -> None:
    store, is_down = MemoryRouterStore(log=log_of(400)), True
    sink = ScriptedReceiver(lambda _: Declined(500) if is_down else None, pace())

    async with running(store, sink):
        await until(lambda: len(sink.calls) >= 20)
        tried_while_down = [at for at, _ in sink.calls]
        is_down = False
        await until(lambda: store.cursors.get(HOOK.name) == Position(10, 400))

    one_by_one = tried_while_down[5 + 8 :]  # after those that began the rest or were under way
    assert all(later - at >= 0.02 for at, later in pairwise(one_by_one))
    assert store.dead == {}
    assert len(sink.effects) == 400
    assert_in_order(sink.effects)


async def test_a_receiver_that_is_back_gets_its_batches_again_around_the_one_it_refuses() -> None:
    is_down = True

    def behave(events: Sequence[StoredEvent]) -> ElderGuildError | None:
        poison = any(one.event_id == "evt_1" for one in events)
        return Declined(500) if is_down or poison else None

    store = MemoryRouterStore(log=log_of(100))
    sink = ScriptedReceiver(behave, pace(), batch=20)

    async with running(store, sink):
        await until(lambda: len(sink.calls) >= 20)
        is_down = False
        await until(lambda: store.cursors.get(HOOK.name) == Position(10, 100))

    assert set(store.dead) == {(HOOK.name, "evt_1")}
    assert any(len(ids) > 1 for _, ids in sink.calls[20:])
    assert_in_order(sink.effects)


async def test_an_event_that_is_refused_while_others_are_taken_ends_in_the_dead_letters() -> None:
    def refuse_three(events: Sequence[StoredEvent]) -> ElderGuildError | None:
        return Declined(500) if events[0].event_id == "evt_3" else None

    store = MemoryRouterStore(log=log_of(200))
    sink = ScriptedReceiver(refuse_three, pace())

    async with running(store, sink):
        await until(lambda: store.cursors.get(HOOK.name) == Position(10, 200))

    assert store.dead == {(HOOK.name, "evt_3"): "declined: the receiver answered 500"}
    assert sum(ids == ["evt_3"] for _, ids in sink.calls) == POLICY.max_attempts
    assert len(sink.effects) == 199


async def test_a_receiver_that_nobody_finds_costs_no_attempt() -> None:
    store, is_away = MemoryRouterStore(log=log_of(100)), True
    sink = ScriptedReceiver(
        lambda _: DependencyUnavailable("the receiver") if is_away else None, pace()
    )

    async with running(store, sink):
        await until(lambda: len(sink.calls) >= 30)
        is_away = False
        await until(lambda: store.cursors.get(HOOK.name) == Position(10, 100))

    assert store.dead == {}
    assert_in_order(sink.effects)


async def test_a_pause_that_one_answer_asks_for_holds_for_all_events() -> None:
    asked = iter([Overloaded(0.1, "the receiver")])
    store = MemoryRouterStore(log=log_of(60))
    sink = ScriptedReceiver(lambda _: next(asked, None), pace(at_once=1))

    async with running(store, sink):
        await until(lambda: store.cursors.get(HOOK.name) == Position(10, 60))

    (first, _), (second, _) = sink.calls[:2]
    assert second - first >= 0.1
    assert store.dead == {}


async def test_no_more_requests_are_under_way_than_the_receiver_is_given() -> None:
    store = MemoryRouterStore(log=log_of(100))
    sink = ScriptedReceiver(lambda _: None, pace(at_once=3))
    store.log += [
        stored_event(seq, aggregate=f"u_{seq}", priority=Priority.HIGH) for seq in range(101, 151)
    ]

    async with running(store, sink):
        await until(lambda: store.cursors.get(HOOK.name) == Position(10, 150))

    assert sink.most_under_way == 3


async def test_a_flood_of_urgent_events_leaves_the_routine_ones_their_share() -> None:
    urgent = [
        stored_event(seq, aggregate=f"u_{seq}", priority=Priority.CRITICAL) for seq in range(1, 201)
    ]
    routine = [stored_event(seq, aggregate=f"r_{seq}") for seq in range(201, 221)]
    store = MemoryRouterStore(log=[*urgent, *routine])
    sink = ScriptedReceiver(lambda _: None, pace(at_once=4))

    async with running(store, sink):
        await until(lambda: store.cursors.get(HOOK.name) == Position(10, 220))

    order = [event.priority for event in sink.effects]
    assert order.index(Priority.NORMAL) < 190
    assert order[0] is Priority.CRITICAL


async def test_a_rate_is_kept_and_nothing_is_lost_for_it() -> None:
    store = MemoryRouterStore(log=log_of(40))
    sink = ScriptedReceiver(lambda _: None, pace(per_minute=1_200))

    began = time.monotonic()
    async with running(store, sink):
        await until(lambda: store.cursors.get(HOOK.name) == Position(10, 40))
    took_s = time.monotonic() - began

    assert took_s >= 20 / 20  # a second's worth at once, the other 20 at 20 a second
    assert len(sink.effects) == 40


async def test_one_of_a_batch_that_is_refused_is_found_and_the_others_arrive() -> None:
    def refuse_seven(events: Sequence[StoredEvent]) -> ElderGuildError | None:
        return Declined(422) if any(one.event_id == "evt_7" for one in events) else None

    store = MemoryRouterStore(log=log_of(60))
    sink = ScriptedReceiver(refuse_seven, pace(), batch=10)

    async with running(store, sink):
        await until(lambda: store.cursors.get(HOOK.name) == Position(10, 60))

    assert store.dead == {(HOOK.name, "evt_7"): "declined: the receiver answered 422"}
    assert {event.event_id for event in sink.effects} == {
        f"evt_{seq}" for seq in range(1, 61) if seq != 7
    }
    assert sink.most_under_way <= WIDE.batches_in_flight + 1
    assert_in_order(sink.effects)


async def test_who_is_gone_while_the_database_is_away_says_so_again() -> None:
    refusals = ["disable"]

    def trouble(operation: str) -> None:
        if operation in refusals:
            refusals.remove(operation)
            raise DependencyUnavailable("postgresql")

    store = MemoryRouterStore(log=log_of(5), trouble=trouble)
    sink = ScriptedReceiver(lambda _: Gone("the receiver"), pace())

    async with running(store, sink):
        await until(lambda: bool(store.disabled))

    assert refusals == []
    assert store.dead == {}


async def test_gone_disables_the_subscription_and_keeps_the_events() -> None:
    store = MemoryRouterStore(log=log_of(5))
    sink = ScriptedReceiver(lambda _: Gone("the receiver"), pace())

    async with running(store, sink):
        await until(lambda: bool(store.disabled))

    assert store.disabled == {"sub_1": "gone: the receiver wants nothing any more"}
    assert store.dead == {}
    assert HOOK.name not in store.cursors or store.cursors[HOOK.name] < Position(10, 1)
