"""Dead letters, as their guild sees them."""

from collections.abc import Sequence

import asyncpg

from actors import paging
from actors.audit import entry_by
from actors.bus.messages import DeadLetter, DeadLetterPage, ListDeadLetters
from actors.events import StoredEvent
from actors.runtime.message import Command
from actors.storage import audit_log, inbox, log
from actors.storage.database import Database, Transaction

_STATE = """
CASE WHEN discarded_at IS NOT NULL THEN 'discarded' WHEN redriven_at IS NOT NULL THEN 'redriven'
     WHEN requested_at IS NOT NULL THEN 'requested' ELSE 'waiting' END
"""
# A declared subscription's letters stand under the id and generation of its deliveries.
_OF = """
(letter.subscription = {name} OR split_part(letter.subscription, '@', 1) IN (
    SELECT subscription_id FROM subscriptions WHERE guild_id = $1 AND name = {name}))
"""

_PAGE = f"""
SELECT coalesce(declared.name, letter.subscription) AS shown_as, letter.subscription AS kept_as,
       letter.event_id AS letter_id, attempts, letter.reason AS why, dead_at, requested_by,
       redriven_at, discarded_at, discarded_by, {_STATE} AS letter_state,
       letter.event IS NOT NULL AS is_kept, event.*
FROM dead_letters AS letter
LEFT JOIN subscriptions AS declared
     ON declared.subscription_id = split_part(letter.subscription, '@', 1)
CROSS JOIN LATERAL jsonb_populate_record(NULL::events, letter.event) AS event
WHERE letter.guild_id = $1 AND {_STATE} = ANY ($2::text[])
  AND ($3::text IS NULL OR {_OF.format(name="$3")})
  AND ($4::timestamptz IS NULL OR (dead_at, letter.subscription, letter.event_id) < ($4, $5, $6))
ORDER BY dead_at DESC, letter.subscription DESC, letter.event_id DESC LIMIT $7
"""  # noqa: S608  # constants only

_REDRIVE = f"""
UPDATE dead_letters AS marked
SET requested_at = clock_timestamp(), requested_by = $5
FROM (
    SELECT subscription, event_id FROM dead_letters AS letter
    WHERE guild_id = $1 AND {_OF.format(name="$2")} AND {_STATE} = 'waiting'
      AND (cardinality($3::text[]) = 0 OR event_id = ANY ($3))
      AND NOT EXISTS (
          SELECT FROM subject_keys
          WHERE guild_id = $1 AND subject = letter.event->>'sealed_for' AND erased_at IS NOT NULL)
    ORDER BY dead_at, event_id LIMIT $4 FOR UPDATE
) AS chosen
WHERE (marked.subscription, marked.event_id) = (chosen.subscription, chosen.event_id)
"""  # noqa: S608

_DISCARD = f"""
UPDATE dead_letters AS letter
SET discarded_at = clock_timestamp(), discarded_by = $4
WHERE guild_id = $1 AND {_OF.format(name="$2")} AND {_STATE} IN ('waiting', 'requested')
  AND event_id = ANY ($3)
"""  # noqa: S608


class PostgresDeadLetterStore:
    """The `DeadLetterStore` over a `Database` of the role ``guild_app``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, query: ListDeadLetters) -> DeadLetterPage:
        """Keyset paging, backwards along ``dead_letters_recent``."""
        dead_at, kept_as, event_id = None, None, None
        if query.cursor is not None:
            moment, kept_as, event_id = paging.decode(query.cursor, 3)
            dead_at = paging.moment(moment)
        guild_id = query.context.caller.guild_id
        async with self._database.read(guild_id) as tx:
            rows = await tx.fetch(
                _PAGE,
                guild_id,
                list(query.states),
                query.subscription,
                dead_at,
                kept_as,
                event_id,
                query.limit + 1,
            )
            shown = rows[: query.limit]
            found = iter(await log.decoded(tx, [row for row in shown if row["is_kept"]]))
        return DeadLetterPage(
            dead_letters=tuple(
                _letter(row, next(found) if row["is_kept"] else None) for row in shown
            ),
            next_cursor=_cursor(shown[-1]) if len(rows) > query.limit else None,
        )

    async def redrive(
        self, subscription: str, event_ids: Sequence[str], most: int, *, cause: Command[int]
    ) -> int:
        """Marks and reply in one transaction; the router looks for marked ones."""
        caller = cause.context.caller
        async with self._database.transaction(caller.guild_id) as tx:
            status = await tx.execute(
                _REDRIVE, caller.guild_id, subscription, list(event_ids), most, caller.principal_id
            )
            number = int(status.split()[-1])
            await inbox.record(tx, cause, number)
            await _tell(tx, cause, "deadletters.redrive", subscription, number)
        return number

    async def discard(
        self, subscription: str, event_ids: Sequence[str], *, cause: Command[int]
    ) -> int:
        """Marks and reply in one transaction."""
        caller = cause.context.caller
        async with self._database.transaction(caller.guild_id) as tx:
            status = await tx.execute(
                _DISCARD, caller.guild_id, subscription, list(event_ids), caller.principal_id
            )
            number = int(status.split()[-1])
            await inbox.record(tx, cause, number)
            await _tell(tx, cause, "deadletters.discard", subscription, number)
        return number


async def _tell(
    tx: Transaction, cause: Command[int], action: str, subscription: str, number: int
) -> None:
    details = {"number": number}
    told = entry_by(cause.context, action, "subscription", subscription, details)
    await audit_log.append(tx, [told])


def _letter(row: asyncpg.Record, found: log.Decoded) -> DeadLetter:
    event = found if isinstance(found, StoredEvent) and not found.is_erased else None
    return DeadLetter(
        subscription=row["shown_as"],
        event_id=row["letter_id"],
        event_type=row["type"] or "",
        event=event,
        attempts=row["attempts"],
        reason=row["why"],
        state=row["letter_state"],
        dead_at=row["dead_at"],
        requested_by=row["requested_by"],
        redriven_at=row["redriven_at"],
        discarded_at=row["discarded_at"],
        discarded_by=row["discarded_by"],
    )


def _cursor(row: asyncpg.Record) -> str:
    return paging.encode(row["dead_at"].isoformat(), row["kept_as"], row["letter_id"])
