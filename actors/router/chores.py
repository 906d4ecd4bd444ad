"""What the first router does besides delivering: timers, redrives, housekeeping."""

from collections.abc import Callable, Sequence

import structlog

from actors import clock, metrics
from actors.router.numbers import Numbers
from actors.router.redrive import redrive_requested
from actors.router.relay import Chore, Relay
from actors.router.sinks.factory import Sinks
from actors.router.store import RouterStore
from actors.settings import GuildSettings
from actors.storage import timers
from actors.storage.database import Database
from actors.storage.housekeeping import HorizonWatch, keep_house
from actors.storage.leaders import Lease

_log = structlog.get_logger("elders_guild.router")
_HORIZON_PERIOD_S = 1.0


class Chores:
    """Work under one lease.

    Args:
        database: of the role ``guild_log``.
        lease: the router's.
        store: for the dead letters.
        sinks: where a subscription's events go.
        settings: numbers.
    """

    def __init__(
        self,
        database: Database,
        lease: Lease,
        store: RouterStore,
        sinks: Sinks,
        settings: GuildSettings,
    ) -> None:
        self._database = database
        self._lease = lease
        self._store = store
        self._sinks = sinks
        self._settings = settings
        self._horizon = HorizonWatch(database)
        self._numbers = Numbers(database, settings)

    def all(self, relay: Callable[[], Relay | None]) -> Sequence[Chore]:
        """Everything there is to do, with how often, for the relay that is running."""
        router = self._settings.router

        async def redrive() -> None:
            running = relay()
            if running is not None:
                await redrive_requested(self._store, self._sinks, router, running.serving)

        return (
            Chore("timers", router.timers_poll_s, self._fire_timers),
            Chore("redrive", router.redrive_poll_s, redrive),
            Chore("horizon", _HORIZON_PERIOD_S, self._watch_horizon),
            Chore("house", self._settings.log.housekeeping_s, self._keep_house),
            *self._numbers.all(),
        )

    async def _fire_timers(self) -> None:
        batch = self._settings.router.timers_batch
        while await timers.fire_due(self._database, self._lease, batch) == batch:
            continue  # there were more than fit

    async def _watch_horizon(self) -> None:
        metrics.HORIZON_AGE_SECONDS.set(await self._horizon.age_s())

    async def _keep_house(self) -> None:
        done = await keep_house(self._database, self._settings.log, clock.now())
        if done.partitions_made or done.partitions_dropped:
            _log.info(
                "log_partitions",
                made=done.partitions_made,
                dropped=done.partitions_dropped,
                forgotten=done.rows_forgotten,
            )
