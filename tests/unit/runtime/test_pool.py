import asyncio
from typing import Any

import pytest

from actors.embedding.endpoint import TextsRefused
from actors.errors import (
    DeadlineExceeded,
    DependencyUnavailable,
    HandlerLost,
    NotFound,
    VersionConflict,
)
from actors.runtime.message import Handlers
from tests.unit.runtime.member_side import Connection, settled
from tests.unit.runtime.pool_side import FIRST, SECOND, SETTINGS, Guild
from tests.unit.runtime.samples import CONTEXT, Abacus, Add, Deliver, Echo, Refuse, Wait

WARY = SETTINGS.model_copy(update={"lone_suspect_s": 3_600.0, "suspect_pause_s": 3_600.0})


class Flaky(Abacus):
    """Fails some times before it answers."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)

    def handlers(self) -> Handlers:
        return {**super().handlers(), Echo: self.fail_first}

    async def fail_first(self, query: Echo) -> str:
        if self.errors:
            raise self.errors.pop(0)
        return query.text


def echo(text: str = "x") -> Echo:
    return Echo(context=CONTEXT, text=text)


def delivery(name: str, *, apart: bool = False) -> Deliver:
    return Deliver(context=CONTEXT, command_id=f"sub/{name}", name=name, apart=apart)


async def test_a_message_is_answered() -> None:
    guild = Guild(FIRST, SECOND)

    assert await guild.pool.ask(echo("hello")) == "hello"


async def test_what_a_sage_refuses_is_not_asked_again() -> None:
    guild = Guild(FIRST)

    with pytest.raises(NotFound):
        await guild.pool.ask(Refuse(context=CONTEXT))

    assert guild.calls()[FIRST] == 1


async def test_a_lost_query_is_asked_of_another_member() -> None:
    guild = Guild(FIRST, SECOND)
    waiting = [
        asyncio.create_task(guild.pool.ask(Wait(context=CONTEXT, name="a"))) for _ in range(2)
    ]
    while len(guild.sage.started) < 2:
        await settled()
    (owner,) = [member for member, calls in guild.calls().items() if calls]

    guild.connections[owner].break_now()
    guild.sage.gate("a").set()

    assert await asyncio.gather(*waiting) == ["a", "a"]
    assert all(guild.calls().values())


async def test_a_lost_command_goes_out_again_as_a_second_attempt() -> None:
    guild = Guild(FIRST, SECOND)
    await guild.pool.ask(echo())
    (owner,) = [member for member, calls in guild.calls().items() if calls]
    guild.connections[owner].cut = True

    await guild.pool.ask(Add(context=CONTEXT, command_id="cmd_1"))

    other = SECOND if owner == FIRST else FIRST
    (envelope,) = guild.connections[other].batches[0].envelopes
    assert envelope.attempt == 2


async def test_a_delivery_that_a_member_was_lost_with_is_given_to_no_other_one() -> None:
    guild = Guild(FIRST, SECOND)
    asking = asyncio.create_task(guild.pool.ask(delivery("deadly")))
    while not guild.sage.started:
        await settled()
    (owner,) = [member for member, calls in guild.calls().items() if calls]

    guild.connections[owner].break_now()

    with pytest.raises(HandlerLost):
        await asking
    assert sum(guild.calls().values()) == 1


async def test_a_delivery_that_reached_nobody_goes_to_a_member_that_is_there() -> None:
    guild = Guild(FIRST, SECOND)
    for connection in guild.connections.values():
        connection.reached = False
    asking = asyncio.create_task(guild.pool.ask(delivery("late")))
    guild.sage.gate("late").set()
    await settled()

    guild.connections[SECOND].reached = True

    await asking
    assert guild.sage.started == ["late"]


async def test_what_may_kill_a_member_has_one_for_itself() -> None:
    guild = Guild(FIRST, SECOND)
    await asyncio.gather(*(guild.pool.ask(echo()) for _ in range(3)))
    (favourite,) = [member for member, calls in guild.calls().items() if calls]
    asking = asyncio.create_task(guild.pool.ask(delivery("suspect", apart=True)))
    while not guild.sage.started:
        await settled()
    other = SECOND if favourite == FIRST else FIRST

    await asyncio.gather(*(guild.pool.ask(echo()) for _ in range(60)))
    with pytest.raises(DependencyUnavailable) as second:
        await guild.pool.ask(delivery("another", apart=True), timeout_s=0.05)
    guild.sage.gate("suspect").set()
    await asking

    assert guild.calls()[other] == 1
    assert not isinstance(second.value, HandlerLost)


async def test_the_last_member_is_spared_until_the_lost_one_may_be_back() -> None:
    guild = Guild(FIRST, SECOND, settings=WARY)
    guild.sage.gate("suspect").set()
    await guild.pool.ask(echo())
    (owner,) = [member for member, calls in guild.calls().items() if calls]
    guild.connections[owner].cut = True
    await guild.pool.ask(echo())

    with pytest.raises(DependencyUnavailable):
        await guild.pool.ask(delivery("suspect", apart=True), timeout_s=0.05)
    guild.pool._died_at -= WARY.lone_suspect_s
    await guild.pool.ask(delivery("suspect", apart=True))

    assert guild.sage.started == ["suspect"]


async def test_a_member_that_only_falls_silent_is_not_waited_for_to_come_back() -> None:
    guild = Guild(FIRST, SECOND, settings=WARY)
    guild.sage.gate("suspect").set()
    await guild.pool.ask(echo())
    (owner,) = [member for member, calls in guild.calls().items() if calls]
    guild.connections[owner].hold = asyncio.Event()
    with pytest.raises(HandlerLost):
        await guild.pool.ask(delivery("late"))

    await guild.pool.ask(delivery("suspect", apart=True))

    assert guild.sage.started == ["suspect"]


async def test_messages_that_are_lost_together_are_one_failure_of_their_member() -> None:
    guild = Guild(FIRST, SECOND)
    asks = [asyncio.create_task(guild.pool.ask_outcome(delivery(name))) for name in "abcd"]
    while len(guild.sage.started) < 4:
        await settled()
    (owner,) = [member for member, calls in guild.calls().items() if calls]

    guild.connections[owner].break_now()
    await asyncio.gather(*asks)

    assert guild.pool._breakers[owner].failures == 1


async def test_a_member_that_was_lost_is_avoided() -> None:
    guild = Guild(FIRST, SECOND)
    await guild.pool.ask(echo())
    (owner,) = [member for member, calls in guild.calls().items() if calls]
    guild.connections[owner].cut = True
    await guild.pool.ask(echo())
    before = guild.calls()[owner]

    for _ in range(10):
        await guild.pool.ask(echo())

    assert guild.calls()[owner] == before


async def test_the_last_member_is_tried_even_if_it_was_lost() -> None:
    guild = Guild(FIRST)
    guild.connections[FIRST].cut = True
    asking = asyncio.create_task(guild.pool.ask(echo("back")))
    await asyncio.sleep(0.02)

    guild.connections[FIRST].cut = False

    assert await asking == "back"


async def test_retries_end_with_the_budget() -> None:
    guild = Guild(FIRST)
    guild.connections[FIRST].cut = True

    outcome = await guild.pool.ask_outcome(echo(), timeout_s=30)

    assert isinstance(outcome.error, DependencyUnavailable)
    assert outcome.error.name == "echo"
    assert guild.calls()[FIRST] > 2


async def test_something_behind_the_member_that_is_away_for_a_moment_is_waited_for() -> None:
    guild = Guild(FIRST)
    sage = Flaky(DependencyUnavailable("postgres"), VersionConflict("incident", "inc_1"))
    guild.connections[FIRST] = Connection(sage, SETTINGS)

    assert await guild.pool.ask(echo("at last")) == "at last"


async def test_something_behind_the_member_that_says_no_is_not_asked_again() -> None:
    guild = Guild(FIRST)
    guild.connections[FIRST] = Connection(Flaky(TextsRefused("status 422")), SETTINGS)

    with pytest.raises(TextsRefused):
        await guild.pool.ask(echo())


async def test_a_lasting_conflict_is_told_after_three_attempts() -> None:
    guild = Guild(FIRST)
    sage = Flaky(*[VersionConflict("incident", "inc_1")] * 9)
    guild.connections[FIRST] = Connection(sage, SETTINGS)

    with pytest.raises(VersionConflict):
        await guild.pool.ask(echo())

    assert len(sage.errors) == 6


async def test_messages_of_one_key_go_to_one_member() -> None:
    guild = Guild(FIRST, SECOND)

    for key in range(20):
        before = guild.calls()
        for _ in range(3):
            await guild.pool.ask(Add(context=CONTEXT, command_id=f"cmd_{key}", group=f"inc_{key}"))
        asked = [member for member, calls in guild.calls().items() if calls > before[member]]
        assert len(asked) == 1

    assert all(guild.calls().values())


async def test_few_messages_share_one_member_and_many_use_both() -> None:
    guild = Guild(FIRST, SECOND)

    await asyncio.gather(*(guild.pool.ask(echo()) for _ in range(3)))
    few = [calls for calls in guild.calls().values() if calls]
    await asyncio.gather(*(guild.pool.ask(echo()) for _ in range(60)))
    many = guild.calls().values()

    assert few == [3]
    assert min(many) > 10


async def test_a_pool_without_members_waits_for_them() -> None:
    guild = Guild()
    asking = asyncio.create_task(guild.pool.ask(echo("finally")))
    await settled()

    guild.source.announce(SECOND)

    assert await asking == "finally"


async def test_a_pool_that_stays_without_members_is_unavailable() -> None:
    guild = Guild()

    with pytest.raises(DependencyUnavailable) as error:
        await guild.pool.ask(echo(), timeout_s=0.05)

    assert error.value.name == "echo"


async def test_what_waits_for_a_member_that_leaves_goes_to_one_that_stays() -> None:
    guild = Guild(FIRST)
    held = guild.connections[FIRST].hold = asyncio.Event()
    asks: list[asyncio.Task[Any]] = []
    for number in range(5):
        asks.append(asyncio.create_task(guild.pool.ask(echo(str(number)))))
        await settled()

    guild.source.announce(SECOND)
    await settled()
    held.set()

    assert await asyncio.gather(*asks) == [str(number) for number in range(5)]
    assert guild.calls() == {FIRST: 2, SECOND: 3}


async def test_the_deadline_holds_whatever_happens() -> None:
    guild = Guild(FIRST)

    with pytest.raises(DeadlineExceeded):
        await guild.pool.ask(Wait(context=CONTEXT, name="for ever"), timeout_s=0.03)


async def test_a_closed_pool_answers_everybody() -> None:
    guild = Guild(FIRST)
    asking = asyncio.create_task(
        guild.pool.ask_outcome(Wait(context=CONTEXT, name="for ever"), timeout_s=0.3)
    )
    await settled()

    await guild.pool.close()

    assert (await asking).error is not None


async def test_the_last_roster_stands_while_the_supervisor_is_away() -> None:
    guild = Guild(SECOND)
    assert await guild.pool.ask(echo()) == "x"
    guild.source.away = True
    guild.source.announce()

    await asyncio.sleep(0.01)

    assert guild.directory.members("echo") == (SECOND,)
    assert await guild.pool.ask(echo()) == "x"


async def test_a_cold_start_without_a_supervisor_uses_who_exists() -> None:
    guild = Guild(SECOND)
    guild.source.away = True

    assert await guild.pool.ask(echo()) == "x"

    assert guild.directory.members("echo") == (FIRST,)


async def test_the_word_of_a_deposed_supervisor_is_not_taken() -> None:
    guild = Guild()
    guild.source.announce(FIRST, epoch=7)
    await guild.directory.wait_for_members("echo", 1)

    guild.source.announce(SECOND, epoch=6)
    await settled()

    assert guild.directory.members("echo") == (FIRST,)
    await guild.directory.close()
