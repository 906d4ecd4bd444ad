"""Pulling, acknowledging, waiting."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.bus.domain import pulling
from actors.bus.domain.pulling import Loan
from actors.bus.messages import AckEvents, DeliveryPolicy, NackEvents, PullEvents, SseSink
from actors.bus.sage.pulling import PullSage
from actors.errors import LateAck, NotFound, Overloaded, ValidationError
from actors.runtime.local import LocalPool
from actors.runtime.message import Command
from actors.settings import BusSettings
from tests.fixtures.bus_builders import context, key, new_subscription, put, stored_event
from tests.fixtures.bus_memory import MemoryPullStore, MemorySubscriptionStore, WaitingLine

ORDERS = new_subscription(delivery=DeliveryPolicy(backoff_s=(1.0, 5.0), ack_deadline_s=30.0))


class Sleeps:
    """Pauses that take no time; one line arrives during the third."""

    def __init__(self, pulls: MemoryPullStore) -> None:
        self._pulls = pulls
        self.pauses: list[float] = []
        self.arrives: WaitingLine | None = None

    async def __call__(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if len(self.pauses) == 3 and self.arrives is not None:
            self._pulls.lines.append(self.arrives)


@pytest.fixture
def pulls() -> MemoryPullStore:
    return MemoryPullStore()


@pytest.fixture
def sleeps(pulls: MemoryPullStore) -> Sleeps:
    return Sleeps(pulls)


@pytest.fixture
async def subscriptions() -> MemorySubscriptionStore:
    store = MemorySubscriptionStore()
    await store.commit(ORDERS, origin="end", meaning=None, cause=put())
    return store


@pytest.fixture
def pool(
    pulls: MemoryPullStore, subscriptions: MemorySubscriptionStore, sleeps: Sleeps
) -> LocalPool:
    settings = BusSettings(max_pull=10, pull_poll_s=0.1)
    return LocalPool(
        PullSage(pulls, subscriptions, settings, lane_share=0.25, sleep=sleeps).handlers()
    )


def pull(**changes: Any) -> PullEvents:
    asked: dict[str, Any] = {"context": context(), "command_id": key(), "name": "orders"}
    return PullEvents(**(asked | changes))


def ack(*ack_ids: str) -> AckEvents:
    return AckEvents(context=context(), command_id=key(), name="orders", ack_ids=ack_ids)


def nack(*ack_ids: str, **changes: Any) -> NackEvents:
    asked: dict[str, Any] = {"context": context(), "command_id": key(), "name": "orders"}
    return NackEvents(**(asked | {"ack_ids": ack_ids} | changes))


def line(place: int = 1) -> WaitingLine:
    return WaitingLine(f"{ORDERS.subscription_id}@1", stored_event(place=place), urgent=False)


async def test_what_was_pulled_is_acknowledged_by_its_id(
    pool: LocalPool, pulls: MemoryPullStore
) -> None:
    pulls.lines.append(line())

    (pulled,) = await pool.ask(pull())
    await pool.ask(ack(pulled.ack_id))

    assert pulls.lines[0].finished == "acknowledged"


async def test_who_waits_gets_what_arrives_meanwhile(pool: LocalPool, sleeps: Sleeps) -> None:
    sleeps.arrives = line()

    (pulled,) = await pool.ask(pull(wait_s=10.0))

    assert pulled.event == sleeps.arrives.event
    assert sleeps.pauses == [0.1, 0.1, 0.1]


async def test_who_does_not_wait_gets_nothing_at_once(pool: LocalPool, sleeps: Sleeps) -> None:
    assert await pool.ask(pull()) == ()
    assert sleeps.pauses == []


async def test_only_so_many_wait_and_the_others_get_what_there_is_or_are_told_to_come_back(
    pulls: MemoryPullStore, subscriptions: MemorySubscriptionStore
) -> None:
    end = asyncio.Event()

    async def until_the_end(_: float) -> None:
        await end.wait()

    settings = BusSettings(max_waiting_pulls=1)
    sage = PullSage(pulls, subscriptions, settings, lane_share=0.25, sleep=until_the_end)
    pool = LocalPool(sage.handlers())
    first = asyncio.create_task(pool.ask(pull(wait_s=0.01)))
    while not sage.waiting:  # noqa: ASYNC110  # the first look takes a few turns of the loop
        await asyncio.sleep(0)

    with pytest.raises(Overloaded):
        await pool.ask(pull(wait_s=10.0))
    pulls.lines.append(line())
    (pulled,) = await pool.ask(pull(wait_s=10.0))
    end.set()

    assert pulled.event == pulls.lines[0].event
    assert await first == ()
    assert sage.waiting == 0


async def test_a_line_that_is_put_away_does_not_cost_a_pause(
    pool: LocalPool, pulls: MemoryPullStore, sleeps: Sleeps
) -> None:
    used_up, behind = line(1), line(2)
    used_up.attempt = ORDERS.delivery.max_attempts
    pulls.lines += [used_up, behind]

    (pulled,) = await pool.ask(pull(wait_s=10.0))

    assert pulled.event == behind.event
    assert sleeps.pauses == []


async def test_a_paused_subscription_gives_nothing(
    pool: LocalPool,
    pulls: MemoryPullStore,
    subscriptions: MemorySubscriptionStore,
) -> None:
    pulls.lines.append(line())
    paused = new_subscription(
        subscription_id=ORDERS.subscription_id, state="paused", version=2, delivery=ORDERS.delivery
    )
    await subscriptions.commit(paused, origin=None, meaning=None, cause=put())

    assert await pool.ask(pull()) == ()


async def test_a_refused_line_rests_as_its_policy_says_or_as_long_as_asked(
    pool: LocalPool, pulls: MemoryPullStore
) -> None:
    pulls.lines.append(line())

    for delay_s, expected in ((None, 1.0), (None, 5.0), (None, 5.0), (0.5, 0.5)):
        (pulled,) = await pool.ask(pull())
        await pool.ask(nack(pulled.ack_id, delay_s=delay_s))
        assert pulls.lines[0].available_at - pulls.now_s == expected
        pulls.now_s += expected


async def test_a_late_acknowledgement_is_a_conflict(
    pool: LocalPool, pulls: MemoryPullStore
) -> None:
    pulls.lines.append(line())
    (pulled,) = await pool.ask(pull())
    pulls.now_s += 31

    with pytest.raises(LateAck):
        await pool.ask(ack(pulled.ack_id))


@pytest.mark.parametrize(
    "message",
    [
        pull(max_events=0),
        pull(max_events=11),
        pull(wait_s=-1.0),
        pull(wait_s=float("nan")),
        ack(),
        ack("x"),
        ack("1-2"),
        ack("1-2.3\n"),
        ack(*[f"1-{number}.1" for number in range(11)]),
        nack("1-2.1", delay_s=-1.0),
        nack("1-2.1", delay_s=float("nan")),
        nack("1-2.1", reason="x" * 501),
    ],
)
async def test_what_makes_no_sense_is_refused(pool: LocalPool, message: Command[Any]) -> None:
    with pytest.raises(ValidationError):
        await pool.ask(message)


async def test_only_what_is_pulled_can_be_pulled(
    pool: LocalPool, subscriptions: MemorySubscriptionStore
) -> None:
    shown = new_subscription("shown", sink=SseSink())
    await subscriptions.commit(shown, origin="end", meaning=None, cause=put())

    with pytest.raises(ValidationError):
        await pool.ask(pull(name="shown"))
    with pytest.raises(NotFound):
        await pool.ask(pull(name="nobody"))


@given(
    st.builds(
        Loan,
        st.integers(0, 10**18 - 1),
        st.integers(0, 10**18 - 1),
        st.integers(0, 10**9 - 1),
        st.none() | st.just("rpl_" + "0" * 26),
    )
)
def test_an_ack_id_names_its_attempt(loan: Loan) -> None:
    assert pulling.loans([str(loan)], 1) == [loan]


def test_an_id_given_twice_counts_once() -> None:
    assert pulling.loans(["1-2.3", "1-2.3"], 5) == [Loan(1, 2, 3)]


@given(st.integers(1, 20), st.integers(20, 60))
def test_the_routine_lane_gets_its_share_of_many_pulls(number: int, times: int) -> None:
    shares = pulling.Shares(0.25, 10)

    kept = sum(shares.routine("sub_1", number) for _ in range(times))

    assert abs(kept - number * times * 0.25) <= 1


def test_only_so_many_subscriptions_are_remembered() -> None:
    shares = pulling.Shares(0.25, 2)
    for name in ("a", "b", "c"):
        shares.routine(name, 3)

    assert [shares.routine(name, 1) for name in ("b", "c")] == [1, 1]
    assert shares.routine("a", 1) == 0
