"""Every shard has its holders, on different nodes where there are, and few of them ever move."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.rag import placement
from actors.rag.placement import Layout, Place
from actors.runtime.message import GuildId

GUILD = GuildId("guild_01arz3ndektsv4rrffq69g5fav")
NODES = st.sampled_from(["", "node-a", "node-b", "node-c"])
MEMBERS = st.dictionaries(st.integers(0, 30), NODES, min_size=1, max_size=9).map(
    lambda found: [Place(f"rag/1/{number}", node) for number, node in found.items()]
)


def spread(members: list[Place], replicas: int, shards: int = 40) -> list[set[Place]]:
    found = placement.spread(GUILD, Layout(shards, replicas), tuple(sorted(members)))
    return list(map(set, found))


def eight(nodes: int) -> list[Place]:
    return [Place(f"rag/1/{number}", f"node-{number % nodes}") for number in range(8)]


def moved(before: list[set[Place]], after: list[set[Place]]) -> int:
    return sum(len(now - was) for was, now in zip(before, after, strict=True))


@given(members=MEMBERS, replicas=st.integers(0, 4))
def test_every_shard_has_as_many_holders_as_wanted_or_all(
    members: list[Place], replicas: int
) -> None:
    wanted = min(replicas or len(members), len(members))

    assert all(len(found) == wanted for found in spread(members, replicas))


@given(members=MEMBERS, replicas=st.integers(1, 4))
def test_holders_are_on_different_nodes_where_there_are_enough(
    members: list[Place], replicas: int
) -> None:
    nodes = len({one.node or one.name for one in members})

    for found in spread(members, replicas):
        used = len({one.node or one.name for one in found})
        assert used == min(nodes, replicas, len(members))


@given(
    count=st.integers(2, 12),
    replicas=st.integers(1, 3),
    shards=st.integers(1, 64),
    guild=st.integers(0, 99),
)
def test_no_member_holds_much_more_than_its_part(
    count: int, replicas: int, shards: int, guild: int
) -> None:
    members = tuple(sorted(Place(f"rag/1/{number}") for number in range(count)))

    found = placement.spread(GuildId(f"guild_{guild}"), Layout(shards, replicas), members)

    copies = min(replicas, count)
    most = -(-5 * shards * copies // (4 * count))
    assert max(sum(one in held for held in found) for one in members) <= most + 1


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_who_joins_takes_little_more_than_its_part(replicas: int) -> None:
    members = eight(nodes=8)
    joined = [*members, Place("rag/1/8", "node-8")]

    moves = moved(spread(members, replicas, 400), spread(joined, replicas, 400))

    assert moves < 1.3 * 400 * replicas / len(joined)


@pytest.mark.parametrize("replicas", [1, 2, 3])
def test_when_a_member_leaves_little_more_than_its_part_moves(replicas: int) -> None:
    members = eight(nodes=8)
    before = spread(members, replicas, 400)
    held = sum(members[0] in one for one in before)

    assert moved(before, spread(members[1:], replicas, 400)) < 1.6 * held


def test_sources_are_spread_evenly() -> None:
    counts = [0] * 8
    for number in range(8_000):
        counts[placement.shard_of(f"doc_{number}", 8)] += 1

    assert min(counts) > 850
    assert max(counts) < 1_150


def test_the_shard_of_a_source_is_the_same_in_every_version() -> None:
    assert [placement.shard_of(f"doc_{number}", 4) for number in range(6)] == [0, 2, 2, 1, 1, 0]


def test_so_many_shards_are_wanted_that_each_is_small_enough() -> None:
    counted = [placement.shards_wanted(passages, 300_000) for passages in (0, 300_000, 300_001)]

    assert counted == [1, 1, 2]
