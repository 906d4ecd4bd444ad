"""The supervisor: looks at the pools, decides, acts, publishes who takes messages.

It holds nothing that cannot be found again. After a restart it adopts the members that live, and
takes what they should be from the desired state. Ray stays behind `Cluster`.
"""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol, assert_never

import structlog

from actors import clock, metrics
from actors.errors import DependencyUnavailable, NotFound
from actors.runtime import sizing, supervision, tracking
from actors.runtime.desired import SUPERVISOR, DesiredState, PoolState
from actors.runtime.directory import Roster
from actors.runtime.envelope import Snapshot
from actors.runtime.identity import MemberIdentity
from actors.runtime.metrics_hub import MetricsHub
from actors.runtime.supervision import Action, Create, Drain, End, Phase, Restart, Seen, Wanted
from actors.settings import RuntimeSettings
from actors.storage.leaders import LeadershipLost, Lease

_log = structlog.get_logger("elders_guild.supervisor")

_COMING = (Phase.PENDING, Phase.UNPLACED, Phase.OPENING)


class Gone(Exception):
    """The actor does not exist any more and Ray will not start it again."""


class Cluster(Protocol):
    """What the supervisor can do to members. Methods raise `DependencyUnavailable` and `Gone`."""

    async def existing(self) -> tuple[MemberIdentity, ...]:
        """All members that exist, of any pool and generation."""
        ...

    async def create(self, member: MemberIdentity) -> None:
        """Makes the member, or takes the one that has this name. Does not wait for its process."""
        ...

    async def health(self, member: MemberIdentity) -> Snapshot:
        """Asks the member; `DependencyUnavailable` when its process is being started again.

        Raises:
            TimeoutError: the member lives and does not answer, or says that it is not well.
        """
        ...

    async def drain(self, member: MemberIdentity) -> None:
        """Tells the member to refuse new messages."""
        ...

    async def restart(self, member: MemberIdentity) -> None:
        """Kills the member's process; Ray starts another under the same name."""
        ...

    async def end(self, member: MemberIdentity) -> None:
        """Lets the member close its connections if it can, and ends it for good."""
        ...


@dataclass(frozen=True, slots=True)
class Status:
    """What the supervisor knows, for operators and tests."""

    epoch: int
    pools: Mapping[str, PoolState]
    members: Mapping[str, Phase]
    restarts: Mapping[str, int]
    resting: tuple[str, ...]


class Supervisor:
    """One loop over all pools. ``defaults`` says which pools exist and how large they begin.

    ``home`` is the node that never goes away; empty: it is not known.
    """

    def __init__(
        self,
        cluster: Cluster,
        desired: DesiredState,
        defaults: Mapping[str, PoolState],
        settings: RuntimeSettings,
        now: Callable[[], float] = time.monotonic,
        home: str = "",
    ) -> None:
        self._cluster = cluster
        self._home = home
        self._desired = desired
        self._settings = settings
        self._now = now
        self._holder = clock.new_id("sup")
        self._lease: Lease | None = None
        self._deposed = False
        self._proven = False
        self._pools: dict[str, PoolState] = dict(defaults)
        self._tracks: dict[MemberIdentity, tracking.Track] = {}
        self._history: dict[MemberIdentity, tracking.Restarts] = {}
        self._trends: dict[str, sizing.Trend] = {}
        self._probes: dict[MemberIdentity, asyncio.Task[None]] = {}
        self._changing = asyncio.Lock()
        self._adopted = False
        self._roster = Roster(0, time.time_ns() // 1_000_000, ())
        self._roster_changed = asyncio.Event()
        self._hub = MetricsHub(
            silent_after_s=settings.metrics_silent_s, fold_after_s=settings.metrics_fold_s
        )

    async def run(self) -> None:
        """Ticks for ever. A deposed supervisor does nothing until the newer one has gone away."""
        while True:
            started = self._now()
            try:
                await self.tick()
            except LeadershipLost as lost:
                _log.error("supervisor_deposed", epoch=lost.epoch)
                self._lease, self._deposed = None, True
            except DependencyUnavailable as error:
                _log.warning("supervisor_waits", reason=str(error))
            await asyncio.sleep(max(started + self._period_s() - self._now(), 0.01))

    def _period_s(self) -> float:
        """Looks more often while somebody is on the way, for they are awaited."""
        settled = all(one.phase is Phase.READY for one in self._seen())
        return self._settings.health_period_s / (1 if settled else 4)

    async def tick(self) -> None:
        """One look and the steps that follow from it.

        Raises:
            LeadershipLost: a newer supervisor leads; nothing may be done any more.
            DependencyUnavailable: Ray does not answer; nothing was decided.
        """
        await self._lead()
        if self._deposed:
            return
        if not self._adopted:
            await self._adopt()
        await self._look()
        if self._proven:
            await self._size()
        self._publish()  # before acting: who is about to be drained gets nothing more
        for pool in self._pools.values():
            await self._act(pool)
        self._publish()
        self._measure()

    async def watch(self, epoch: int, version: int) -> Roster:
        """The roster once it differs from the one the caller knows, or after the poll time.

        Raises:
            DependencyUnavailable: another supervisor leads.
        """
        if self._deposed:
            raise DependencyUnavailable(SUPERVISOR)
        if (epoch, version) == self._roster[:2]:
            try:
                async with asyncio.timeout(self._settings.directory_poll_s):
                    await self._roster_changed.wait()
            except TimeoutError:
                pass
        return self._roster

    async def resize(
        self, pool: str, *, min_size: int, max_size: int, size: int | None = None
    ) -> PoolState:
        """Sets the bounds of a pool, and its size; default: the nearest within them.

        Raises:
            NotFound: no such pool.
            DependencyUnavailable: the desired state cannot be written now; nothing changed.
            LeadershipLost: a newer supervisor leads; nothing changed.
        """

        def bounded(state: PoolState) -> PoolState:
            wanted = state.size if size is None else size
            return replace(
                state,
                min_size=min_size,
                max_size=max_size,
                size=min(max(wanted, min_size), max_size),
            )

        return await self._change(pool, bounded)

    async def roll(self, pool: str, generation: int) -> PoolState:
        """Replaces the pool's members, one by one, by members of another generation.

        Raises:
            NotFound, DependencyUnavailable, LeadershipLost: see `resize`.
        """
        return await self._change(pool, lambda state: replace(state, generation=generation))

    def status(self) -> Status:
        """A snapshot."""
        now = self._now()
        return Status(
            epoch=self._epoch,
            pools=dict(self._pools),
            members={one.identity.name: one.phase for one in self._seen()},
            restarts={one.name: track.restarts for one, track in self._tracks.items()},
            resting=tuple(one.name for one in self._resting(now)),
        )

    def report(self, process_id: str, samples: Iterable[metrics.Sample]) -> None:
        """Takes the metrics of a process that is no member."""
        self._hub.report(process_id, samples, self._now())

    def samples(self) -> tuple[metrics.Sample, ...]:
        """The metrics of all processes, this one included, as one."""
        now = self._now()
        self._hub.report(self._holder, metrics.samples(), now)
        return self._hub.merged(now)

    async def close(self) -> None:
        """Stops asking; the members live on."""
        for probe in self._probes.values():
            probe.cancel()
        await asyncio.gather(*self._probes.values(), return_exceptions=True)

    async def _lead(self) -> None:
        """Proves the leadership, or takes it. Without the database, old decisions stand."""
        try:
            if self._lease is not None:
                await self._desired.renew(self._lease)
            else:
                await self._take_over()
            await self._reconcile()
            self._proven = self._lease is not None
        except DependencyUnavailable:
            self._proven = False

    async def _take_over(self) -> None:
        """At once when Ray has just made this the supervisor; one that was deposed waits."""
        patience_s = self._settings.leader_lease_s if self._deposed else 0.0
        self._lease = await self._desired.lead(self._holder, unless_renewed_within_s=patience_s)
        if self._lease is not None:
            self._deposed, self._adopted = False, False
            _log.info("supervisor_leads", epoch=self._epoch, holder=self._holder)

    @property
    def _epoch(self) -> int:
        return 0 if self._lease is None else self._lease.epoch

    async def _reconcile(self) -> None:
        """What is written wins; what was never written is written now."""
        if self._lease is None:
            return
        async with self._changing:
            stored = await self._desired.load()
            for name, state in self._pools.items():
                if name in stored:
                    self._pools[name] = stored[name]
                else:
                    await self._desired.save(state, self._lease)

    async def _change(self, pool: str, change: Callable[[PoolState], PoolState]) -> PoolState:
        """One at a time: an operator's wish and our own decision must not undo each other."""
        async with self._changing:
            state = change(self._state(pool))
            if self._lease is None:
                raise DependencyUnavailable(SUPERVISOR)
            await self._desired.save(state, self._lease)
            self._pools[pool] = state
        self._trends.pop(pool, None)
        _log.info("pool_changed", pool=pool, size=state.size, generation=state.generation)
        return state

    def _state(self, pool: str) -> PoolState:
        if pool not in self._pools:
            raise NotFound("pool", pool)
        return self._pools[pool]

    async def _adopt(self) -> None:
        """Finds the members that lived before this supervisor."""
        for member in await self._cluster.existing():
            if member.pool in self._pools:
                self._tracks.setdefault(member, tracking.Track(self._now()))
                _log.info("member_adopted", member=member.name)
        self._adopted = True
        await self._look()

    async def _look(self) -> None:
        """Asks every member; does not wait for those who are slow to answer."""
        for member in self._tracks:
            if member not in self._probes:
                probe = asyncio.create_task(self._probe(member))
                self._probes[member] = probe
        if self._probes:
            patience_s = self._period_s() / 2
            await asyncio.wait(tuple(self._probes.values()), timeout=patience_s)

    async def _probe(self, member: MemberIdentity) -> None:
        try:
            await self._ask(member)
        finally:
            self._probes.pop(member, None)

    async def _ask(self, member: MemberIdentity) -> None:
        try:
            async with asyncio.timeout(self._settings.health_timeout_s):
                snapshot = await self._cluster.health(member)
        except TimeoutError:
            self._update(member, tracking.after_silence)
        except DependencyUnavailable:
            self._note_restart(member, "died")
            self._update(member, lambda track: tracking.after_death(track, self._now()))
        except Gone:
            self._note_restart(member, "gone")
            self._tracks.pop(member, None)
        else:
            before = self._tracks[member].snapshot if member in self._tracks else None
            if before is not None and before.incarnation != snapshot.incarnation:
                self._note_restart(member, "died")
                self._update(member, lambda track: tracking.after_death(track, self._now()))
            self._hub.report(snapshot.incarnation, snapshot.samples, self._now())
            self._update(member, lambda track: tracking.after_answer(track, snapshot, self._now()))

    def _update(
        self, member: MemberIdentity, change: Callable[[tracking.Track], tracking.Track]
    ) -> None:
        if member in self._tracks:
            self._tracks[member] = change(self._tracks[member])

    def _note_restart(self, member: MemberIdentity, reason: str) -> None:
        """Counts one death of a process that had answered."""
        track = self._tracks.get(member)
        if track is None or track.snapshot is None or track.draining_since is not None:
            return
        metrics.RESTARTS.labels(member.pool, reason).inc()
        history = self._history.get(member, tracking.Restarts())
        self._history[member] = tracking.after_restart(history, self._now(), self._settings)
        _log.warning(
            "member_lost",
            member=member.name,
            reason=reason,
            resting=self._history[member].resting(self._now()),
        )

    async def _size(self) -> None:
        seen = self._seen()
        for name in tuple(self._pools):
            state = self._pools[name]
            pressure = sizing.pressure(
                [
                    track.snapshot
                    for member, track in self._tracks.items()
                    if member.pool == name and track.snapshot is not None
                ],
                coming=sum(one.identity.pool == name and one.phase in _COMING for one in seen),
            )
            metrics.POOL_OLDEST_WAIT.labels(name).set(pressure.oldest_wait_s)
            metrics.POOL_BUSY.labels(name).set(pressure.busy)
            sized = sizing.resize(
                self._trends.get(name, sizing.STEADY),
                pressure,
                size=state.size,
                bounds=(state.min_size, state.max_size),
                now=self._now(),
                settings=self._settings,
            )
            if sized.size != state.size:
                await self._change(name, partial(_sized, size=sized.size))
                metrics.POOL_RESIZES.labels(name, sized.reason.value).inc()
                _log.info(
                    "pool_resized",
                    pool=name,
                    before=state.size,
                    size=sized.size,
                    reason=sized.reason.value,
                    load=pressure.load,
                    ready=pressure.ready,
                    oldest_wait_s=round(pressure.oldest_wait_s, 3),
                    busy=round(pressure.busy, 3),
                )
            self._trends[name] = sized.trend

    async def _act(self, pool: PoolState) -> None:
        wanted = Wanted(pool.name, pool.generation, pool.size, pool.max_size)
        seen = [one for one in self._seen() if one.identity.pool == pool.name]
        for action in supervision.plan(wanted, seen, self._resting(self._now())):
            _log.info(
                "supervisor_acts",
                action=type(action).__name__.lower(),
                member=action.identity.name,
            )
            try:
                await self._do(action)
            except (DependencyUnavailable, Gone) as error:  # the next look shows what became of it
                _log.warning("action_failed", member=action.identity.name, reason=str(error))

    async def _do(self, action: Action) -> None:
        member = action.identity
        match action:
            case Create():
                await self._cluster.create(member)
                self._tracks[member] = tracking.Track(self._now())
            case Restart():
                self._note_restart(member, "hung")
                self._update(member, lambda track: tracking.after_death(track, self._now()))
                await self._cluster.restart(member)
            case Drain():
                now = self._now()
                self._update(member, lambda track: replace(track, draining_since=now))
                self._publish()
                await self._cluster.drain(member)
            case End():
                self._tracks.pop(member, None)
                self._publish()
                await self._cluster.end(member)
            case _:
                assert_never(action)

    def _seen(self) -> tuple[Seen, ...]:
        now = self._now()
        company: dict[str, float] = {**Counter(map(self._node, self._tracks))}
        company |= {self._home: math.inf, "": 0}  # without a node yet: it is the first to go
        return tuple(
            Seen(
                member,
                tracking.phase(track, now, self._settings),
                company[self._node(member)],
            )
            for member, track in self._tracks.items()
        )

    def _resting(self, now: float) -> Collection[MemberIdentity]:
        return {member for member, history in self._history.items() if history.resting(now)}

    def _publish(self) -> None:
        """Tells the watchers when something has changed for them."""
        members = tuple(sorted(one.identity for one in self._seen() if one.phase is Phase.READY))
        nodes = tuple(map(self._node, members))
        if (self._epoch, members, nodes) == (self._roster.epoch, *self._roster[2:]):
            return
        self._roster = Roster(self._epoch, self._roster.version + 1, members, nodes)
        self._roster_changed.set()
        self._roster_changed = asyncio.Event()

    def _node(self, member: MemberIdentity) -> str:
        heard = self._tracks[member].snapshot
        return "" if heard is None else heard.node

    def _measure(self) -> None:
        metrics.LEADER_EPOCH.set(self._epoch)
        seen = self._seen()
        resting = self._resting(self._now())
        for pool, state in self._pools.items():
            metrics.POOL_SIZE.labels(pool).set(state.size)
            metrics.MAX_MEMBERS.labels(pool).set(state.max_size)
            metrics.QUARANTINED.labels(pool).set(sum(one.pool == pool for one in resting))
            for phase in Phase:
                count = sum(one.identity.pool == pool and one.phase is phase for one in seen)
                metrics.MEMBERS.labels(pool, phase.value).set(count)


def _sized(state: PoolState, size: int) -> PoolState:
    return replace(state, size=min(max(size, state.min_size), state.max_size))
