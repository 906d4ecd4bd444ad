import asyncio
from collections.abc import Mapping

import pytest
import structlog.testing

from actors import metrics
from actors.errors import DependencyUnavailable, NotFound
from actors.metrics import Sample
from actors.runtime.desired import DesiredInMemory, PoolState
from actors.runtime.directory import Roster
from actors.runtime.identity import MemberIdentity
from actors.runtime.supervising import Supervisor
from actors.runtime.supervision import Phase
from actors.settings import RuntimeSettings
from actors.storage.leaders import LeadershipLost, Lease
from tests.fixtures.memory_cluster import FakeMember, MemoryCluster
from tests.unit.runtime.member_side import settled

SETTINGS = RuntimeSettings(
    health_period_s=0.01,
    health_timeout_s=0.005,
    health_misses=2,
    directory_poll_s=0.01,
    restarts_allowed=2,
    quarantine_s=50,
    grow_above=10,
    grow_after_s=3,
    shrink_below=2,
    shrink_after_s=20,
)


class Desired(DesiredInMemory):
    """The state in memory, which can be away."""

    away = False

    def __init__(self) -> None:
        super().__init__()
        self.writable = asyncio.Event()
        self.writable.set()

    async def lead(self, holder: str, *, unless_renewed_within_s: float) -> Lease | None:
        self._check()
        return await super().lead(holder, unless_renewed_within_s=unless_renewed_within_s)

    async def renew(self, lease: Lease) -> None:
        self._check()
        await super().renew(lease)

    async def load(self) -> Mapping[str, PoolState]:
        self._check()
        return await super().load()

    async def save(self, pool: PoolState, lease: Lease) -> None:
        await self.writable.wait()
        await super().save(pool, lease)

    def _check(self) -> None:
        if self.away:
            raise DependencyUnavailable("postgres")


class World:
    """A supervisor, its cluster, its desired state and its clock."""

    def __init__(self, size: int = 1, desired: Desired | None = None) -> None:
        self.now = 0.0
        self.cluster = MemoryCluster()
        self.desired = desired or Desired()
        self.supervisor = self.another(size)

    def another(self, size: int = 1) -> Supervisor:
        pool = PoolState("echo", 1, size, 1, 4)
        return Supervisor(
            self.cluster,
            self.desired,
            {"echo": pool},
            SETTINGS,
            now=lambda: self.now,
            home="node-a",
        )

    async def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            await self.supervisor.tick()

    def member(self, number: int = 0, generation: int = 1) -> FakeMember:
        return self.cluster.members[MemberIdentity("echo", generation, number)]

    async def roster(self) -> list[str]:
        return [one.name for one in (await self.supervisor.watch(0, 0)).members]


def value(name: str, **labels: str) -> float:
    """A number of this process's metrics."""
    (found,) = (
        one.value for one in metrics.samples() if one.name == name and dict(one.labels) == labels
    )
    return found


async def test_an_empty_cluster_gets_its_members_and_they_are_published() -> None:
    world = World(size=2)

    await world.pass_time(2)

    assert world.cluster.done == ["create echo/1/0", "create echo/1/1"]
    assert await world.roster() == ["echo/1/0", "echo/1/1"]


async def test_members_that_live_are_adopted_not_made_again() -> None:
    world = World(size=2)
    await world.pass_time(2)
    world.supervisor = world.another(size=2)

    await world.pass_time(1)

    assert world.cluster.done == ["create echo/1/0", "create echo/1/1"]
    assert await world.roster() == ["echo/1/0", "echo/1/1"]


async def test_a_member_that_waits_for_its_database_gets_no_messages() -> None:
    world = World()
    world.cluster.born = "opening"

    await world.pass_time(3)

    assert await world.roster() == []
    assert world.supervisor.status().members == {"echo/1/0": Phase.OPENING}


async def test_a_watcher_hears_of_a_change_and_else_of_nothing_new() -> None:
    world = World()
    await world.pass_time(2)
    known = await world.supervisor.watch(0, 0)

    unchanged = await world.supervisor.watch(known.epoch, known.version)
    watching = asyncio.create_task(changed(world, known))
    await asyncio.sleep(0)
    world.member().state = "opening"
    await world.pass_time(1)

    assert unchanged == known
    assert (await watching).members == ()


async def changed(world: World, known: Roster) -> Roster:
    """Watches again and again, as those do who follow the list; bounded."""
    for _ in range(1_000):
        roster = await world.supervisor.watch(known.epoch, known.version)
        if roster != known:
            break
        await asyncio.sleep(0)
    return roster


async def test_the_roster_says_where_a_member_runs_and_that_it_has_moved() -> None:
    world = World(size=2)
    await world.pass_time(2)
    before = await world.supervisor.watch(0, 0)

    world.member(1).node = "node-b"
    await world.pass_time(1)
    after = await world.supervisor.watch(before.epoch, before.version)

    assert before.nodes == ("node-a", "node-a")
    assert (after.members, after.nodes) == (before.members, ("node-a", "node-b"))


async def test_a_member_that_hangs_is_restarted() -> None:
    world = World()
    await world.pass_time(2)
    world.member().state = "stopped"

    await world.pass_time(6)

    assert "restart echo/1/0" in world.cluster.done
    assert world.member().run == 2
    assert await world.roster() == ["echo/1/0"]
    await world.supervisor.close()


async def test_a_process_that_ray_starts_again_is_left_alone() -> None:
    world = World()
    await world.pass_time(2)

    world.member().state = "starting"
    await world.pass_time(5)
    assert await world.roster() == []
    world.member().state, world.member().run = "ready", 2
    await world.pass_time(1)

    assert await world.roster() == ["echo/1/0"]
    assert world.cluster.done == ["create echo/1/0"]
    assert world.supervisor.status().restarts == {"echo/1/0": 1}


async def test_a_member_that_is_gone_is_made_again() -> None:
    world = World()
    await world.pass_time(2)
    world.cluster.members.clear()

    await world.pass_time(2)

    assert world.cluster.done == ["create echo/1/0", "create echo/1/0"]


async def test_a_member_that_keeps_dying_is_put_to_rest_and_tried_again_later() -> None:
    world = World()
    await world.pass_time(2)

    for run in range(2, 6):
        if world.cluster.members:
            world.member().run, world.member().state = run, "opening"
        await world.pass_time(1)

    assert world.cluster.done[-1] == "end echo/1/0"
    assert world.supervisor.status().resting == ("echo/1/0",)
    await world.pass_time(60)
    assert world.cluster.done[-1] == "create echo/1/0"
    assert await world.roster() == ["echo/1/0"]


async def test_a_pool_grows_under_lasting_pressure() -> None:
    world = World()
    await world.pass_time(2)
    world.member().waiting = 50

    await world.pass_time(6)

    assert world.supervisor.status().pools["echo"].size == 2
    assert (await world.desired.load())["echo"].size == 2


async def test_a_pool_grows_when_messages_wait_long_and_says_so() -> None:
    world = World()
    await world.pass_time(2)
    world.member().oldest_wait_s = 2.0

    with structlog.testing.capture_logs() as lines:
        await world.pass_time(6)

    (line,) = [line for line in lines if line["event"] == "pool_resized"]
    assert (line["before"], line["size"], line["reason"]) == (1, 2, "wait")
    assert value("elders_guild_pool_size", pool="echo") == 2
    assert value("elders_guild_pool_oldest_wait_seconds", pool="echo") == 2


async def test_a_pool_asks_for_no_more_until_those_it_asked_for_have_come() -> None:
    world = World()
    await world.pass_time(2)
    world.cluster.born = "opening"
    world.member().waiting = 200

    await world.pass_time(20)
    assert world.supervisor.status().pools["echo"].size == 2
    world.member(1).state, world.cluster.born = "ready", "ready"
    await world.pass_time(6)

    assert world.supervisor.status().pools["echo"].size == 4


async def test_a_pool_that_has_grown_comes_down_member_by_member_once_it_is_quiet() -> None:
    world = World()
    await world.pass_time(2)
    world.member().waiting = 200
    await world.pass_time(12)
    grown = world.supervisor.status().pools["echo"].size
    world.member().waiting = 0

    await world.pass_time(100)

    assert grown == 4
    assert world.supervisor.status().pools["echo"].size == 1
    assert world.cluster.done[-6:] == [
        f"{what} echo/1/{number}" for number in (3, 2, 1) for what in ("drain", "end")
    ]


async def test_a_shrinking_pool_leaves_the_node_that_can_go() -> None:
    world = World(size=3)
    await world.pass_time(2)
    world.member(0).node = "node-b"
    await world.pass_time(1)

    await world.supervisor.resize("echo", min_size=2, max_size=2)
    await world.pass_time(3)

    assert world.cluster.done[-2:] == ["drain echo/1/0", "end echo/1/0"]


async def test_a_smaller_pool_drains_before_it_ends_a_member() -> None:
    world = World(size=2)
    await world.pass_time(2)
    world.member(1).unfinished = 3

    await world.supervisor.resize("echo", min_size=1, max_size=1)
    await world.pass_time(3)
    assert world.cluster.done[-1] == "drain echo/1/1"
    assert await world.roster() == ["echo/1/0"]
    world.member(1).unfinished = 0
    await world.pass_time(2)

    assert world.cluster.done[-1] == "end echo/1/1"


async def test_a_new_generation_is_ready_before_the_old_one_drains() -> None:
    world = World()
    await world.pass_time(2)
    world.cluster.born = "opening"

    await world.supervisor.roll("echo", 2)
    await world.pass_time(3)
    assert await world.roster() == ["echo/1/0"]
    world.member(generation=2).state = "ready"
    await world.pass_time(3)

    assert await world.roster() == ["echo/2/0"]
    assert world.cluster.done[1:] == ["create echo/2/0", "drain echo/1/0", "end echo/1/0"]


async def test_bounds_that_are_set_while_a_pool_is_sized_stay() -> None:
    world = World()
    await world.pass_time(2)
    world.member().waiting = 50
    await world.pass_time(3)

    world.desired.writable.clear()
    resizing = asyncio.create_task(world.supervisor.resize("echo", min_size=1, max_size=3))
    await settled()
    ticking = asyncio.create_task(world.pass_time(2))
    await settled()
    world.desired.writable.set()
    await asyncio.gather(resizing, ticking)

    state = world.supervisor.status().pools["echo"]
    assert (state.max_size, (await world.desired.load())["echo"].max_size) == (3, 3)


async def test_a_pool_that_does_not_exist_cannot_be_resized() -> None:
    world = World()

    with pytest.raises(NotFound):
        await world.supervisor.resize("nobody", min_size=1, max_size=1)


async def test_without_its_database_a_supervisor_goes_on_but_changes_no_wish() -> None:
    world = World()
    world.desired.away = True

    await world.pass_time(2)
    assert await world.roster() == ["echo/1/0"]
    with pytest.raises(DependencyUnavailable):
        await world.supervisor.resize("echo", min_size=2, max_size=2)
    world.member().waiting = 50
    await world.pass_time(6)
    assert world.supervisor.status().pools["echo"].size == 1

    world.desired.away = False
    await world.pass_time(1)
    assert world.supervisor.status().epoch > 0


async def test_what_is_written_wins_over_the_defaults() -> None:
    desired = Desired()
    lease = await desired.lead("somebody", unless_renewed_within_s=0)
    assert lease is not None
    await desired.save(PoolState("echo", 3, 2, 2, 4), lease)
    world = World(desired=desired)

    await world.pass_time(2)

    assert await world.roster() == ["echo/3/0", "echo/3/1"]


async def test_a_deposed_supervisor_does_nothing_more() -> None:
    world = World()
    await world.pass_time(2)
    await world.desired.lead("somebody newer", unless_renewed_within_s=0)
    world.cluster.members.clear()

    with pytest.raises(LeadershipLost):
        await world.supervisor.tick()

    assert world.cluster.done == ["create echo/1/0"]


async def test_a_deposed_supervisor_publishes_nothing_while_the_newer_one_lives() -> None:
    world = World()
    await world.pass_time(2)
    running = asyncio.create_task(world.supervisor.run())
    newer = await world.desired.lead("somebody newer", unless_renewed_within_s=0)
    assert newer is not None

    await asyncio.sleep(0.05)
    world.cluster.members.clear()
    await asyncio.sleep(0.05)

    with pytest.raises(DependencyUnavailable):
        await world.supervisor.watch(0, 0)
    assert world.cluster.done == ["create echo/1/0"]
    running.cancel()


async def test_one_action_that_fails_does_not_stop_the_others() -> None:
    world = World(size=2)
    await world.supervisor.tick()
    world.cluster.members.clear()
    world.cluster.away = True
    await world.pass_time(2)

    world.cluster.away = False
    await world.pass_time(2)

    assert await world.roster() == ["echo/1/0", "echo/1/1"]


async def test_totals_outlive_the_members_that_counted() -> None:
    world = World()
    await world.pass_time(2)
    labels = (("message", "Echo"), ("outcome", "ok"), ("pool", "echo"))
    world.member().samples = (
        Sample("elders_guild_messages", "elders_guild_messages_total", labels, 7.0),
    )
    await world.pass_time(1)
    world.cluster.members.clear()
    await world.pass_time(3)

    world.supervisor.report(
        "gateway", [Sample("elders_guild_messages", "elders_guild_messages_total", labels, 2.0)]
    )
    samples = {(one.name, one.labels): one.value for one in world.supervisor.samples()}

    assert samples["elders_guild_messages_total", labels] >= 9
