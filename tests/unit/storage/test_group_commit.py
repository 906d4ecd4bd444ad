"""Who waits together is committed together, within bounds, and suffers for nobody else."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.bus.sage.publishing import limits
from actors.errors import DependencyUnavailable, Overloaded, ValidationError, VersionConflict
from actors.runtime import scope
from actors.runtime.message import GuildId
from actors.settings import BusSettings
from actors.storage.group_commit import GroupCommit

ONE, OTHER = GuildId("guild_one"), GuildId("guild_other")


class Log:
    """A log whose commits last until the test lets them end."""

    def __init__(self) -> None:
        self.groups: list[tuple[GuildId, list[str]]] = []
        self.gate = asyncio.Event()
        self.under_way = 0
        self.most_under_way = 0
        self.failures: list[Exception] = []
        self.gates: dict[GuildId, asyncio.Event] = {}

    async def write(self, guild_id: GuildId, items: Sequence[str]) -> Sequence[str]:
        self.groups.append((guild_id, list(items)))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await self.gates.get(guild_id, self.gate).wait()
        self.under_way -= 1
        if self.failures:
            raise self.failures.pop(0)
        if "poison" in items:
            raise ValidationError("events", "are refused")
        return [item.upper() for item in items]


def grouping(log: Log, **bounds: float) -> GroupCommit[str, str]:
    """By default only an end frees whoever waits: no test depends on how late it is."""
    return GroupCommit(log.write, limits(BusSettings(**{"group_patience_s": 60, **bounds})))


async def begun(*waits: "asyncio.Task[Sequence[str]]") -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def adding(
    groups: GroupCommit[str, str], *items: str, guild_id: GuildId = ONE, size_bytes: int = 1
) -> "asyncio.Task[Sequence[str]]":
    return asyncio.create_task(groups.add(guild_id, items, size_bytes))


async def test_a_lone_request_is_committed_at_once() -> None:
    log = Log()
    log.gate.set()

    answer = await grouping(log).add(ONE, ["a", "b"], 2)

    assert answer == ["A", "B"]
    assert log.groups == [(ONE, ["a", "b"])]


async def test_what_arrives_during_a_commit_shares_the_next_one() -> None:
    log = Log()
    groups = grouping(log, groups_in_flight=1)
    first = adding(groups, "a")
    await begun()

    later = [adding(groups, "b"), adding(groups, "c", "d"), adding(groups, "e")]
    await begun()
    log.gate.set()

    assert [await one for one in (first, *later)] == [["A"], ["B"], ["C", "D"], ["E"]]
    assert log.groups == [(ONE, ["a"]), (ONE, ["b", "c", "d", "e"])]


async def test_a_guild_has_a_second_commit_only_when_it_would_be_full() -> None:
    log = Log()
    groups = grouping(log, groups_in_flight=2, group_events=3)
    waits = [adding(groups, "a")]
    await begun()

    waits += [adding(groups, "b"), adding(groups, "c")]
    await begun()
    few = log.under_way
    waits.append(adding(groups, "d"))
    await begun()
    enough = log.under_way
    log.gate.set()
    await asyncio.gather(*waits)

    assert (few, enough) == (1, 2)
    assert [items for _, items in log.groups] == [["a"], ["b", "c", "d"]]


async def test_who_is_free_does_not_write_beside_a_commit_what_is_not_full() -> None:
    log = Log()
    log.gates[OTHER] = asyncio.Event()
    groups = grouping(log, groups_in_flight=2)
    waits = [adding(groups, "a"), adding(groups, "x", guild_id=OTHER)]
    await begun()

    waits.append(adding(groups, "b"))
    log.gates[OTHER].set()
    await waits[1]
    await begun()
    groups_then = list(log.groups)
    log.gate.set()
    await asyncio.gather(*waits)

    assert (ONE, ["b"]) not in groups_then
    assert log.groups[-1] == (ONE, ["b"])


async def test_a_commit_that_takes_long_holds_up_nothing_that_comes() -> None:
    log = Log()
    groups = grouping(log, groups_in_flight=2, group_patience_s=1e-9)
    waits = [adding(groups, "a")]
    await begun()

    waits.append(adding(groups, "b"))
    await begun()
    under_way = log.under_way
    log.gate.set()
    await asyncio.gather(*waits)

    assert under_way == 2


async def test_who_puts_as_soon_as_it_is_answered_is_written() -> None:
    log = Log()
    log.gate.set()
    groups = grouping(log, groups_in_flight=1)

    answers = [await groups.put(ONE, [item], 1) for item in "abc"]

    assert answers == [["A"], ["B"], ["C"]]


async def test_what_is_as_large_as_a_group_is_full_too() -> None:
    log = Log()
    groups = grouping(log, groups_in_flight=2, group_bytes=2048)
    waits = [adding(groups, "a")]
    await begun()

    waits.append(adding(groups, "b", size_bytes=2048))
    await begun()
    under_way = log.under_way
    log.gate.set()
    await asyncio.gather(*waits)

    assert under_way == 2


async def test_no_guild_waits_for_another_ones_commit() -> None:
    log = Log()
    groups = grouping(log, groups_in_flight=2)
    waits = [adding(groups, "a")]
    await begun()

    waits.append(adding(groups, "b", guild_id=OTHER))
    await begun()
    under_way = log.under_way
    log.gate.set()
    await asyncio.gather(*waits)

    assert under_way == 2


async def test_no_more_commits_run_at_a_time_than_allowed() -> None:
    log = Log()
    groups = grouping(log, groups_in_flight=2, group_events=1)
    waits = [adding(groups, str(number)) for number in range(10)]
    await begun()

    log.gate.set()
    await asyncio.gather(*waits)

    assert log.most_under_way == 2


async def test_a_group_is_bounded_in_events_and_in_bytes() -> None:
    log = Log()
    log.gate.set()
    groups = grouping(log, groups_in_flight=1, group_events=3, group_bytes=2048)
    waits = [
        adding(groups, "a", "b"),
        adding(groups, "c", "d", size_bytes=100),
        adding(groups, "e", size_bytes=2040),
        adding(groups, "f", size_bytes=2040),
        adding(groups, *"ghijk"),
    ]

    await asyncio.gather(*waits)

    assert [items for _, items in log.groups] == [["a", "b"], ["c", "d"], ["e"], ["f"], [*"ghijk"]]


async def test_two_guilds_never_share_a_transaction_and_take_turns() -> None:
    log = Log()
    log.gate.set()
    groups = grouping(log, groups_in_flight=1, group_events=1)
    waits = [adding(groups, "a1"), adding(groups, "a2"), adding(groups, "a3")]
    waits.append(adding(groups, "b1", guild_id=OTHER))

    await asyncio.gather(*waits)

    assert [items for _, items in log.groups] == [["a1"], ["b1"], ["a2"], ["a3"]]


async def test_only_the_poisonous_request_fails() -> None:
    log = Log()
    log.gate.set()
    groups = grouping(log)

    answers = await asyncio.gather(
        adding(groups, "a"),
        adding(groups, "b", "poison"),
        adding(groups, "c"),
        return_exceptions=True,
    )

    assert isinstance(answers[1], ValidationError)
    assert [answers[0], answers[2]] == [["A"], ["C"]]


async def test_a_database_that_is_away_fails_the_group_once() -> None:
    log = Log()
    log.gate.set()
    log.failures = [DependencyUnavailable("postgres")]
    groups = grouping(log)

    answers = await asyncio.gather(adding(groups, "a"), adding(groups, "b"), return_exceptions=True)
    again = await groups.add(ONE, ["a"], 1)

    assert all(isinstance(answer, DependencyUnavailable) for answer in answers)
    assert again == ["A"]
    assert len(log.groups) == 2


async def test_a_lost_race_is_repeated_so_often() -> None:
    log = Log()
    log.gate.set()
    log.failures = [VersionConflict("record", "")] * 2
    groups = grouping(log, publish_attempts=3)

    assert await groups.add(ONE, ["a"], 1) == ["A"]

    log.failures = [VersionConflict("record", "")] * 3
    with pytest.raises(VersionConflict):
        await groups.add(ONE, ["a"], 1)


async def test_above_the_bound_nothing_is_taken() -> None:
    log = Log()
    groups = grouping(log, groups_in_flight=1, max_waiting_events=2)
    first = adding(groups, "a")
    await begun()
    waiting = adding(groups, "b", "c")
    await begun()

    with pytest.raises(Overloaded):
        await groups.add(ONE, ["d"], 1)

    log.gate.set()
    assert [await first, await waiting] == [["A"], ["B", "C"]]


async def test_above_the_bound_of_bytes_nothing_is_taken_but_what_finds_nothing_waiting() -> None:
    log = Log()
    groups = grouping(log, groups_in_flight=1, max_waiting_bytes=2048)
    large = adding(groups, "a", size_bytes=4096)
    await begun()
    waiting = adding(groups, "b", size_bytes=2000)
    await begun()

    with pytest.raises(Overloaded):
        await groups.add(ONE, ["c"], 49)

    fits = adding(groups, "d", size_bytes=48)
    log.gate.set()
    assert [await one for one in (large, waiting, fits)] == [["A"], ["B"], ["D"]]
    assert groups.waiting_bytes == 0


async def test_who_stops_waiting_before_the_commit_leaves_nothing_behind() -> None:
    log = Log()
    groups = grouping(log, groups_in_flight=1)
    first = adding(groups, "a")
    await begun()
    gone, stays = adding(groups, "b"), adding(groups, "c")
    await begun()

    gone.cancel()
    await begun()
    log.gate.set()

    assert await stays == ["C"]
    assert await first == ["A"]
    assert log.groups == [(ONE, ["a"]), (ONE, ["c"])]
    assert (groups.waiting, groups.waiting_bytes) == (0, 0)


async def test_the_deadline_of_one_caller_does_not_bound_the_others() -> None:
    left: list[float] = []

    async def write(_: GuildId, items: Sequence[str]) -> Sequence[str]:
        left.append(scope.remaining_s(100.0))
        return items

    scope.enter(0.5)
    await GroupCommit(write, limits(BusSettings())).add(ONE, ["a"], 1)

    assert left == [100.0]


@given(
    st.lists(st.tuples(st.sampled_from([ONE, OTHER]), st.integers(1, 5)), max_size=30),
    st.integers(1, 6),
    st.integers(1, 3),
)
def test_every_request_is_answered_with_its_own_in_its_guilds_order(
    requests: list[tuple[GuildId, int]], group_events: int, in_flight: int
) -> None:
    async def run() -> None:
        log = Log()
        log.gate.set()
        groups = grouping(log, group_events=group_events, groups_in_flight=in_flight)
        given_items = [
            (guild_id, [f"{place}.{number}" for number in range(count)])
            for place, (guild_id, count) in enumerate(requests)
        ]

        answers = await asyncio.gather(
            *(adding(groups, *items, guild_id=guild_id) for guild_id, items in given_items)
        )

        assert answers == [[item.upper() for item in items] for _, items in given_items]
        for guild_id in (ONE, OTHER):
            written = [item for guild, items in log.groups if guild == guild_id for item in items]
            expected = [item for guild, items in given_items if guild == guild_id for item in items]
            assert written == expected

    asyncio.run(run())
