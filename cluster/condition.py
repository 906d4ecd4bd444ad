"""What the doctor says of the guild's own parts: who rests, and which pools lack members. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from actors.runtime.supervision import Phase
from cluster.diagnosis import Finding, Level

_RUNBOOK = "docs/runbooks/pool-member-quarantined.md"


@dataclass(slots=True)
class PoolSeen:
    """One pool, as the metrics tell.

    Attributes:
        size: members that it should have.
        members: how many there are, by what the supervisor knows of them.
        resting: members that died too often and are not started for a while.
    """

    size: int = 0
    members: dict[Phase, int] = field(default_factory=dict)
    resting: int = 0


def pools_in(lines: Iterable[tuple[str, Mapping[str, str], float]]) -> dict[str, PoolSeen]:
    """The pools in the guild's metrics: name, labels, value."""
    pools: dict[str, PoolSeen] = defaultdict(PoolSeen)
    for name, labels, value in lines:
        match name:
            case "elders_guild_pool_size":
                pools[labels["pool"]].size = round(value)
            case "elders_guild_quarantined_members":
                pools[labels["pool"]].resting = round(value)
            case "elders_guild_members":
                pools[labels["pool"]].members[Phase(labels["state"])] = round(value)
            case _:
                pass
    return dict(pools)


def of_pools(pools: Mapping[str, PoolSeen] | None) -> list[Finding]:
    """One sentence a pool; None: nobody could find out.

    None at all is no better: while the supervisor is away, a gateway tells its own numbers only.
    """
    if not pools:
        text = (
            "nobody tells: is the supervisor there, does /metrics answer, and GUILD_METRICS_TOKEN?"
        )
        return [Finding(level=Level.WARNING, about="the pools", text=text)]
    return [_of_pool(name, pool) for name, pool in sorted(pools.items())]


def _of_pool(name: str, pool: PoolSeen) -> Finding:
    ready = pool.members.get(Phase.READY, 0)
    text = f"{ready} of {pool.size} members take messages"
    reasons = [
        f"{pool.resting} died too often, not started for a while, see {_RUNBOOK}",
        f"{pool.members.get(Phase.UNPLACED, 0)} found no node with room",
        f"{pool.members.get(Phase.PENDING, 0)} being started",
        f"{pool.members.get(Phase.OPENING, 0)} waiting for what they need, such as the database",
        f"{pool.members.get(Phase.HUNG, 0)} not answering",
    ]
    because = "; ".join(reason for reason in reasons if not reason.startswith("0 "))
    if because:
        text += f": {because}"
    level = Level.OK if ready >= pool.size and not pool.resting else Level.WARNING
    if ready == 0:
        level = Level.BAD
    return Finding(level=level, about=f"the {name} pool", text=text)


def of_parts(down: Mapping[str, str]) -> list[Finding]:
    """One sentence for each part of a stack that stays down, with the time of the next try."""
    return [
        Finding(
            level=Level.BAD,
            about=part,
            text=f"died too often and stays down: the next try is at {until}, see its logs",
        )
        for part, until in sorted(down.items())
    ]
