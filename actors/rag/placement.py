"""Which shard a source belongs to, and which members hold a shard. Pure."""

import functools
import hashlib
import math
from collections import Counter
from typing import NamedTuple

from actors.runtime.message import GuildId

_SLACK = 1.25  # of an equal part; 1.0 moves up to twice as much when members come and go
_REMEMBERED = 4096


class Layout(NamedTuple):
    """How the index of every guild is divided; the same for the whole deployment.

    Attributes:
        shards: of each guild.
        replicas: members that hold a shard; 0: all of them.
    """

    shards: int = 1
    replicas: int = 0

    @property
    def whole(self) -> bool:
        """Whether every member holds everything, in one piece."""
        return self == (1, 0)


class Place(NamedTuple):
    """A member as placement sees it.

    Attributes:
        name: of the member.
        node: where it runs; empty where nobody has said: then it counts as a node of its own.
    """

    name: str
    node: str = ""


class ShardKey(NamedTuple):
    """One shard of one guild's index."""

    guild_id: GuildId
    shard: int = 0


def shard_of(source_id: str, shards: int) -> int:
    """The shard of a source: 0 to ``shards`` - 1, the same in every process and version."""
    if shards == 1:
        return 0
    return int.from_bytes(_hash(source_id), "big") % shards


@functools.lru_cache(_REMEMBERED)
def ranked(guild_id: GuildId, shard: int, members: tuple[Place, ...]) -> tuple[Place, ...]:
    """The members in this shard's order of preference (rendezvous hashing)."""
    key = f"{guild_id}\x1f{shard}"
    order = sorted(members, key=lambda one: (_hash(f"{key}\x1f{one.name}"), one.name))
    return tuple(reversed(order))


@functools.lru_cache(_REMEMBERED)
def spread(
    guild_id: GuildId, layout: Layout, members: tuple[Place, ...]
) -> tuple[tuple[Place, ...], ...]:
    """The members that are to hold each shard, on as many nodes as there are.

    Each shard takes the first in its order that has no other copy of it on its node and whose part
    is not full: a quarter more than an equal part, or what makes that whole. So the few shards of a
    large guild do not gather on one member, and when one comes or goes little more than its part
    moves.

    Args:
        guild_id: whose index.
        layout: how it is divided.
        members: those that take messages, in ascending order; what is away must not be among them.
    """
    orders = [ranked(guild_id, shard, members) for shard in range(layout.shards)]
    if layout.replicas == 0 or layout.replicas >= len(members):
        return tuple(orders)
    part = layout.shards * layout.replicas / len(members)
    most = max(math.ceil(part), math.floor(_SLACK * part))
    load: Counter[Place] = Counter()
    chosen: list[list[Place]] = [[] for _ in orders]
    for _ in range(layout.replicas):
        for mine, order in zip(chosen, orders, strict=True):
            nodes = {_node(one) for one in mine}
            free = [one for one in order if one not in mine]
            found = min(free, key=lambda one: (_node(one) in nodes, load[one] >= most))
            mine.append(found)
            load[found] += 1
    return tuple(map(tuple, chosen))


def shards_wanted(passages: int, most_per_shard: int) -> int:
    """How many shards keep each of them at or below ``most_per_shard`` passages, on average."""
    return max(1, -(-passages // most_per_shard))


def _node(member: Place) -> str:
    return member.node or f"\x00{member.name}"


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
