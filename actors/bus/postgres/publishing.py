"""Events from outside, a whole group in one statement."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

import asyncpg

from actors.bus.domain.publishing import Line
from actors.bus.messages import Published
from actors.errors import ValidationError, VersionConflict
from actors.runtime.message import GuildId, Position
from actors.storage import sealing, seals
from actors.storage.database import AS_GUILD, Database, Transaction
from actors.storage.seals import Place

# A column is one text: the driver takes 15 µs to encode an event as elements of arrays, and 3 µs
# so. Neither character occurs in what is published.
_BETWEEN, _NULL = "\x1f", "\x1e"

_COLUMNS = Line._fields
_SPLIT = ", ".join(
    f"string_to_array(${number}, E'\\x1f', E'\\x1e')" for number in range(2, len(_COLUMNS) + 2)
)

# Numbers are given in the publisher's order before anything else, so that the order of an
# aggregate's versions is the order of the log. Heads and identities are written in the order of
# their keys: two groups that meet wait for each other, and do not lock each other out. Where a
# later transaction was first at an aggregate, its events are not written; then nothing may be: the
# statement divides by zero, and so ends without a commit although it is its own transaction.
_APPEND = f"""
WITH {AS_GUILD}, given AS MATERIALIZED (
    SELECT nextval('event_numbers') AS seq, line.*
    FROM unnest({_SPLIT}, $17::int[]) AS line({", ".join(_COLUMNS)}, later)
    WHERE (SELECT id FROM guild) = $1
), identities AS (
    INSERT INTO event_identities (guild_id, source, source_id, event_id, seq)
    SELECT $1, source, source_id, event_id, seq FROM given ORDER BY source, source_id
), heads AS (
    INSERT INTO aggregate_heads AS head (guild_id, aggregate_id, version, xid)
    SELECT $1, aggregate_id, number, pg_current_xact_id()
    FROM unnest($18::text[], $19::int[]) AS new(aggregate_id, number)
    WHERE (SELECT id FROM guild) = $1
    ON CONFLICT (guild_id, aggregate_id) DO UPDATE
    SET version = head.version + excluded.version, xid = excluded.xid
    WHERE head.xid <= excluded.xid
    RETURNING aggregate_id, version
), written AS (
    INSERT INTO events (seq, guild_id, event_id, source, source_id, type, schema_version, subject,
                        aggregate_id, aggregate_version, priority, occurred_at, correlation_id,
                        causation_id, principal_id, attributes, sealed_for, data)
    SELECT seq, $1, event_id, source, source_id, type, schema_version::smallint, subject,
           aggregate_id, version - later, priority, occurred_at::timestamptz, correlation_id,
           causation_id, principal_id, attributes::jsonb, sealed_for, data::jsonb
    FROM given JOIN heads USING (aggregate_id) ORDER BY seq
    RETURNING seq
)
SELECT pg_current_xact_id()::text AS xid, array_agg(seq) AS seqs,
       1 / (count(*) = cardinality($17))::int AS all_of_them
FROM written
"""  # noqa: S608  # names of our own fields

_FIRST = """
SELECT source, source_id, event_id, identity.xid::text AS xid, seq
FROM unnest($2::text[], $3::text[]) AS sought(source, source_id)
JOIN event_identities AS identity USING (source, source_id)
WHERE guild_id = $1
"""

# Others publish the same right now, or a later transaction was first at an aggregate.
_OVERTAKEN = (asyncpg.UniqueViolationError, asyncpg.DivisionByZeroError)
_REFUSED = (asyncpg.DataError, asyncpg.ProgramLimitExceededError)
_Identity = tuple[str, str]


class PostgresPublishingStore:
    """The `PublishingStore` over a `Database` of the role ``guild_app``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, guild_id: GuildId, lines: Sequence[Line]) -> Sequence[Published]:
        """One statement; where something was there already, one more transaction."""
        try:
            try:
                async with self._opened(guild_id, lines) as tx:
                    positions = await _write(tx, guild_id, await _sealed(tx, guild_id, lines))
            except asyncpg.UniqueViolationError:
                return await self._append_new(guild_id, lines)
        except _OVERTAKEN as error:
            raise VersionConflict("record", "") from error
        except _REFUSED as error:
            raise ValidationError("events", "hold what the database cannot store") from error
        return [
            Published(event_id=line.event_id, position=position)
            for line, position in zip(lines, positions, strict=True)
        ]

    def _opened(
        self, guild_id: GuildId, lines: Sequence[Line]
    ) -> AbstractAsyncContextManager[Transaction]:
        """A transaction where keys of data subjects are held before anything is written."""
        if any(line.sealed_for is not None for line in lines):
            return self._database.transaction(guild_id)
        return self._database.statements()

    async def _append_new(self, guild_id: GuildId, lines: Sequence[Line]) -> list[Published]:
        async with self._database.transaction(guild_id) as tx:
            firsts = await _firsts(tx, guild_id, lines)
            new: dict[_Identity, Line] = {}
            for line in lines:
                if _identity(line) not in firsts:
                    new.setdefault(_identity(line), line)
            if new:
                sealed = await _sealed(tx, guild_id, list(new.values()))
                for line, position in zip(sealed, await _write(tx, guild_id, sealed), strict=True):
                    firsts[_identity(line)] = Published(event_id=line.event_id, position=position)
        return [_answer(line, firsts) for line in lines]


async def _sealed(tx: Transaction, guild_id: GuildId, lines: Sequence[Line]) -> Sequence[Line]:
    """The lines as the log keeps them; the database is asked only where there is a data subject."""
    subjects = {line.sealed_for for line in lines if line.sealed_for is not None}
    if not subjects:
        return lines
    sealings = await sealing.hold(tx, guild_id, subjects)
    sealed = []
    for index, line in enumerate(lines):
        if line.sealed_for is None:
            sealed.append(line)
            continue
        digest, key = sealings[line.sealed_for]
        if key is None:
            raise ValidationError(f"events[{index}].datasubject", sealing.ERASED)
        data = seals.seal(key, Place(guild_id, line.event_id, line.type), line.data)
        sealed.append(line._replace(sealed_for=digest, data=data))
    return sealed


async def _write(tx: Transaction, guild_id: GuildId, lines: Sequence[Line]) -> list[Position]:
    columns = list(zip(*lines, strict=True))
    numbers = Counter(line.aggregate_id for line in lines)
    heads = sorted(numbers)
    row = await tx.fetchrow(
        _APPEND,
        guild_id,
        *map(_joined, columns),
        _later(lines),
        heads,
        [numbers[aggregate_id] for aggregate_id in heads],
    )
    assert row is not None  # noqa: S101  # an aggregate without groups always answers
    seqs = sorted(row["seqs"])
    xid, epoch = int(row["xid"]), tx.epoch
    tx.position = Position(xid, seqs[-1], epoch)
    return [Position(xid, seq, epoch) for seq in seqs]


def _joined(column: Iterable[object]) -> str:
    return _BETWEEN.join(_NULL if value is None else str(value) for value in column)


def _later(lines: Sequence[Line]) -> list[int]:
    """For each line, how many of its aggregate come behind it."""
    seen: Counter[str] = Counter()
    later = []
    for line in reversed(lines):
        later.append(seen[line.aggregate_id])
        seen[line.aggregate_id] += 1
    later.reverse()
    return later


async def _firsts(
    tx: Transaction, guild_id: GuildId, lines: Sequence[Line]
) -> dict[_Identity, Published]:
    sources, source_ids = zip(*{_identity(line): None for line in lines}, strict=True)
    rows = await tx.fetch(_FIRST, guild_id, sources, source_ids)
    return {
        (row["source"], row["source_id"]): Published(
            event_id=row["event_id"], position=Position(int(row["xid"]), row["seq"], tx.epoch)
        )
        for row in rows
    }


def _answer(line: Line, firsts: Mapping[_Identity, Published]) -> Published:
    first = firsts[_identity(line)]
    if first.event_id == line.event_id:
        return first
    return Published(event_id=first.event_id, position=first.position, duplicate=True)


def _identity(line: Line) -> _Identity:
    return line.source, line.source_id
