"""What the supervisor does through Ray, seen from this process instead of from an actor's."""

import asyncio

import pytest

from actors.errors import DependencyUnavailable
from actors.runtime.directory import NOBODY
from actors.runtime.envelope import Snapshot
from actors.runtime.identity import MemberIdentity
from actors.runtime.ray_cluster import NamedActor, RayRosterSource
from actors.runtime.ray_members import MemberActor, RayCluster
from actors.runtime.supervising import Gone
from actors.runtime.supervisor import SupervisorActor, stop_pools
from actors.settings import GuildSettings
from tests.fixtures.echo_member import ECHO_CLASSES

pytestmark = pytest.mark.integration

MEMBER = MemberIdentity("echo", 1, 0)


async def healthy(cluster: RayCluster, besides: str = "") -> Snapshot:
    """The member's health once it is ready, in another process than ``besides``."""
    async with asyncio.timeout(40):
        while True:
            try:
                snapshot = await cluster.health(MEMBER)
            except DependencyUnavailable:
                snapshot = None
            if snapshot is not None and snapshot.ready and snapshot.incarnation != besides:
                return snapshot
            await asyncio.sleep(0.1)


async def test_a_member_is_made_once_restarted_drained_and_ended(cluster: GuildSettings) -> None:
    members = RayCluster(cluster, ECHO_CLASSES)

    await members.create(MEMBER)
    await members.create(MEMBER)
    first = await healthy(members)
    assert await members.existing() == (MEMBER,)
    assert await RayRosterSource(cluster.ray_namespace).existing() == (MEMBER,)

    await members.restart(MEMBER)
    second = await healthy(members, besides=first.incarnation)
    await members.drain(MEMBER)
    assert (await members.health(MEMBER)).draining
    await members.end(MEMBER)

    assert second.incarnation != first.incarnation
    with pytest.raises((Gone, DependencyUnavailable)):
        await members.health(MEMBER)


async def test_nobody_is_there_and_every_way_says_so(cluster: GuildSettings) -> None:
    with pytest.raises(DependencyUnavailable):
        await NamedActor("nobody", cluster.ray_namespace).call("health")
    with pytest.raises(DependencyUnavailable):
        await RayRosterSource(cluster.ray_namespace).watch(NOBODY)
    NamedActor("nobody", cluster.ray_namespace).tell("nudge")
    await RayCluster(cluster, {}).end(MemberIdentity("echo", 7, 7))


async def test_the_actor_around_a_member_passes_everything_on(cluster: GuildSettings) -> None:
    actor = MemberActor(ECHO_CLASSES["echo"], MEMBER)

    health = await actor.health()
    await actor.drain()

    assert health.identity == MEMBER
    assert (await actor.health()).draining
    await actor.stop()


async def test_the_supervising_actor_makes_its_pools_and_answers(cluster: GuildSettings) -> None:
    actor = SupervisorActor(ECHO_CLASSES)

    roster = NOBODY
    async with asyncio.timeout(40):
        while not roster.members:
            roster = await actor.watch(roster.epoch, roster.version)
    resized = await actor.resize("echo", 1, 2, 2)
    rolled = await actor.roll("echo", 1)
    await actor.report("gateway", ())

    assert roster.members == (MEMBER,)
    assert resized == rolled
    assert (await actor.status()).pools["echo"].size == 2
    assert any(one.name == "elders_guild_members" for one in await actor.samples())
    for task in actor._tasks:
        task.cancel()
    await stop_pools(cluster)
