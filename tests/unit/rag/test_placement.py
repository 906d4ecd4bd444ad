"""Every shard has its holders, on different nodes where there are, and few of them ever move."""

import random

from hypothesis import given
from hypothesis import strategies as st

from actors.rag import placement
from actors.rag.placement import Place
from actors.runtime.message import GuildId

GUILD = GuildId("guild_01arz3ndektsv4rrffq69g5fav")
SHARDS = 400
NODES = st.sampled_from(["", "node-a", "node-b", "node-c"])
MEMBERS = st.dictionaries(st.integers(0, 30), NODES, min_size=1, max_size=9).map(
    lambda found: [Place(f"rag/1/{number}", node) for number, node in found.items()]
)


def spread(members: list[Place], replicas: int) -> list[set[Place]]:
    return [
        set(placement.holders(GUILD, shard, members, replicas)) for shard in range(SHARDS // 10)
    ]


def eight(nodes: int) -> list[Place]:
    return [Place(f"rag/1/{number}", f"node-{number % nodes}") for number in range(8)]


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


@given(members=MEMBERS, replicas=st.integers(1, 4), dice=st.randoms())
def test_the_order_in_which_members_are_known_does_not_matter(
    members: list[Place], replicas: int, dice: random.Random
) -> None:
    before = spread(members, replicas)
    shuffled = sorted(members, key=lambda _: dice.random())

    assert spread(shuffled, replicas) == before


@given(members=MEMBERS, replicas=st.integers(1, 4), node=NODES)
def test_who_joins_takes_one_place_of_a_shard_at_most(
    members: list[Place], replicas: int, node: str
) -> None:
    before = spread(members, replicas)

    after = spread([*members, Place("rag/2/0", node)], replicas)

    assert all(len(was - now) <= 1 for was, now in zip(before, after, strict=True))


def test_who_joins_takes_its_share_and_no_more() -> None:
    members = eight(nodes=8)
    joined = [*members, Place("rag/1/8", "node-8")]

    moved = sum(
        len(
            set(placement.holders(GUILD, shard, joined, 2))
            - set(placement.holders(GUILD, shard, members, 2))
        )
        for shard in range(SHARDS)
    )

    share = SHARDS * 2 / len(joined)
    assert 0.7 * share < moved < 1.3 * share


def test_only_the_shards_of_who_leaves_move() -> None:
    members = eight(nodes=4)
    gone, *left = members

    for shard in range(SHARDS):
        before = set(placement.holders(GUILD, shard, members, 2))
        after = set(placement.holders(GUILD, shard, left, 2))
        assert gone in before or before == after


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
