import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.errors import DependencyUnavailable, Gone, InvalidTransition, NotFound
from actors.events import DeliverEvent, Priority, StoredEvent
from actors.router.redrive import Redriven, redrive
from actors.router.relay import Relay
from actors.router.routing import Subscription
from actors.runtime.message import Permission, Position
from actors.storage.leaders import LeadershipLost
from actors.storage.log import Unreadable
from tests.fixtures.router import (
    GUILD,
    QUICK,
    MemoryRouterStore,
    ScriptedPool,
    log_of,
    running,
    stored_event,
    to_pools,
    until,
)

TASK = Subscription("task.all", "task", ("sage.incident.*",))
INDEX = Subscription("rag.all", "rag", ("sage.incident.*",))


async def test_every_event_is_delivered_and_the_cursor_reaches_the_end() -> None:
    store, pool = MemoryRouterStore(log=log_of(40)), ScriptedPool()

    async with running(store, {"task": pool}, TASK):
        await until(lambda: store.cursors.get("task.all") == Position(10, 40))

    assert sorted(pool.effects) == sorted(event.event_id for event in store.log)
    assert pool.arrived == pool.effects


async def test_a_delivery_says_whose_it_is_and_what_caused_it() -> None:
    event = stored_event(1)
    store, pool = MemoryRouterStore(log=[event]), ScriptedPool()

    async with running(store, {"task": pool}, TASK):
        await until(lambda: bool(pool.effects))

    (message,) = pool.messages
    context = message.context
    assert message.command_id == "task.all/evt_1"
    assert (message.subscription, message.event) == ("task.all", event)
    assert (context.correlation_id, context.causation_id) == (event.correlation_id, "evt_1")
    assert (context.caller.guild_id, context.caller.principal_id) == (GUILD, "sage:router")
    assert all(context.caller.may(permission) for permission in Permission)


async def test_subscriptions_at_the_same_place_share_one_reading_of_the_log() -> None:
    store = MemoryRouterStore(log=log_of(20))
    pools = {"task": ScriptedPool(), "rag": ScriptedPool()}
    calm = QUICK.model_copy(update={"poll_interval_s": 60.0, "window": 100, "refresh_s": 60.0})

    async with running(store, pools, TASK, INDEX, numbers=calm):
        await until(lambda: len(store.cursors) == 2)
        await until(lambda: set(store.cursors.values()) == {Position(10, 20)})

    assert len(store.reads) == len(set(store.reads)) == 6


async def test_one_that_lags_does_not_hold_up_another() -> None:
    blocked = asyncio.Event()

    async def wait(_: DeliverEvent) -> None:
        await blocked.wait()

    store = MemoryRouterStore(log=log_of(60))
    pools = {"task": ScriptedPool(wait), "rag": ScriptedPool()}

    async with running(store, pools, TASK, INDEX):
        await until(lambda: store.cursors.get("rag.all") == Position(10, 60))
        stuck = store.cursors.get("task.all")
        blocked.set()
        await until(lambda: store.cursors.get("task.all") == Position(10, 60))

    assert stuck in (None, Position(10, 0))
    assert len(pools["task"].effects) == 60


async def test_others_have_a_turn_between_the_filters_of_one_event() -> None:
    turns: list[str] = []

    def costly(_: StoredEvent) -> bool:
        turns.append("filter")
        return False

    async def another() -> None:
        while True:
            turns.append("another")
            await asyncio.sleep(0)

    store, pool = MemoryRouterStore(log=log_of(1)), ScriptedPool()
    costly_ones = [replace(TASK, name=f"task.{number}", accepts=costly) for number in range(3)]
    hurried = QUICK.model_copy(update={"hold_s": 1e-9})

    task = asyncio.create_task(another())
    async with running(store, {"task": pool}, *costly_ones, numbers=hurried):
        await until(lambda: turns.count("filter") == 3)
    task.cancel()

    first = turns.index("filter")
    assert turns[first : first + 5] == ["filter", "another", "filter", "another", "filter"]


async def test_a_nudge_makes_it_read_without_waiting_for_the_poll() -> None:
    store, pool = MemoryRouterStore(), ScriptedPool()
    slow_poll = QUICK.model_copy(update={"poll_interval_s": 60.0})

    async with running(store, {"task": pool}, TASK, numbers=slow_poll) as relay:
        await until(lambda: bool(store.reads))
        store.log.append(stored_event(1))
        relay.nudge()
        await until(lambda: bool(pool.effects))

    assert pool.effects == ["evt_1"]


async def test_without_any_nudge_polling_finds_it() -> None:
    store, pool = MemoryRouterStore(), ScriptedPool()

    async with running(store, {"task": pool}, TASK):
        await until(lambda: bool(store.reads))
        store.log.append(stored_event(1))
        await until(lambda: bool(pool.effects))

    assert pool.effects == ["evt_1"]


class _Counting(MemoryRouterStore):
    """While it counts the lag of one, another subscription comes and is opened."""

    async def start(self, subscriptions: Sequence[Subscription]) -> Any:
        self.opened = [*getattr(self, "opened", []), *subscriptions]
        return await super().start(subscriptions)

    async def lag(self, after: Position, *rest: Any) -> int:
        if not self.declarations:
            self.declare(INDEX)
            await until(lambda: INDEX in self.opened)
        return await super().lag(after, *rest)


async def test_subscriptions_may_come_while_their_states_are_asked() -> None:
    store, pool = _Counting(), ScriptedPool()

    async with running(store, {"task": pool, "rag": pool}, TASK) as relay:
        await until(lambda: bool(store.reads))
        before = await relay.states()
        after = await relay.states()

    assert [state.name for state in before] == ["task.all"]
    assert [state.name for state in after] == ["task.all", "rag.all"]


async def test_poison_is_tried_as_often_as_allowed_then_kept_with_its_reason() -> None:
    async def refuse_second(message: DeliverEvent) -> None:
        if message.event.event_id == "evt_2":
            raise InvalidTransition("incident", "open", "closed")

    store, pool = MemoryRouterStore(log=log_of(12, aggregates=1)), ScriptedPool(refuse_second)

    async with running(store, {"task": pool}, TASK) as relay:
        await until(lambda: store.cursors.get("task.all") == Position(10, 12))
        (state,) = await relay.states()

    assert store.dead == {
        ("task.all", "evt_2"): "invalid_transition: a incident that is open cannot become closed"
    }
    assert pool.arrived.count("evt_2") == QUICK.max_attempts
    assert pool.effects == [f"evt_{seq}" for seq in range(1, 13) if seq != 2]
    assert (state.given_up, state.dead_letters, state.lag) == (1, 1, 0)


async def test_an_absent_pool_costs_no_event_its_attempts() -> None:
    absences = iter(range(40))

    async def away_at_first(_: DeliverEvent) -> None:
        if next(absences, None) is not None:
            raise DependencyUnavailable("task")

    store, pool = MemoryRouterStore(log=log_of(4)), ScriptedPool(away_at_first)

    async with running(store, {"task": pool}, TASK):
        await until(lambda: store.cursors.get("task.all") == Position(10, 4))

    assert (len(pool.effects), store.dead) == (4, {})


async def test_patience_with_an_absent_pool_is_long_but_ends() -> None:
    async def away(_: DeliverEvent) -> None:
        raise DependencyUnavailable("task")

    store, pool = MemoryRouterStore(log=log_of(1)), ScriptedPool(away)
    impatient = QUICK.model_copy(update={"patience_s": 0.0})

    async with running(store, {"task": pool}, TASK, numbers=impatient):
        await until(lambda: bool(store.dead))

    assert store.dead == {("task.all", "evt_1"): "dependency_unavailable: task is not available"}


async def test_a_delivery_that_never_answers_is_ended_by_the_ack_timeout() -> None:
    async def hang(message: DeliverEvent) -> None:
        if message.event.aggregate_id == "inc_1":
            await asyncio.Event().wait()

    store, pool = MemoryRouterStore(log=log_of(400, aggregates=400)), ScriptedPool(hang)
    # The others are slow enough to be served during each attempt of the one that hangs.
    numbers = QUICK.model_copy(update={"ack_timeout_s": 0.01, "window": 400, "max_attempts": 2})

    async with running(store, {"task": pool}, TASK, numbers=numbers):
        await until(lambda: store.log[-1].event_id in pool.effects)
        await until(lambda: pool.arrived.count("evt_1") >= 2)

    assert len(pool.effects) == 399


async def test_a_dead_letter_waits_for_the_database_and_is_never_skipped() -> None:
    async def refuse(_: DeliverEvent) -> None:
        raise NotFound("incident", "inc_1")

    failures = iter(range(5))

    def database_is_away(operation: str) -> None:
        if operation == "give_up" and next(failures, None) is not None:
            raise DependencyUnavailable("postgres")

    store = MemoryRouterStore(log=log_of(1), trouble=database_is_away)

    async with running(store, {"task": ScriptedPool(refuse)}, TASK):
        await until(lambda: store.cursors.get("task.all") == Position(10, 1))

    assert list(store.dead) == [("task.all", "evt_1")]


async def test_a_subscription_that_wants_nothing_more_is_disabled_once_the_database_is_back() -> (
    None
):
    async def gone(_: DeliverEvent) -> None:
        raise Gone("the receiver")

    failures = iter(range(5))

    def database_is_away(operation: str) -> None:
        if operation == "disable" and next(failures, None) is not None:
            raise DependencyUnavailable("postgres")

    declared = replace(TASK, declared_as="sub_1")
    store = MemoryRouterStore(log=log_of(4), declarations=[declared], trouble=database_is_away)

    async with running(store, {"task": ScriptedPool(gone)}):
        await until(lambda: bool(store.disabled))

    assert store.disabled == {"sub_1": "gone: the receiver wants nothing any more"}
    assert store.dead == {}


async def test_reading_and_saving_outlive_a_database_that_goes_away() -> None:
    rolls = Random(7)  # noqa: S311  # the same run each time

    def flaky(operation: str) -> None:
        if operation != "start" and rolls.random() < 0.5:
            raise DependencyUnavailable("postgres")

    store, pool = MemoryRouterStore(log=log_of(60), trouble=flaky), ScriptedPool()

    async with running(store, {"task": pool}, TASK, renew_s=0.001):
        await until(lambda: store.cursors.get("task.all") == Position(10, 60))

    assert len(pool.effects) == 60


async def test_an_unreadable_event_goes_to_the_dead_letters_of_those_who_wanted_it() -> None:
    damaged = Unreadable("evt_9", GUILD, "sage.incident.created", Position(10, 2), "unreadable: x")
    store = MemoryRouterStore(
        log=[stored_event(1), stored_event(3, version=3)], unreadable=[damaged]
    )
    pool = ScriptedPool()

    async with running(store, {"task": pool}, TASK):
        await until(lambda: store.cursors.get("task.all") == Position(10, 3))

    assert store.dead == {("task.all", "evt_9"): "unreadable: x"}
    assert pool.effects == ["evt_1", "evt_3"]


async def test_a_deposed_router_stops_and_moves_no_cursor() -> None:
    store, pool = MemoryRouterStore(log=log_of(3), deposed=True), ScriptedPool()
    relay = Relay(store, to_pools(lambda _: pool), QUICK, subscriptions=(TASK,))

    with pytest.raises(LeadershipLost):
        await asyncio.wait_for(relay.run(), 5)

    assert store.cursors == {}


async def test_a_restarted_router_does_not_deliver_what_was_given_up() -> None:
    store, pool = MemoryRouterStore(log=log_of(6)), ScriptedPool()
    store.dead["task.all", "evt_3"] = "not_found"

    async with running(store, {"task": pool}, TASK):
        await until(lambda: store.cursors.get("task.all") == Position(10, 6))

    assert "evt_3" not in pool.arrived


async def test_what_is_read_is_shown_to_the_live_tail_once_and_in_order() -> None:
    shown: list[StoredEvent] = []
    store = MemoryRouterStore(log=log_of(40))
    pools = {"task": ScriptedPool(), "rag": ScriptedPool()}

    async with running(store, pools, TASK, INDEX, on_events=shown.extend):
        await until(lambda: set(store.cursors.values()) == {Position(10, 40)})

    assert shown == store.log


async def test_a_redrive_delivers_dead_letters_only_and_marks_those_that_took_effect() -> None:
    async def refuse_second(message: DeliverEvent) -> None:
        if message.event.event_id == "evt_2":
            raise NotFound("incident", "inc_2")

    store, pool = MemoryRouterStore(log=log_of(4)), ScriptedPool(refuse_second)
    store.dead = {("task.all", "evt_1"): "x", ("task.all", "evt_2"): "y"}

    done = await redrive(
        store,
        to_pools(lambda _: pool),
        QUICK,
        "task.all",
        ["evt_2", "evt_1", "evt_4"],
        subscriptions=(TASK,),
    )

    assert done == (
        Redriven("evt_1", None),
        Redriven("evt_2", "not_found: no such incident"),
        Redriven("evt_4", "not a dead letter"),
    )
    assert store.marked == {("task.all", "evt_1")}


async def test_a_redrive_of_an_unknown_subscription_is_refused() -> None:
    with pytest.raises(NotFound):
        await redrive(
            MemoryRouterStore(), to_pools(lambda _: ScriptedPool()), QUICK, "nobody", ["evt_1"]
        )


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    count=st.integers(1, 60),
    poison=st.sets(st.integers(1, 60), max_size=4),
    deaths=st.integers(0, 4),
)
def test_under_any_interleaving_and_restarts_everything_takes_effect_once_or_is_kept(
    seed: int, count: int, poison: set[int], deaths: int
) -> None:
    rolls = Random(seed)  # noqa: S311  # the same run for the same seed
    asyncio.run(_survives(rolls, count, {f"evt_{seq}" for seq in poison}, deaths))


async def _survives(rolls: Random, count: int, poison: set[str], deaths: int) -> None:
    store = MemoryRouterStore(
        log=[
            stored_event(seq, aggregate=f"inc_{rolls.randrange(6)}", version=seq,
                         priority=rolls.choice(list(Priority)))
            for seq in range(1, count + 1)
        ]
    )  # fmt: skip
    pool = ScriptedPool(_unreliable(rolls, poison))

    for _ in range(deaths):
        async with running(store, {"task": pool}, TASK):
            for _ in range(rolls.randrange(30)):
                await asyncio.sleep(0)
    async with running(store, {"task": pool}, TASK):
        await until(lambda: store.cursors.get("task.all") == Position(10, count))

    ids = {event.event_id for event in store.log}
    assert set(pool.effects) | {event_id for _, event_id in store.dead} == ids
    assert {event_id for _, event_id in store.dead} == poison & ids
    assert pool.overlapped == []
    for aggregate in {event.aggregate_id for event in store.log}:
        expected = [
            event.event_id
            for event in store.log
            if event.aggregate_id == aggregate and event.event_id not in poison
        ]
        assert [one for one in pool.effects if one in expected] == expected


def _unreliable(rolls: Random, poison: set[str]) -> Callable[[DeliverEvent], Any]:
    async def behave(message: DeliverEvent) -> None:
        for _ in range(rolls.randrange(4)):
            await asyncio.sleep(0)
        if message.event.event_id in poison:
            raise InvalidTransition("incident", "a", "b")
        if rolls.random() < 0.2:
            raise DependencyUnavailable("task")

    return behave
