"""The sink that a subscription asks for."""

from collections.abc import Callable
from typing import assert_never

from actors.bus import messages
from actors.router.routing import Subscription
from actors.router.sink import Sink
from actors.router.sinks.pool import PoolSink
from actors.router.sinks.pull import PullSink
from actors.runtime.pool import Asker
from actors.settings import GuildSettings
from actors.storage.database import Database


class Sinks:
    """Makes sinks for one leader.

    Args:
        pool: the pool of a name.
        database: of the role ``guild_log``.
        settings: of the whole guild: addresses, keys, bounds.
    """

    def __init__(
        self, pool: Callable[[str], Asker], database: Database, settings: GuildSettings
    ) -> None:
        self._pool = pool
        self._database = database
        self._settings = settings

    def __call__(self, subscription: Subscription) -> Sink:
        """A new sink; whoever asked closes it."""
        match subscription.sink:
            case None:
                return PoolSink(self._pool(subscription.pool))
            case messages.PoolSink(pool=pool, batch=batch):
                return PoolSink(self._pool(pool), batch)
            case messages.PullSink():
                return PullSink(self._database, self._settings.bus)
            case messages.WebhookSink() | messages.StreamSink() | messages.SseSink():
                raise ValueError("nothing is delivered there")
            case _:
                assert_never(subscription.sink)
