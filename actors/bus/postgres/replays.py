"""Replays in PostgreSQL. The router watches the revision, and writes how far they have come."""

import asyncpg

from actors import paging
from actors.bus.messages import Replay, ReplayPage, StartReplay
from actors.bus.postgres import origins
from actors.errors import ValidationError, VersionConflict
from actors.runtime.message import Command, GuildId, Position
from actors.storage import inbox
from actors.storage.database import Database

_COLUMNS = """
replay_id, subscription, from_xid::text AS from_xid, from_seq, to_xid::text AS to_xid, to_seq,
speed, state, delivered, version, created_at, created_by, finished_at
"""
_START = f"""
INSERT INTO replays (guild_id, replay_id, subscription, from_xid, from_seq, to_xid, to_seq, speed,
                     correlation_id, created_by)
SELECT $1, $2, $3, $4::text::xid8, $5, $6::text::xid8, $7, $8, $9, $10
WHERE (SELECT count(*) FROM replays WHERE guild_id = $1 AND state = 'running') < $11
RETURNING {_COLUMNS}
"""  # noqa: S608  # constants only
_CANCEL = f"""
UPDATE replays SET state = 'cancelled', version = version + 1, finished_at = now()
WHERE guild_id = $1 AND replay_id = $2 AND state = 'running'
RETURNING {_COLUMNS}
"""  # noqa: S608
_RAISE = "UPDATE subscription_revision SET revision = revision + 1"


class PostgresReplayStore:
    """The `ReplayStore` over a `Database` of the role ``guild_app``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def start(self, command: StartReplay, replay_id: str, most_running: int) -> Replay | None:
        """Row, revision and reply in one transaction."""
        context = command.context
        guild_id = context.caller.guild_id
        async with self._database.transaction(guild_id) as tx:
            await tx.execute(_RAISE)  # first: its lock has those who start at once count in turn
            begin = await origins.resolve(tx, guild_id, command.begin)
            end = await origins.resolve(tx, guild_id, command.end)
            if end <= begin:
                raise ValidationError("end", "is not behind begin")
            row = await tx.fetchrow(
                _START,
                guild_id,
                replay_id,
                command.subscription,
                str(begin.xid),
                begin.seq,
                str(end.xid),
                end.seq,
                command.speed,
                context.correlation_id,
                context.caller.principal_id,
                most_running,
            )
            if row is None:
                return None
            replay = _replay(row, tx.epoch)
            await inbox.record(tx, command, replay)
        return replay

    async def get(self, guild_id: GuildId, replay_id: str) -> Replay | None:
        """By primary key."""
        async with self._database.read(guild_id) as tx:
            row = await tx.fetchrow(
                f"SELECT {_COLUMNS} FROM replays WHERE guild_id = $1 AND replay_id = $2",  # noqa: S608
                guild_id,
                replay_id,
            )
        return None if row is None else _replay(row, self._database.epoch)

    async def page(self, guild_id: GuildId, limit: int, cursor: str | None) -> ReplayPage:
        """Keyset paging, backwards along the primary key: ids begin with their time."""
        before = None if cursor is None else paging.decode(cursor, 1)[0]
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(
                f"SELECT {_COLUMNS} FROM replays WHERE guild_id = $1"  # noqa: S608
                " AND ($2::text IS NULL OR replay_id < $2) ORDER BY replay_id DESC LIMIT $3",
                guild_id,
                before,
                limit + 1,
            )
        found = tuple(_replay(row, self._database.epoch) for row in rows[:limit])
        more = len(rows) > limit
        return ReplayPage(
            replays=found, next_cursor=paging.encode(found[-1].replay_id) if more else None
        )

    async def cancel(self, replay: Replay, *, cause: Command[Replay]) -> Replay:
        """Row, waiting lines, revision and reply in one transaction."""
        guild_id = cause.context.caller.guild_id
        async with self._database.transaction(guild_id) as tx:
            row = await tx.fetchrow(_CANCEL, guild_id, replay.replay_id)
            if row is None:
                raise VersionConflict("replay", replay.replay_id)
            await tx.execute(
                "DELETE FROM pull_deliveries WHERE subscription = $1", replay.replay_id
            )
            await tx.execute(_RAISE)
            cancelled = _replay(row, tx.epoch)
            await inbox.record(tx, cause, cancelled)
        return cancelled


def _replay(row: asyncpg.Record, epoch: int) -> Replay:
    return Replay(
        replay_id=row["replay_id"],
        subscription=row["subscription"],
        begin=Position(int(row["from_xid"]), row["from_seq"], epoch),
        end=Position(int(row["to_xid"]), row["to_seq"], epoch),
        speed=row["speed"],
        state=row["state"],
        delivered=row["delivered"],
        version=row["version"],
        created_at=row["created_at"],
        created_by=row["created_by"],
        finished_at=row["finished_at"],
    )
