"""Supervisor, members and callers together, without Ray: a pool that sizes itself under load."""

import asyncio
import random
from collections import defaultdict

import pytest

from actors.runtime.desired import DesiredInMemory, PoolState
from actors.runtime.directory import Directory, Roster
from actors.runtime.envelope import Snapshot
from actors.runtime.identity import MemberIdentity
from actors.runtime.mailbox import MemberPort
from actors.runtime.pool import Pool
from actors.runtime.supervising import Gone, Supervisor
from actors.runtime.supervision import Phase
from actors.settings import RuntimeSettings
from tests.unit.runtime.member_side import Connection, settled
from tests.unit.runtime.samples import CONTEXT, Restless, Wait

SETTINGS = RuntimeSettings(
    health_period_s=0.01,
    health_timeout_s=30,
    directory_poll_s=0.05,
    worth_a_call=1,
    linger_ms=2,
    submit_timeout_s=30,
    failover_budget_s=30,
    retry_delay_s=0.001,
    fill_before_spreading=4,
    grow_above=8,
    grow_after_s=2,
    shrink_below=2,
    shrink_after_s=5,
)


class World:
    """A `Cluster` of members in this process, their supervisor, and a caller that follows it."""

    def __init__(self, seed: int) -> None:
        self.now = 0.0
        dice = random.Random(seed)  # noqa: S311  # a test repeats itself
        self.sage = Restless(dice, turns=100)
        self.members: dict[MemberIdentity, Connection] = {}
        self.gone: list[MemberIdentity] = []
        self.supervisor = Supervisor(
            self,
            DesiredInMemory(),
            {"echo": PoolState("echo", 1, 1, 1, 4)},
            SETTINGS,
            now=lambda: self.now,
        )
        self.directory = Directory(self, SETTINGS)
        self.pool = Pool("echo", self.directory, self.connect, SETTINGS, "proc_1")
        self.asked: list[str] = []
        self.stopping = False

    async def existing(self) -> tuple[MemberIdentity, ...]:
        return tuple(self.members)

    async def create(self, member: MemberIdentity) -> None:
        self.members[member] = Connection(self.sage, SETTINGS, run=f"run of {member.name}")

    async def health(self, member: MemberIdentity) -> Snapshot:
        workload = self._member(member).workload
        return Snapshot(
            member,
            f"run of {member.name}",
            ready=True,
            draining=workload.draining,
            unfinished=workload.unfinished,
            waiting=workload.waiting,
            handled=workload.handled,
            samples=(),
        )

    async def drain(self, member: MemberIdentity) -> None:
        self._member(member).workload.draining = True

    async def restart(self, member: MemberIdentity) -> None:
        raise AssertionError(f"{member.name} did not hang")

    async def end(self, member: MemberIdentity) -> None:
        self.members.pop(member).break_now()
        self.gone.append(member)

    async def watch(self, known: Roster) -> Roster:
        return await self.supervisor.watch(known.epoch, known.version)

    def connect(self, member: MemberIdentity) -> MemberPort:
        return self._member(member)

    async def pass_time(self, seconds: int) -> None:
        for _ in range(seconds):
            self.now += 1
            await self.supervisor.tick()
            await settled(40)

    @property
    def ready(self) -> int:
        return sum(phase is Phase.READY for phase in self.supervisor.status().members.values())

    async def send(self, key: str, at_once: int) -> None:
        """Asks for one key, always so many at a time, until it is told to stop."""
        window = asyncio.Semaphore(at_once)

        async def ask(name: str) -> None:
            assert await self.pool.ask(Wait(context=CONTEXT, name=name, group=key)) == name
            window.release()

        async with asyncio.TaskGroup() as asking:
            while await window.acquire() and not self.stopping:
                self.asked.append(f"{key} {len(self.asked)}")
                asking.create_task(ask(self.asked[-1]))

    def _member(self, member: MemberIdentity) -> Connection:
        if member not in self.members:
            raise Gone(member.name)
        return self.members[member]


@pytest.mark.parametrize("seed", range(4))
async def test_a_pool_follows_its_load_and_nothing_is_lost_doubled_or_out_of_order(
    seed: int,
) -> None:
    world = World(seed)
    world.directory.start()
    await world.pass_time(2)
    crowd = [asyncio.create_task(world.send(f"key{number}", 2)) for number in range(48)]
    await world.pass_time(16)
    largest = world.ready

    world.stopping = True
    await asyncio.gather(*crowd)
    world.stopping = False
    trickle = asyncio.create_task(world.send("key0", 1))
    await world.pass_time(60)
    world.stopping = True
    await trickle
    await world.pool.close()
    await world.directory.close()

    seen = defaultdict(list)
    for name in world.sage.started:
        seen[name.partition(" ")[0]].append(int(name.partition(" ")[2]))
    assert (largest, world.ready) == (4, 1)
    assert sorted(world.sage.started) == sorted(world.asked)
    assert all(numbers == sorted(numbers) for numbers in seen.values())
    assert [member.number for member in world.gone] == [3, 2, 1]
