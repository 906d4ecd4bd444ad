"""The router as a Ray actor: named, detached, started again by Ray when it dies.

One by default. With ``router.partitions`` there are several, and each has a share of the
aggregates under a lease of its own; the first also does what must be done once.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import ray
import structlog
from ray.actor import ActorHandle
from ray.exceptions import RayError

from actors import clock, metrics
from actors.errors import ElderGuildError
from actors.router import numbers
from actors.router.chores import Chores
from actors.router.postgres import PostgresRouterStore
from actors.router.redrive import Redriven, redrive
from actors.router.relay import Chore, Relay, SubscriptionState
from actors.router.share import Share
from actors.router.sinks.factory import Sinks
from actors.runtime import garbage, node, observed
from actors.runtime.pools import Pools
from actors.runtime.ray_cluster import ROUTER, hang_up, listen, router_names
from actors.settings import GuildSettings, settings
from actors.storage.database import Database
from actors.storage.layout import adopt, present
from actors.storage.leaders import Leaders, LeadershipLost, Lease
from actors.storage.streams import LiveTail, recent
from actors.storage.vault import Vault

_log = structlog.get_logger("elders_guild.router")
_HEAD = "node:__internal_head__"  # Ray's own resource of the head node


class RouterHealth(NamedTuple):
    """What the supervisor wants to know.

    Attributes:
        incarnation: id of the process.
        leading: whether it routes; False while the database is away or another router leads.
        epoch: of its lease; 0 before the first.
        samples: its metrics.
    """

    incarnation: str
    leading: bool
    epoch: int
    samples: tuple[metrics.Sample, ...]


class RouterSnapshot(NamedTuple):
    """How the router and its subscriptions stand."""

    leading: bool
    epoch: int
    nudges: int
    streamed: int
    subscriptions: tuple[SubscriptionState, ...]


class RouterActor:
    """Leads under its name as long as it lives and nobody newer does.

    Ray runs nothing but the constructor of a restarted actor, so that is where the work begins;
    it runs on the actor's event loop.
    """

    def __init__(self, index: int = 0, parts: int | None = None) -> None:
        self._settings = settings()
        observed.begin(self._settings, "router")
        garbage.settle(self._settings.runtime.gc_threshold)
        self._share = Share(index, parts or self._settings.router.partitions)
        self._name = router_names(self._share.of)[index]
        self._incarnation = clock.new_id("run")
        self._pools = Pools(self._settings)
        self._relay: Relay | None = None
        self._store: PostgresRouterStore | None = None
        self._sinks: Sinks | None = None
        self._tail: LiveTail | None = None
        self._epoch = 0
        self._has_led = False
        self._nudges = 0
        calls = {"nudge": self._nudged}
        self._listening = asyncio.create_task(listen(self._settings, self._name, calls))
        self._work = asyncio.create_task(self._lead_for_ever())

    async def nudge(self) -> None:
        """The log has grown. Carries nothing, may be lost."""
        self._nudges += 1
        if self._relay is not None:
            self._relay.nudge()

    async def _nudged(self, _: object) -> None:
        await self.nudge()

    async def health(self) -> RouterHealth:
        """Answers while the event loop lives."""
        node.watch(self._settings).look()
        if self._relay is not None:
            self._relay.observe()
        return RouterHealth(
            self._incarnation, self._relay is not None, self._epoch, metrics.samples()
        )

    async def parts(self) -> int:
        """Over how many routers it believes the log to be spread."""
        return self._share.of

    async def snapshot(self) -> RouterSnapshot:
        """Lag, age and dead letters of each subscription; asks the database.

        Raises:
            DependencyUnavailable: the database is away.
        """
        relay = self._relay
        states = () if relay is None else await relay.states()
        streamed = 0 if self._tail is None else self._tail.appended
        return RouterSnapshot(relay is not None, self._epoch, self._nudges, streamed, states)

    async def redrive(self, subscription: str, event_ids: Sequence[str]) -> tuple[Redriven, ...]:
        """Delivers dead letters again; see `actors.router.redrive`."""
        if self._store is None or self._sinks is None:
            raise ElderGuildError("the router does not lead yet")
        return await redrive(
            self._store, self._sinks, self._settings.router, subscription, event_ids
        )

    async def stop(self) -> None:
        """Ends the work calmly: cursors are saved, so that little is repeated."""
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)
        self._relay = self._store = self._sinks = None
        numbers.forget()
        await self._pools.close()
        await hang_up(self._listening)

    async def _lead_for_ever(self) -> None:
        runtime = self._settings.runtime
        patience_s = 0.0  # Ray made this one the router: it takes over at once
        while True:
            try:
                await self._lead(patience_s)
            except LeadershipLost as lost:
                # Somebody newer exists. Should they go away, this one takes over, not before.
                patience_s = runtime.leader_lease_s
                _log.warning("router_deposed", epoch=lost.epoch)
            except ElderGuildError as error:
                _log.warning("router_waits", code=error.code, reason=str(error))
            except Exception:
                _log.exception("router_failed")
            self._relay = self._store = self._sinks = None
            numbers.forget()  # not before: whoever asks for our health has the relay look once more
            await asyncio.sleep(runtime.restart_backoff_s)

    async def _lead(self, patience_s: float) -> None:
        database = await Database.open(
            self._settings.log_database_url.get_secret_value(),
            self._settings.database,
            vault=Vault.of(self._settings),
        )
        try:
            holder = f"{socket.gethostname()}:{os.getpid()}:{self._incarnation}"
            leaders = Leaders(database)
            lease = await leaders.acquire(self._name, holder, unless_renewed_within_s=patience_s)
            if lease is None:
                return
            if not await self._may_route(database, lease):
                return
            self._epoch = lease.epoch
            _log.info("router_leads", name=self._name, epoch=lease.epoch, run=self._incarnation)
            await self._relay_under(database, lease)
        finally:
            await database.close()

    async def _may_route(self, database: Database, lease: Lease) -> bool:
        """Whether the log is spread over as many routers as this one believes.

        Who is started says how many there are. Who has led before and was deposed does not: the
        number was changed by somebody newer, and the two would take turns for ever.
        """
        if self._has_led:
            return await present(database) == self._share.of
        if await adopt(database, lease, self._share.of):
            _log.info("log_spread_anew", routers=self._share.of)
        self._has_led = True
        return True

    async def _relay_under(self, database: Database, lease: Lease) -> None:
        tail = self._open_tail(database)
        showing = None if tail is None else asyncio.create_task(tail.run())
        bounds = self._settings.bus
        store = self._store = PostgresRouterStore(database, lease, self._share, bounds)
        sinks = self._sinks = Sinks(self._pools.pool, database, self._settings)
        chores: Sequence[Chore] = ()
        if self._share.is_first:
            every = Chores(database, lease, store, sinks, self._settings)
            chores = every.all(lambda: self._relay)
        relay = self._relay = Relay(
            store,
            sinks,
            self._settings.router,
            share=self._share,
            on_events=None if tail is None else tail.offer,
            chores=chores,
            renew_s=self._settings.runtime.leader_lease_s / 3,
        )
        try:
            await relay.run()
        except asyncio.CancelledError:
            await _flush(relay, self._settings.database.connect_timeout_s)
            raise
        finally:
            if showing is not None:
                showing.cancel()
            await sinks.close()

    def _open_tail(self, database: Database) -> LiveTail | None:
        url = self._settings.redis_url.get_secret_value()
        self._tail = None
        if url and self._share.is_first:
            self._tail = LiveTail(url, self._settings.router, partial(recent, database))
        return self._tail


async def _flush(relay: Relay, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await relay.flush()
    except (ElderGuildError, TimeoutError) as error:
        _log.warning("cursors_not_saved", reason=type(error).__name__)


def start_routers(guild: GuildSettings) -> "list[ActorHandle[RouterActor]]":
    """The routers' handles, the first first; starts those that are not there.

    Needs an initialised Ray. The first one stays with the head, the others go anywhere.

    Args:
        guild: for names and places only; the actors read their own environment, so that no
            secret becomes part of what Ray keeps to start an actor again.
    """
    parts = guild.router.partitions
    _end_those_of_another_number(guild)
    actor: Any = ray.remote(RouterActor)
    return [
        actor.options(
            name=name,
            namespace=guild.ray_namespace,
            lifetime="detached",
            get_if_exists=True,
            max_restarts=-1,
            max_task_retries=0,
            num_cpus=guild.router.num_cpus,
            memory=guild.router.memory_mib << 20,
            resources={} if index else {_HEAD: 0.001},
        ).remote(index, parts)
        for index, name in enumerate(router_names(parts))
    ]


def _end_those_of_another_number(guild: GuildSettings) -> None:
    """Routers that were started when there were more, or fewer: started again they would insist."""
    namespace, parts = guild.ray_namespace, guild.router.partitions
    for one in ray.util.list_named_actors(all_namespaces=True):
        name = one["name"]
        if one["namespace"] != namespace or name.partition("/")[0] != ROUTER:
            continue
        try:
            former = ray.get_actor(name, namespace=namespace)
        except ValueError:
            continue  # gone meanwhile
        answer_s = guild.runtime.health_timeout_s
        if name not in router_names(parts) or _parts_of(former, answer_s) != parts:
            _log.info("router_ended", name=name, routers=parts)
            ray.kill(former)


def _parts_of(router: Any, answer_s: float) -> int | None:
    try:
        parts: int = ray.get(router.parts.remote(), timeout=answer_s)
    except RayError:
        return None
    return parts
