"""Counters in Redis that all processes see and that go away by themselves."""

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from actors.errors import DependencyUnavailable

# One command, so that no counter is ever left without its end.
_ADD = """
local value = redis.call('INCRBY', KEYS[1], ARGV[1])
if value == tonumber(ARGV[1]) then
    redis.call('EXPIRE', KEYS[1], ARGV[2])
end
return value
"""


class RedisCounters:
    """Counters below one prefix. Owns its connections; fails fast and retries nothing."""

    def __init__(self, url: str, *, prefix: str, timeout_s: float, connections: int) -> None:
        self._prefix = prefix
        pool = BlockingConnectionPool.from_url(
            url,
            protocol=3,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            retry=Retry(NoBackoff(), 0),
            max_connections=connections,
        )
        self._redis: Redis = Redis.from_pool(pool)
        self._script = self._redis.register_script(_ADD)

    async def add(self, key: str, amount: int, ttl_s: int) -> int:
        """Raises a counter, which ends ``ttl_s`` after its first use; answers its value.

        Raises:
            DependencyUnavailable: Redis is away, slow, or all connections are in use.
        """
        try:
            value = await self._script(keys=[self._prefix + key], args=[amount, ttl_s])
        except (RedisError, OSError, TimeoutError) as error:
            raise DependencyUnavailable("redis") from error
        return int(value)

    async def close(self) -> None:
        """Closes the connections."""
        await self._redis.aclose()
