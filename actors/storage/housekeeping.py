"""What keeps the log in shape: partitions ahead, old ones dropped, old answers forgotten.

Needs the role ``guild_log``. Everything here can be repeated, and by two routers at once.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from actors.settings import LogSettings
from actors.storage.database import Database
from actors.storage.schema_lock import LOCK

_FIRST_MONDAY = date(1970, 1, 5)

# Left for a later round while somebody copies the database, or migrates it.
_ADD = """
SELECT CASE WHEN pg_try_advisory_xact_lock($3) THEN log_partition_add($1, $2) ELSE false END
"""
_DROP = """
SELECT CASE WHEN pg_try_advisory_xact_lock($2) THEN log_partitions_drop($1) ELSE '{}' END
"""
_FORGET_REPLIES = """
WITH old AS (
    SELECT guild_id, command_id FROM inbox
    WHERE handled_at < clock_timestamp() - make_interval(days => $1)
    ORDER BY handled_at LIMIT $2
)
DELETE FROM inbox USING old
WHERE inbox.guild_id = old.guild_id AND inbox.command_id = old.command_id
"""
_FORGET_IDENTITIES = """
WITH old AS (
    SELECT guild_id, source, source_id FROM event_identities
    WHERE recorded_at < clock_timestamp() - make_interval(days => $1) LIMIT $2
)
DELETE FROM event_identities AS known USING old
WHERE known.guild_id = old.guild_id AND known.source = old.source
  AND known.source_id = old.source_id
"""
# A finished line is kept until its subscription's cursor has passed it: a repeat must find it.
_FORGET_PULLED = """
WITH done AS (
    SELECT line.subscription, line.xid, line.seq FROM pull_deliveries AS line
    JOIN cursors ON cursors.subscription = line.subscription
    WHERE line.finished_at < clock_timestamp() - interval '1 hour'
      AND (line.xid, line.seq) <= (cursors.xid, cursors.seq)
    LIMIT $1
)
DELETE FROM pull_deliveries AS line USING done
WHERE (line.subscription, line.xid, line.seq) = (done.subscription, done.xid, done.seq)
"""
# A session goes after its last token: as many as it has would go along at once.
# A code that comes again within the hour still ends what it gave.
_FORGET_SIGN_INS = (
    """
    WITH old AS (
        SELECT token.digest FROM sessions JOIN refresh_tokens AS token USING (session_id)
        WHERE sessions.expires_at < clock_timestamp() LIMIT $1
    )
    DELETE FROM refresh_tokens AS token USING old WHERE token.digest = old.digest
    """,
    """
    WITH old AS (
        SELECT session_id FROM sessions
        WHERE expires_at < clock_timestamp() AND NOT EXISTS (
            SELECT FROM refresh_tokens AS token WHERE token.session_id = sessions.session_id
        )
        LIMIT $1
    )
    DELETE FROM sessions USING old WHERE sessions.session_id = old.session_id
    """,
    """
    WITH old AS (
        SELECT digest FROM authorization_codes
        WHERE expires_at < clock_timestamp() - interval '1 hour' LIMIT $1
    )
    DELETE FROM authorization_codes AS code USING old WHERE code.digest = old.digest
    """,
    """
    WITH old AS (
        SELECT guild_id, kind, subject FROM revocations
        WHERE expires_at < clock_timestamp() LIMIT $1
    )
    DELETE FROM revocations AS known USING old
    WHERE (known.guild_id, known.kind, known.subject) = (old.guild_id, old.kind, old.subject)
      AND known.expires_at < clock_timestamp()
    """,
    """
    WITH old AS (
        SELECT lane FROM sign_in_attempts
        WHERE began_at < clock_timestamp() - interval '1 hour' LIMIT $1
    )
    DELETE FROM sign_in_attempts AS known USING old WHERE known.lane = old.lane
      AND known.began_at < clock_timestamp() - interval '1 hour'
    """,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What one round did."""

    partitions_made: int
    partitions_dropped: tuple[str, ...]
    rows_forgotten: int


async def keep_house(database: Database, settings: LogSettings, now: datetime) -> Done:
    """One round. Deletes at most ``housekeeping_rows`` of a kind.

    Raises:
        DependencyUnavailable: the database is away, or a table is locked for too long.
    """
    made = 0
    for begin, end in partitions(now, settings):
        async with database.across_guilds() as tx:
            made += await tx.fetchval(_ADD, begin, end, LOCK)
    async with database.across_guilds() as tx:
        last_day = (now - timedelta(days=settings.retention_days)).astimezone(UTC).date()
        dropped = await tx.fetchval(_DROP, last_day, LOCK)
    rows = settings.housekeeping_rows
    forgotten = 0
    for statement, arguments in (
        (_FORGET_REPLIES, (settings.inbox_days, rows)),
        (_FORGET_IDENTITIES, (settings.identity_days, rows)),
        (_FORGET_PULLED, (rows,)),
        *((statement, (rows,)) for statement in _FORGET_SIGN_INS),
    ):
        async with database.across_guilds() as tx:
            forgotten += int((await tx.execute(statement, *arguments)).rpartition(" ")[2])
    return Done(partitions_made=made, partitions_dropped=tuple(dropped), rows_forgotten=forgotten)


def partitions(now: datetime, settings: LogSettings) -> list[tuple[date, date]]:
    """The present partition and those ahead: first day, and the day after the last. Pure."""
    days = settings.partition_days
    today = now.astimezone(UTC).date()
    begin = today - timedelta(days=(today - _FIRST_MONDAY).days % days)
    return [
        (begin + timedelta(days=days * number), begin + timedelta(days=days * (number + 1)))
        for number in range(settings.partitions_ahead + 1)
    ]


class HorizonWatch:
    """How long the oldest open transaction has held the horizon, as far as was looked.

    The server tells no one but administrators whose transaction it is; that it stands still can
    be seen by everybody.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._standing: tuple[int, datetime] | None = None

    async def age_s(self) -> float:
        """Seconds since the horizon was first seen where it stands; 0 while nothing is open."""
        async with self._database.across_guilds() as tx:
            row = await tx.fetchrow(
                "SELECT pg_snapshot_xmin(now)::text AS xmin, pg_snapshot_xmax(now)::text AS xmax,"
                " clock_timestamp() AS at FROM pg_current_snapshot() AS now"
            )
        assert row is not None  # noqa: S101  # a function always answers
        if row["xmin"] == row["xmax"]:
            self._standing = None
            return 0.0
        xmin = int(row["xmin"])
        if self._standing is None or self._standing[0] != xmin:
            self._standing = xmin, row["at"]
        age: timedelta = row["at"] - self._standing[1]
        return age.total_seconds()
