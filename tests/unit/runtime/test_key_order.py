import asyncio
import random
from collections import defaultdict
from dataclasses import replace

import pytest

from actors.errors import DeadlineExceeded, Overloaded
from actors.runtime import placement
from actors.runtime.identity import MemberIdentity
from actors.runtime.message import GuildId
from actors.settings import RuntimeSettings
from tests.unit.runtime import pool_side
from tests.unit.runtime.member_side import settled
from tests.unit.runtime.pool_side import FIRST, SECOND, SETTINGS
from tests.unit.runtime.samples import CONTEXT, Abacus, Deliver, Restless, Wait

BOTH = (FIRST, SECOND)
KEY = next(str(number) for number in range(99) if placement.for_key(str(number), BOTH) == SECOND)
"""A key of the second member while there are two."""
PATIENT = SETTINGS.model_copy(
    update={"submit_timeout_s": 30, "collect_timeout_s": 30, "failover_budget_s": 30}
)
"""A machine that stands still for a moment is no lost member."""


class Guild(pool_side.Guild):
    """One that waits for a slow machine."""

    def __init__(
        self,
        *members: MemberIdentity,
        sage: Abacus | None = None,
        settings: RuntimeSettings = PATIENT,
    ) -> None:
        super().__init__(*members, sage=sage, settings=settings)


def asked(guild: Guild, name: str, key: str = KEY) -> "asyncio.Task[str]":
    return asyncio.create_task(guild.pool.ask(Wait(context=CONTEXT, name=name, group=key)))


async def test_a_key_goes_to_a_member_that_came_when_its_earlier_messages_are_done() -> None:
    guild = Guild(FIRST)
    first = asked(guild, "a")
    await settled()

    guild.source.announce(*BOTH)
    await settled()
    second = asked(guild, "b")
    await settled()
    before = list(guild.sage.started)
    guild.sage.gate("a").set()
    guild.sage.gate("b").set()
    await asyncio.gather(first, second)
    guild.sage.gate("c").set()
    await asked(guild, "c")

    assert before == ["a"]
    assert guild.sage.started == ["a", "b", "c"]
    assert guild.calls() == {FIRST: 1, SECOND: 2}


async def test_a_key_that_is_asked_for_all_the_time_moves_too() -> None:
    guild = Guild(FIRST)
    waiting = [asked(guild, "0"), asked(guild, "1")]
    await settled()
    guild.source.announce(*BOTH)
    await settled()

    for number in range(2, 12):  # there are always two of them on the way
        waiting.append(asked(guild, str(number)))
        guild.sage.gate(str(number - 2)).set()
        await waiting[number - 2]
    for number in (10, 11):
        guild.sage.gate(str(number)).set()
    await asyncio.gather(*waiting)

    assert guild.sage.started == [str(number) for number in range(12)]
    assert guild.calls() == {FIRST: 1, SECOND: 11}


async def test_a_key_leaves_a_member_that_goes_only_when_that_has_finished() -> None:
    guild = Guild(*BOTH)
    first = asked(guild, "a")
    await settled()

    guild.source.announce(FIRST)
    await settled()
    others = [asked(guild, name) for name in "bc"]
    other_key = asked(guild, "z", key="another key")
    await settled()
    before = list(guild.sage.started)
    for name in "abcz":
        guild.sage.gate(name).set()
    await asyncio.gather(first, *others, other_key)

    assert before == ["a", "z"]
    assert guild.sage.started == ["a", "z", "b", "c"]


async def test_what_was_lost_is_sent_again_before_what_came_after_it() -> None:
    guild = Guild(*BOTH)
    names = "abcdef"
    waiting = [asked(guild, name) for name in names]
    await settled()
    lost = list(guild.sage.started)

    guild.connections[SECOND].break_now()
    for name in names:
        guild.sage.gate(name).set()
    await asyncio.gather(*waiting)

    assert lost == ["a"]
    assert guild.calls()[FIRST] == len(names)
    assert guild.sage.started[-len(names) :] == list(names)


async def test_who_gives_up_waiting_does_not_hold_up_the_others() -> None:
    guild = Guild(*BOTH)
    first = asked(guild, "a")
    await settled()
    guild.source.announce(FIRST)
    await settled()
    impatient, patient = asked(guild, "b"), asked(guild, "c")
    await settled()

    impatient.cancel()
    for name in "abc":
        guild.sage.gate(name).set()
    await asyncio.gather(first, patient)

    assert guild.sage.started == ["a", "c"]


@pytest.mark.parametrize("seed", range(12))
async def test_whatever_the_roster_does_each_key_keeps_its_order(seed: int) -> None:
    dice = random.Random(seed)  # noqa: S311  # a test repeats itself
    guild = Guild(*BOTH, sage=Restless(dice))
    await settled()

    asking = []
    for number in range(200):
        key = f"key {dice.randrange(5)}"
        asking.append(asked(guild, f"{key} {number}", key=key))
        if dice.random() < 0.3:
            await settled(dice.randrange(4))
        if dice.random() < 0.15:
            guild.source.announce(*dice.choice((BOTH, (FIRST,), (SECOND,))))
    await asyncio.gather(*asking)

    seen = defaultdict(list)
    for name in guild.sage.started:
        key, _, place = name.rpartition(" ")
        seen[key].append(int(place))
    assert len(guild.sage.started) == 200
    assert all(numbers == sorted(numbers) for numbers in seen.values())


async def test_a_message_that_was_lost_is_not_overtaken_at_the_same_member() -> None:
    guild = Guild(SECOND)
    waiting = [asked(guild, name) for name in "ab"]
    await settled()

    guild.connections[SECOND].break_now()
    await settled()
    guild.connections[SECOND].restart(guild.sage)
    guild.connections[SECOND].cut = False
    await settled()
    guild.sage.gate("a").set()
    guild.sage.gate("b").set()
    await asyncio.gather(*waiting)

    assert guild.sage.started == ["a", "a", "b"]


async def test_who_waits_for_a_turn_that_does_not_come_is_told_so_in_time() -> None:
    guild = Guild(*BOTH)
    first = asked(guild, "a")
    await settled()

    with pytest.raises(DeadlineExceeded):
        await guild.pool.ask(Wait(context=CONTEXT, name="b", group=KEY), timeout_s=0.01)
    guild.sage.gate("a").set()
    await first

    assert guild.sage.started == ["a"]


async def test_guilds_that_choose_the_same_key_do_not_wait_for_each_other() -> None:
    guild = Guild(*BOTH)
    other = replace(CONTEXT, caller=replace(CONTEXT.caller, guild_id=GuildId("guild_2")))
    first = asked(guild, "a")
    await settled()

    second = asyncio.create_task(guild.pool.ask(Wait(context=other, name="b", group=KEY)))
    guild.sage.gate("b").set()
    await second

    assert guild.sage.started == ["a", "b"]
    guild.sage.gate("a").set()
    await first


async def test_what_is_kept_apart_holds_up_no_other_message_of_its_key() -> None:
    guild = Guild(*BOTH)
    suspect = Deliver(context=CONTEXT, command_id="cmd_1", name="suspect", group=KEY, apart=True)
    apart = asyncio.create_task(guild.pool.ask(suspect))
    while not guild.sage.started:
        await settled()

    guild.sage.gate("b").set()
    await asked(guild, "b")

    assert guild.sage.started == ["suspect", "b"]
    guild.sage.gate("suspect").set()
    await apart


async def test_more_than_a_mailbox_holds_do_not_wait_for_a_turn() -> None:
    guild = Guild(*BOTH, settings=PATIENT.model_copy(update={"mailbox_capacity": 2}))
    waiting = [asked(guild, name) for name in "abc"]
    await settled()

    with pytest.raises(Overloaded):
        await asked(guild, "d")
    depth = guild.pool.waiting
    for name in "abc":
        guild.sage.gate(name).set()
    await asyncio.gather(*waiting)

    assert depth == 2
    assert guild.sage.started == ["a", "b", "c"]
