"""Pure decisions about which member gets a message."""

import hashlib
from collections.abc import Mapping, Sequence

from actors.runtime.identity import MemberIdentity


def ranked(key: str, members: Sequence[MemberIdentity]) -> list[MemberIdentity]:
    """The members in this key's order of preference (rendezvous hashing).

    Every process computes the same order. When a member goes, only its keys move; when one
    comes, it takes an equal share from each of the others.
    """
    return sorted(members, key=lambda member: _score(key, member), reverse=True)


def for_key(key: str, members: Sequence[MemberIdentity]) -> MemberIdentity:
    """The member that owns the key among ``members``, which must not be empty."""
    if len(members) == 1:
        return members[0]
    return max(members, key=lambda member: _score(key, member))


def for_any(
    preferred: Sequence[MemberIdentity],
    load: Mapping[MemberIdentity, int],
    fill: int,
    dice: tuple[float, float],
) -> MemberIdentity:
    """The member for a message that anyone may handle.

    A call costs the same for one message as for thirty, so the first member of this process's own
    order is filled before a second one is troubled. Beyond that: the less busy of two.

    Args:
        preferred: the candidates, not empty, in this process's order.
        load: messages unfinished at each, as far as this process knows; absent means none.
        fill: messages that make a member busy.
        dice: two random numbers in [0, 1).
    """
    first = preferred[0]
    if load.get(first, 0) < fill:
        return first
    two = [preferred[int(number * len(preferred))] for number in dice]
    return min(two, key=lambda member: load.get(member, 0))


def apart(
    allowed: Sequence[MemberIdentity], *, calm_s: float, pause_s: float, lone_pause_s: float
) -> MemberIdentity | None:
    """The member that may die of a message while others go on; None: not now.

    Those that died shall be back first, or a few such messages end the whole pool.

    Args:
        allowed: members that work, in this process's order: its other messages go to the first.
        calm_s: since the last one died.
        pause_s: how long that must be.
        lone_pause_s: the same where only one works.
    """
    wanted_s = pause_s if len(allowed) > 1 else lone_pause_s
    return allowed[-1] if allowed and calm_s >= wanted_s else None


def _score(key: str, member: MemberIdentity) -> bytes:
    return hashlib.blake2b(f"{key}\x1f{member.name}".encode(), digest_size=8).digest()
