"""Which shard a source belongs to, and which members hold a shard. Pure."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

from actors.runtime.message import GuildId


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


def shard_of(source_id: str, shards: int) -> int:
    """The shard of a source: 0 to ``shards`` - 1, the same in every process and version."""
    if shards == 1:
        return 0
    return int.from_bytes(_hash(source_id), "big") % shards


def ranked(guild_id: GuildId, shard: int, members: Sequence[Place]) -> list[Place]:
    """The members in this shard's order of preference (rendezvous hashing)."""
    key = f"{guild_id}\x1f{shard}"
    return sorted(members, key=lambda one: (_hash(f"{key}\x1f{one.name}"), one.name), reverse=True)


def holders(
    guild_id: GuildId, shard: int, members: Sequence[Place], replicas: int
) -> tuple[Place, ...]:
    """The members that are to hold a shard, on as many nodes as there are.

    When a member comes or goes, at most one holder of each shard is another one.

    Args:
        guild_id: whose index.
        shard: of it.
        members: those that take messages; what is away must not be among them.
        replicas: how many are wanted; 0: all.
    """
    order = ranked(guild_id, shard, members)
    if replicas == 0 or replicas >= len(order):
        return tuple(order)
    first: dict[str, Place] = {}
    for one in order:
        first.setdefault(one.node or f"\x00{one.name}", one)
    chosen = list(first.values())[:replicas]
    chosen += [one for one in order if one not in chosen][: replicas - len(chosen)]
    return tuple(chosen)


def shards_wanted(passages: int, most_per_shard: int) -> int:
    """How many shards keep each of them at or below ``most_per_shard`` passages, on average."""
    return max(1, -(-passages // most_per_shard))


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode(), digest_size=8).digest()
