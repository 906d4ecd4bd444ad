"""What the guild uses of its servers, and how much it holds. Needs the role ``guild_log``."""

from collections.abc import Mapping
from dataclasses import dataclass

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from actors.storage.database import Database

# The server does not tell what kind of session another role's is, but that it is in a database.
_SERVER = """
SELECT (SELECT count(*) FROM pg_stat_activity WHERE datid IS NOT NULL) AS connections,
       current_setting('max_connections')::integer AS max_connections,
       pg_database_size(current_database()) AS size,
       (SELECT jsonb_object_agg(name, lag) FROM (
            SELECT application_name AS name, max(extract(epoch FROM replay_lag)) AS lag
            FROM pg_stat_replication WHERE replay_lag IS NOT NULL
            GROUP BY application_name ORDER BY lag DESC LIMIT 10
        ) AS standby)::text AS standbys
"""
_HOLDINGS = """
SELECT 'task' AS kind, status AS label, count(*) AS number
FROM tasks WHERE deleted_at IS NULL GROUP BY status
UNION ALL
SELECT 'incident', severity, count(*) FROM incidents
WHERE status IN ('open', 'acknowledged', 'assessing', 'responding') GROUP BY severity
UNION ALL
SELECT 'knowledge', '', count(*) FROM knowledge_entities WHERE deleted_at IS NULL
UNION ALL
SELECT 'dead letter', '', count(*) FROM dead_letters
WHERE redriven_at IS NULL AND discarded_at IS NULL
"""


@dataclass(frozen=True, slots=True)
class ServerUsage:
    """PostgreSQL, of all its databases unless said.

    Attributes:
        size: of this database, bytes.
        standbys: seconds that each is behind, as far as the role may see them.
    """

    connections: int
    max_connections: int
    size: int
    standbys: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Holdings:
    """How much all guilds hold together; what there is none of is left out."""

    knowledge: int
    tasks: Mapping[str, int]
    incidents: Mapping[str, int]
    dead_letters: int


@dataclass(frozen=True, slots=True)
class RedisUsage:
    """Bytes; a limit of 0 is none."""

    used: int
    limit: int


async def of_server(database: Database) -> ServerUsage:
    """What PostgreSQL says of itself.

    Raises:
        DependencyUnavailable: it does not answer.
    """
    (row,) = await database.fetch_across_guilds(_SERVER)
    standbys = {} if row["standbys"] is None else orjson.loads(row["standbys"])
    return ServerUsage(row["connections"], row["max_connections"], row["size"], standbys)


async def holdings(database: Database) -> Holdings:
    """Counts; reads every task and entity once, so do not ask often.

    Raises:
        DependencyUnavailable: the database does not answer, or not in time.
    """
    rows = await database.fetch_across_guilds(_HOLDINGS)
    counted = {
        kind: {row["label"]: row["number"] for row in rows if row["kind"] == kind}
        for kind in ("knowledge", "task", "incident", "dead letter")
    }
    return Holdings(
        knowledge=counted["knowledge"].get("", 0),
        tasks=counted["task"],
        incidents=counted["incident"],
        dead_letters=counted["dead letter"].get("", 0),
    )


async def of_redis(client: Redis) -> RedisUsage | None:
    """What Redis says of its memory; None: it does not answer."""
    try:
        said = await client.info("memory")
    except (RedisError, OSError, TimeoutError):
        return None
    return RedisUsage(int(said["used_memory"]), int(said.get("maxmemory", 0)))
