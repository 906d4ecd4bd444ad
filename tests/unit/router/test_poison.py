"""Events that kill their handler, hang, or raise, among others that do not."""

import asyncio
from collections.abc import Collection
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import HandlerLost, InvalidTransition
from actors.events import DeliverEvent, DeliverEvents, Priority, StoredEvent
from actors.router.routing import Subscription
from actors.runtime.message import Message, Outcome, Position, ReplyT
from tests.fixtures.router import QUICK, MemoryRouterStore, log_of, running, stored_event, until

TASK = Subscription("task.all", "task", ("sage.incident.*",))


class FragilePool:
    """Two members, of which one has what is kept apart. One that dies fails all it has.

    Attributes:
        effects: event ids in the order in which they took effect.
        deaths: of members.
        overlapped: aggregates of which two events were here at once.
        apart_at_once: the most that was kept apart at a time.
    """

    def __init__(
        self,
        *,
        deadly: Collection[str] = (),
        wrong: Collection[str] = (),
        hanging: Collection[str] = (),
        rolls: Random | None = None,
    ) -> None:
        self._deadly, self._wrong, self._hanging = deadly, wrong, hanging
        self._rolls = rolls or Random(1)  # noqa: S311  # the same run each time
        self._lives = {False: 0, True: 0}
        self._inside: list[str] = []
        self._apart = 0
        self.effects: list[str] = []
        self.deaths = 0
        self.overlapped: list[str] = []
        self.apart_at_once = 0

    async def ask(self, message: Message[ReplyT], *, timeout_s: float | None = None) -> ReplyT:
        assert isinstance(message, DeliverEvent | DeliverEvents)
        events = message.events if isinstance(message, DeliverEvents) else (message.event,)
        aggregates = {event.aggregate_id for event in events}
        self.overlapped += [one for one in aggregates if one in self._inside]
        self._inside += aggregates
        self._apart += message.apart
        self.apart_at_once = max(self.apart_at_once, self._apart)
        try:
            await self._handle(events, message.apart)
        finally:
            self._apart -= message.apart
            for one in aggregates:
                self._inside.remove(one)
        reply: Any = None
        answer: ReplyT = reply
        return answer

    async def ask_outcome(
        self, message: Message[ReplyT], *, timeout_s: float | None = None
    ) -> Outcome[ReplyT]:
        raise NotImplementedError

    async def _handle(self, events: tuple[StoredEvent, ...], apart: bool) -> None:
        ids = [event.event_id for event in events]
        life = self._lives[apart]
        for _ in range(self._rolls.randrange(1, 5)):
            await asyncio.sleep(0)
            if self._lives[apart] != life:
                raise HandlerLost("task")
        if any(one in self._deadly for one in ids):
            self._lives[apart] += 1
            self.deaths += 1
            raise HandlerLost("task")
        if any(one in self._hanging for one in ids):
            await asyncio.Event().wait()
        if any(one in self._wrong for one in ids):
            raise InvalidTransition("incident", "open", "closed")
        self.effects += [one for one in ids if one not in self.effects]


@pytest.mark.parametrize("batch", [1, 4])
async def test_what_kills_its_handler_is_found_among_those_that_failed_with_it(batch: int) -> None:
    deadly = {"evt_7", "evt_23"}
    store, pool = MemoryRouterStore(log=log_of(40)), FragilePool(deadly=deadly)

    async with running(store, {"task": pool}, TASK, batch=batch):
        await until(lambda: store.cursors.get("task.all") == Position(10, 40))

    reason = "dependency_unavailable: a process of task was lost while it handled this"
    assert store.dead == {("task.all", one): reason for one in deadly}
    assert set(pool.effects) == {event.event_id for event in store.log} - deadly
    assert pool.apart_at_once == 1


async def test_a_handler_dies_of_an_event_as_often_as_it_may_be_tried() -> None:
    store, pool = MemoryRouterStore(log=log_of(1)), FragilePool(deadly={"evt_1"})

    async with running(store, {"task": pool}, TASK):
        await until(lambda: bool(store.dead))

    assert pool.deaths == QUICK.max_attempts


async def test_suspects_of_a_subscription_that_was_paused_are_delivered_when_it_goes_on() -> None:
    declared = replace(TASK, declared_as="sub_1")
    store = MemoryRouterStore(log=log_of(30), declarations=[declared])
    pool = FragilePool(deadly={"evt_3"})

    async with running(store, {"task": pool}) as relay:
        await until(lambda: pool.deaths > 0)
        store.declare()
        await until(lambda: relay.serving().subscription_of(TASK.name) is None)
        store.declare(declared)
        await until(lambda: store.cursors.get(TASK.name) == Position(10, 30))

    assert list(store.dead) == [("task.all", "evt_3")]
    assert len(pool.effects) == 29


async def test_an_event_that_hangs_holds_its_batch_for_one_deadline_and_other_batches_not() -> None:
    store = MemoryRouterStore(log=log_of(24, aggregates=24))
    pool = FragilePool(hanging={"evt_2"})
    numbers = QUICK.model_copy(
        update={"ack_timeout_s": 0.3, "batch_prompt_s": 0.001, "batches_in_flight": 1,
                "window": 24, "read_batch": 24, "max_in_flight": 16}
    )  # fmt: skip

    async with running(store, {"task": pool}, TASK, numbers=numbers, batch=4):
        await until(lambda: len(pool.effects) == 20)
        held = {event.event_id for event in store.log} - set(pool.effects)
        await until(lambda: len(pool.effects) == 23)

    assert held == {"evt_1", "evt_2", "evt_3", "evt_4"}


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 60),
    deadly=st.sets(st.integers(1, 60), max_size=3),
    wrong=st.sets(st.integers(1, 60), max_size=3),
    batch=st.sampled_from([1, 5]),
    router_deaths=st.integers(0, 3),
)
def test_whatever_dies_poison_is_given_up_and_the_rest_takes_effect_in_order(
    seed: int, count: int, deadly: set[int], wrong: set[int], batch: int, router_deaths: int
) -> None:
    rolls = Random(seed)  # noqa: S311  # the same run for the same seed
    pool = FragilePool(
        deadly={f"evt_{seq}" for seq in deadly},
        wrong={f"evt_{seq}" for seq in wrong - deadly},
        rolls=rolls,
    )

    store = asyncio.run(_survives(rolls, pool, count, batch, router_deaths))

    poison = {f"evt_{seq}" for seq in deadly | wrong if seq <= count}
    assert {event_id for _, event_id in store.dead} == poison
    assert (pool.overlapped, max(pool.apart_at_once, 1)) == ([], 1)
    for aggregate in {event.aggregate_id for event in store.log}:
        expected = [
            event.event_id
            for event in store.log
            if event.aggregate_id == aggregate and event.event_id not in poison
        ]
        assert [one for one in pool.effects if one in expected] == expected


async def _survives(
    rolls: Random, pool: FragilePool, count: int, batch: int, router_deaths: int
) -> MemoryRouterStore:
    store = MemoryRouterStore(
        log=[
            stored_event(seq, aggregate=f"inc_{rolls.randrange(6)}", version=seq,
                         priority=rolls.choice(list(Priority)))
            for seq in range(1, count + 1)
        ]
    )  # fmt: skip
    for _ in range(router_deaths):
        async with running(store, {"task": pool}, TASK, batch=batch):
            for _ in range(rolls.randrange(30)):
                await asyncio.sleep(0)
    async with running(store, {"task": pool}, TASK, batch=batch):
        await until(lambda: store.cursors.get("task.all") == Position(10, count))
    return store
