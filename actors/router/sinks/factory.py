"""The sink that a subscription asks for."""

from collections.abc import Callable
from functools import partial
from typing import assert_never

from actors.bus import messages
from actors.outbound.client import Outbound
from actors.router.pace import Pace
from actors.router.routing import Subscription
from actors.router.sink import Sink
from actors.router.sinks.pool import PoolSink
from actors.router.sinks.pull import PullSink
from actors.router.sinks.stream import StreamSink, StreamWriter
from actors.router.sinks.webhook import WebhookSink
from actors.runtime.pool import Asker
from actors.settings import GuildSettings
from actors.storage.database import Database
from actors.webhooks.keys import WebhookKeys


class Sinks:
    """Makes sinks for one leader, and holds what they share: close it after them.

    Args:
        pool: the pool of a name.
        database: of the role ``guild_log``.
        settings: of the whole guild: addresses, keys, bounds.

    Raises:
        BadKeyRing: ``SECRET_KEY`` cannot be used.
    """

    def __init__(
        self, pool: Callable[[str], Asker], database: Database, settings: GuildSettings
    ) -> None:
        self._pool = pool
        self._database = database
        self._settings = settings
        self._keys = WebhookKeys(settings.secret_key.get_secret_value())
        self._outbound = Outbound(settings.outbound)
        self._streams = StreamWriter(settings.redis_url.get_secret_value(), settings.router)

    def __call__(self, subscription: Subscription) -> Sink:
        """A new sink; whoever asked closes it."""
        match subscription.sink:
            case None:
                return PoolSink(self._pool(subscription.pool))
            case messages.PoolSink(pool=pool, batch=batch):
                return PoolSink(self._pool(pool), batch)
            case messages.PullSink():
                return PullSink(self._database, self._settings.bus)
            case messages.WebhookSink():
                return self._webhook(subscription, subscription.sink)
            case messages.StreamSink(stream=stream, max_length=max_length):
                router = self._settings.router
                return StreamSink(self._streams, stream, max_length, router, self._pace())
            case messages.SseSink():
                raise ValueError("nothing is delivered there")
            case _:
                assert_never(subscription.sink)

    async def close(self) -> None:
        """Lets go of all connections."""
        await self._outbound.close()
        await self._streams.close()

    def _webhook(self, subscription: Subscription, declared: messages.WebhookSink) -> WebhookSink:
        signed_for = subscription.declared_as or subscription.name
        per_minute = declared.per_minute
        # Each router has its share of the aggregates, so of the rate as well.
        share = None if per_minute is None else per_minute / self._settings.router.partitions
        return WebhookSink(
            self._outbound,
            declared.url,
            partial(self._keys.valid, signed_for, declared.key_version),
            self._settings.webhooks,
            pace=self._pace(self._settings.webhooks.requests_at_once, share),
            batch=declared.batch,
        )

    def _pace(self, at_once: int | None = None, per_minute: float | None = None) -> Pace:
        router = self._settings.router
        return Pace(
            rest_after=router.rest_after,
            rest_s=router.rest_s,
            rest_max_s=router.rest_max_s,
            at_once=at_once,
            per_minute=per_minute,
        )
