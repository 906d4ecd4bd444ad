"""What the first router tells of the servers and of all guilds, while it leads."""

from collections.abc import Sequence

import structlog
from redis.asyncio import Redis

from actors import metrics
from actors.router.relay import Chore
from actors.settings import GuildSettings
from actors.storage import usage
from actors.storage.database import Database
from actors.storage.streams import connect
from actors.storage.usage import Holdings, RedisUsage, ServerUsage

_log = structlog.get_logger("elders_guild.router")
_NEARLY_ALL = 0.8
_ONLY_WHO_LEADS_KNOWS = (
    metrics.OUTBOX_LAG_SECONDS,
    metrics.SLOWEST_SECONDS,
    metrics.HORIZON_AGE_SECONDS,
    metrics.DATABASE_CONNECTIONS,
    metrics.MAX_CONNECTIONS,
    metrics.CONNECTION_USAGE,
    metrics.DATABASE_BYTES,
    metrics.REPLICATION_LAG_SECONDS,
    metrics.REDIS_UP,
    metrics.REDIS_BYTES,
    metrics.REDIS_LIMIT_BYTES,
    metrics.KNOWLEDGE_ENTITIES,
    metrics.TASKS_BY_STATUS,
    metrics.INCIDENTS_BY_SEVERITY,
    metrics.DEAD_LETTERS_WAITING,
)


def forget() -> None:
    """What a router said while it led: the next one tells it now."""
    metrics.forget(*_ONLY_WHO_LEADS_KNOWS)


class Numbers:
    """Looks at PostgreSQL and Redis, and counts what the sages hold.

    Args:
        database: of the role ``guild_log``.
        settings: addresses and periods.
    """

    def __init__(self, database: Database, settings: GuildSettings) -> None:
        self._database = database
        self._settings = settings
        self._few_left = False

    def all(self) -> Sequence[Chore]:
        """The chores."""
        router = self._settings.router
        return (
            Chore("server", router.look_s, self._look_at_server),
            Chore("redis", router.look_s, self._look_at_redis),
            Chore("holdings", router.count_s, self._count),
        )

    async def _look_at_server(self) -> None:
        seen = await usage.of_server(self._database)
        tell_server(seen)
        few_left = seen.connections >= _NEARLY_ALL * seen.max_connections
        if few_left and not self._few_left:
            _log.warning(
                "few_connections_left", used=seen.connections, allowed=seen.max_connections
            )
        self._few_left = few_left

    async def _look_at_redis(self) -> None:
        url = self._settings.redis_url.get_secret_value()
        if not url:
            return
        client: Redis = connect(url, self._settings.router)
        try:
            tell_redis(await usage.of_redis(client))
        finally:
            await client.aclose()

    async def _count(self) -> None:
        tell_holdings(await usage.holdings(self._database))


def tell_server(seen: ServerUsage) -> None:
    """PostgreSQL's part of the metrics."""
    metrics.DATABASE_CONNECTIONS.set(seen.connections)
    metrics.MAX_CONNECTIONS.set(seen.max_connections)
    metrics.CONNECTION_USAGE.set(100 * seen.connections / seen.max_connections)
    metrics.DATABASE_BYTES.set(seen.size)
    metrics.forget(metrics.REPLICATION_LAG_SECONDS)
    for standby, lag_s in seen.standbys.items():
        metrics.REPLICATION_LAG_SECONDS.labels(standby).set(lag_s)


def tell_redis(seen: RedisUsage | None) -> None:
    """Redis's part; of one that does not answer nothing else is known."""
    metrics.REDIS_UP.set(seen is not None)
    if seen is None:
        metrics.forget(metrics.REDIS_BYTES, metrics.REDIS_LIMIT_BYTES)
        return
    metrics.REDIS_BYTES.set(seen.used)
    metrics.REDIS_LIMIT_BYTES.set(seen.limit)


def tell_holdings(seen: Holdings) -> None:
    """The sages' part."""
    metrics.KNOWLEDGE_ENTITIES.set(seen.knowledge)
    metrics.DEAD_LETTERS_WAITING.set(seen.dead_letters)
    metrics.forget(metrics.TASKS_BY_STATUS, metrics.INCIDENTS_BY_SEVERITY)
    for status, number in seen.tasks.items():
        metrics.TASKS_BY_STATUS.labels(status).set(number)
    for severity, number in seen.incidents.items():
        metrics.INCIDENTS_BY_SEVERITY.labels(severity).set(number)
