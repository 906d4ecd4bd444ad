"""Erasing a data subject: its key is destroyed, and the log says so."""

from actors.audit import entry_by
from actors.bus.messages import EraseSubject, Erasure
from actors.events import SubjectErased
from actors.storage import audit_log, sealing, system_events
from actors.storage.database import Database
from actors.storage.system_events import SystemEvent

# Nobody can deliver these any more: they stay listed, without a payload.
_PUT_AWAY = """
UPDATE dead_letters SET discarded_at = clock_timestamp(), discarded_by = $3
WHERE guild_id = $1 AND event->>'sealed_for' = $2
  AND redriven_at IS NULL AND discarded_at IS NULL
"""


class PostgresErasureStore:
    """The `ErasureStore` over a `Database` of the role ``guild_app``."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def erase(self, command: EraseSubject) -> Erasure:
        """Key, dead letters and event in one transaction, after those who publish right now."""
        caller = command.context.caller
        guild_id, by = caller.guild_id, caller.principal_id
        async with self._database.transaction(guild_id) as tx:
            done = await sealing.destroy(tx, guild_id, command.subject, by)
            if done.first:
                await tx.execute(_PUT_AWAY, guild_id, done.digest, by)
                erased = SystemEvent(
                    guild_id=guild_id,
                    aggregate_id=f"subject:{done.digest}",
                    payload=SubjectErased(subject_digest=done.digest),
                    correlation_id=command.context.correlation_id,
                    causation_id=command.context.causation_id or command.command_id,
                    principal_id=by,
                )
                await system_events.append(tx, [erased])
                told = entry_by(command.context, erased.payload.type, "subject", done.digest)
                await audit_log.append(tx, [told])
        self._database.vault.forget((guild_id, done.digest))
        return Erasure(subject_digest=done.digest, erased_at=done.erased_at)
