"""Pure decisions of the supervisor: what to do so that a pool becomes what it should be."""

import enum
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import assert_never

from actors.runtime.identity import MemberIdentity


class Phase(enum.StrEnum):
    """What the supervisor knows of a living member. A dead one is simply not there."""

    PENDING = "pending"
    """Created or being restarted; has not answered yet."""
    UNPLACED = "unplaced"
    """Pending for longer than anybody should wait."""
    OPENING = "opening"
    """Answers, and waits for its dependencies."""
    READY = "ready"
    HUNG = "hung"
    """Has answered before and no longer does."""
    DRAINING = "draining"
    DRAINED = "drained"
    """Draining and empty, or draining for too long."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one pool should be."""

    pool: str
    generation: int
    size: int
    max_size: int


@dataclass(frozen=True, slots=True)
class Seen:
    """One living member.

    Attributes:
        company: members of all pools on its node; the head, which never goes, has no end of them.
    """

    identity: MemberIdentity
    phase: Phase
    company: float = 0


@dataclass(frozen=True, slots=True)
class Create:
    """Make this member; its name is free."""

    identity: MemberIdentity


@dataclass(frozen=True, slots=True)
class Restart:
    """End its process and let Ray start it again under its name."""

    identity: MemberIdentity


@dataclass(frozen=True, slots=True)
class Drain:
    """Send it nothing more and let it finish."""

    identity: MemberIdentity


@dataclass(frozen=True, slots=True)
class End:
    """End it for good."""

    identity: MemberIdentity


Action = Create | Restart | Drain | End


def plan(
    wanted: Wanted, seen: Sequence[Seen], resting: Collection[MemberIdentity] = ()
) -> tuple[Action, ...]:
    """The next steps of one pool; none when it is as it should be.

    Applied again and again, with new members becoming ready in between, this converges. A pool
    has one member above its maximum at most, and only while one replaces another. A ready member
    is drained only when enough other ready ones remain. The emptiest node loses its members first,
    so that it can go as a whole.

    Args:
        wanted: the goal.
        seen: the pool's living members of all generations.
        resting: members in quarantine. They keep their place and are not started.
    """
    kept, surplus = _sort_out(wanted, seen)
    tended = [action for one in kept if (action := _tend(one, resting)) is not None]
    ended = [End(one.identity) for one in seen if one.phase is Phase.DRAINED]
    created = _create(wanted, kept, seen, resting)
    dismissed = _dismiss(wanted, kept, surplus, seen, resting)
    return (*ended, *tended, *created, *dismissed)


def _sort_out(wanted: Wanted, seen: Sequence[Seen]) -> tuple[list[Seen], list[Seen]]:
    """Whom we want, and who is too many, the least wanted first. Draining ones are neither."""
    staying = [one for one in seen if one.phase not in (Phase.DRAINING, Phase.DRAINED)]
    ours = [one for one in staying if one.identity.generation == wanted.generation]
    ours.sort(key=lambda one: (one.phase is not Phase.READY, -one.company, one.identity.number))
    kept = ours[: wanted.size]
    surplus = [one for one in staying if one not in kept]
    surplus.sort(
        key=lambda one: (
            one.identity.generation == wanted.generation,
            one.company,
            -one.identity.number,
        )
    )
    return kept, surplus


def _tend(one: Seen, resting: Collection[MemberIdentity]) -> Action | None:
    """What a member we want needs."""
    match one.phase:
        case Phase.READY:
            return None
        case Phase.PENDING | Phase.OPENING:
            return End(one.identity) if one.identity in resting else None
        case Phase.UNPLACED:
            return End(one.identity)
        case Phase.HUNG:
            return End(one.identity) if one.identity in resting else Restart(one.identity)
        case Phase.DRAINING | Phase.DRAINED:
            return None
        case _:
            assert_never(one.phase)


def _create(
    wanted: Wanted,
    kept: Sequence[Seen],
    seen: Sequence[Seen],
    resting: Collection[MemberIdentity],
) -> list[Create]:
    taken = {one.identity for one in seen} | set(resting)
    free = (
        identity
        for number in range(len(taken) + wanted.size)
        if (identity := MemberIdentity(wanted.pool, wanted.generation, number)) not in taken
    )
    count = min(_missing(wanted, kept, seen, resting), wanted.max_size + 1 - len(seen))
    return [Create(identity) for _, identity in zip(range(count), free, strict=False)]


def _missing(
    wanted: Wanted,
    kept: Sequence[Seen],
    seen: Sequence[Seen],
    resting: Collection[MemberIdentity],
) -> int:
    alive = {one.identity for one in seen}
    places_held = sum(
        one.pool == wanted.pool and one.generation == wanted.generation and one not in alive
        for one in resting
    )
    return max(wanted.size - len(kept) - places_held, 0)


def _dismiss(
    wanted: Wanted,
    kept: Sequence[Seen],
    surplus: Sequence[Seen],
    seen: Sequence[Seen],
    resting: Collection[MemberIdentity],
) -> list[Action]:
    actions: list[Action] = []
    ready = sum(one.phase is Phase.READY for one in seen)
    proven = any(one.phase is Phase.READY for one in kept)
    cramped = _missing(wanted, kept, seen, resting) > 0 and len(seen) > wanted.max_size
    for one in surplus:
        match one.phase:
            case Phase.READY:
                if ready - 1 >= wanted.size:
                    ready -= 1
                    actions.append(Drain(one.identity))
            case Phase.PENDING | Phase.OPENING:
                # It may only wait for its database, as all do. It is ended when those we want
                # have shown that they work, or when they cannot be made for lack of room.
                if proven or cramped:
                    cramped = False
                    actions.append(End(one.identity))
            case Phase.HUNG | Phase.UNPLACED:
                actions.append(End(one.identity))
            case Phase.DRAINING | Phase.DRAINED:
                pass
            case _:
                assert_never(one.phase)
    return actions
