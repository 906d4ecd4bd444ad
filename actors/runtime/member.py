"""The base of every sage's actor class: what a member of a pool does besides being a sage."""

import asyncio
from typing import Any

import structlog

from actors import clock, metrics
from actors.errors import DependencyUnavailable, ElderGuildError
from actors.runtime import node, observed
from actors.runtime.effort import Effort
from actors.runtime.envelope import Answer, Batch, Snapshot
from actors.runtime.handling import Handling
from actors.runtime.host import Host
from actors.runtime.identity import MemberIdentity
from actors.runtime.message import Handlers, Message, Outcome
from actors.runtime.pools import Pools
from actors.runtime.workload import Workload
from actors.settings import settings

_log = structlog.get_logger("elders_guild.runtime")


class Member:
    """A Ray actor that handles the messages of one sage.

    A subclass implements `open`, and that is all it does. Nothing here needs Ray, so tests may
    use a member as a plain object.
    """

    def __init__(self, identity: MemberIdentity) -> None:
        self.identity = identity
        self._settings = settings()
        observed.begin(self._settings, identity.pool)
        self._incarnation = clock.new_id("run")
        self._workload = Workload(
            identity.pool, self._incarnation, self._handle, self._settings.runtime
        )
        self._effort = Effort()
        self._pools = Pools(self._settings)
        self._host: Host | None = None
        self._handling: Handling | None = None
        self._opening: asyncio.Task[None] | None = None

    async def open(self, host: Host) -> Handlers:
        """Opens what the sage needs and returns its handlers.

        Runs once at start, and again after a pause whenever it raised. Until it has returned,
        messages are answered by `DependencyUnavailable`. What was opened is closed through
        ``host.on_close``, also when a later step of ``open`` fails.
        """
        raise NotImplementedError

    async def submit(self, batch: Batch) -> Answer:
        """Handles what waited in one mailbox; see `Workload.submit`."""
        self._start()
        return await self._workload.submit(batch)

    async def collect(self, caller: str) -> Answer:
        """What the caller's earlier batches left unfinished; see `Workload.collect`."""
        return await self._workload.collect(caller)

    async def health(self) -> Snapshot:
        """Answers while the event loop lives; the first question starts the member."""
        self._start()
        self._workload.sweep()
        node.watch(self._settings).look()
        metrics.UNFINISHED.labels(self.identity.pool).set(self._workload.unfinished)
        return Snapshot(
            identity=self.identity,
            incarnation=self._incarnation,
            ready=self._handling is not None,
            draining=self._workload.draining,
            unfinished=self._workload.unfinished,
            waiting=self._workload.waiting,
            handled=self._workload.handled,
            samples=metrics.samples(),
            oldest_wait_s=self._workload.oldest_wait_s,
            busy=self._effort.share(),
        )

    async def drain(self) -> None:
        """Refuses new messages from now on; what was accepted is finished and handed back."""
        self._workload.draining = True

    async def stop(self) -> None:
        """Closes what ``open`` opened. The process is ended by the supervisor afterwards."""
        await self.drain()
        if self._opening is not None:
            self._opening.cancel()
        self._handling = None
        if self._host is not None:
            await self._host.close()
        await self._pools.close()

    async def _handle(self, message: Message[Any], timeout_s: float, attempt: int) -> Outcome[Any]:
        if self._handling is None:
            return Outcome(error=DependencyUnavailable(self.identity.pool))
        return await self._handling.run(message, timeout_s=timeout_s, attempt=attempt)

    def _start(self) -> None:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open_until_ready())

    async def _open_until_ready(self) -> None:
        runtime = self._settings.runtime
        pause_s = runtime.restart_backoff_s
        while True:
            host = Host(self._settings, self._pools, self._pools.router_nudger())
            try:
                handlers = await self.open(host)
            except asyncio.CancelledError:
                await host.close()
                raise
            except Exception as error:
                await host.close()
                _log_not_opened(self.identity, error)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, runtime.restart_backoff_max_s)
            else:
                self._host = host
                self._handling = Handling(handlers, host.ledger, self.identity.pool)
                _log.info("member_ready", member=self.identity.name, run=self._incarnation)
                return


def _log_not_opened(identity: MemberIdentity, error: Exception) -> None:
    match error:
        case ElderGuildError():
            _log.warning("member_waits", member=identity.name, code=error.code, reason=str(error))
        case _:
            _log.error("member_not_opened", member=identity.name, exc_info=error)
