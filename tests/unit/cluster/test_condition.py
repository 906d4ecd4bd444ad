"""What the doctor says of parts and pools."""

import pytest

from actors.runtime.supervision import Phase
from cluster.condition import PoolSeen, of_parts, of_pools, pools_in
from cluster.diagnosis import Level


def test_the_pools_are_read_from_the_metrics() -> None:
    lines = [
        ("elders_guild_pool_size", {"pool": "task"}, 2.0),
        ("elders_guild_members", {"pool": "task", "state": "ready"}, 1.0),
        ("elders_guild_members", {"pool": "task", "state": "unplaced"}, 1.0),
        ("elders_guild_quarantined_members", {"pool": "rag"}, 1.0),
        ("active_connections", {}, 7.0),
    ]

    pools = pools_in(lines)

    assert pools == {
        "task": PoolSeen(2, {Phase.READY: 1, Phase.UNPLACED: 1}, 0),
        "rag": PoolSeen(0, {}, 1),
    }


@pytest.mark.parametrize(
    ("pool", "level", "words"),
    [
        (PoolSeen(2, {Phase.READY: 2}), Level.OK, "2 of 2 members take messages"),
        (PoolSeen(2, {Phase.READY: 1, Phase.PENDING: 1}), Level.WARNING, "1 being started"),
        (PoolSeen(3, {Phase.READY: 1, Phase.UNPLACED: 2}), Level.WARNING, "2 found no node"),
        (PoolSeen(2, {Phase.READY: 1}, resting=1), Level.WARNING, "1 died too often"),
        (PoolSeen(1, {Phase.OPENING: 1}), Level.BAD, "1 waiting for what they need"),
        (PoolSeen(1, {}, resting=1), Level.BAD, "0 of 1 members"),
    ],
)
def test_a_pool_is_judged_by_who_takes_messages_and_says_what_keeps_the_others(
    pool: PoolSeen, level: Level, words: str
) -> None:
    (finding,) = of_pools({"task": pool})

    assert (finding.about, finding.level) == ("the task pool", level)
    assert words in finding.text


@pytest.mark.parametrize("pools", [None, {}])
def test_pools_that_nobody_can_ask_for_are_a_warning(pools: dict[str, PoolSeen] | None) -> None:
    (finding,) = of_pools(pools)

    assert finding.level is Level.WARNING


def test_a_part_that_stays_down_is_named_with_the_time_of_the_next_try() -> None:
    (finding,) = of_parts({"Ray's gcs_server": "2026-01-01T00:01:00+00:00"})

    assert (finding.level, finding.about) == (Level.BAD, "Ray's gcs_server")
    assert "2026-01-01T00:01:00+00:00" in finding.text
