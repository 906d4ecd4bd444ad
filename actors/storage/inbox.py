"""Once: the reply of every command that took effect, kept in the transaction of the effect."""

from dataclasses import dataclass
from typing import Any, Generic

import asyncpg
from pydantic import TypeAdapter

from actors.errors import ElderGuildError, ValidationError
from actors.events import DeliverEvents, StoredEvent
from actors.runtime.message import (
    Command,
    GuildId,
    Message,
    Outcome,
    Position,
    ReplyT,
    reply_type,
)
from actors.storage.database import Database, Transaction


@dataclass(frozen=True, slots=True)
class Recalled(Generic[ReplyT]):
    """What a command answered the first time."""

    reply: ReplyT
    position: Position | None


class AlreadyHandled(ElderGuildError):
    """Raised inside a transaction that would do a command a second time; it rolls back.

    The member answers with what the inbox holds; a caller never sees this.
    """

    code = "already_handled"
    retryable = True


async def record(tx: Transaction, command: Command[ReplyT], reply: ReplyT) -> None:
    """Writes the command's reply; call it last, in the transaction of the effect.

    Raises:
        AlreadyHandled: the command took effect before.
    """
    status = await tx.execute(
        "INSERT INTO inbox (guild_id, command_id, request_hash, reply, position)"
        " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        command.context.caller.guild_id,
        command.command_id,
        command.request_hash,
        as_kept(command, reply).decode(),
        None if tx.position is None else str(tx.position),
    )
    if status != "INSERT 0 1":
        raise AlreadyHandled


async def check_new(tx: Transaction, command: Command[Any]) -> None:
    """For what would take a repeat of the command for something else.

    Raises:
        AlreadyHandled: the command took effect before.
    """
    known = await tx.fetchval(
        "SELECT true FROM inbox WHERE guild_id = $1 AND command_id = $2",
        command.context.caller.guild_id,
        command.command_id,
    )
    if known:
        raise AlreadyHandled


def as_kept(command: Command[ReplyT], reply: ReplyT) -> bytes:
    """The JSON that a reply is kept as."""
    return _adapter(type(command)).dump_json(reply)


def earlier(row: asyncpg.Record, command: Command[ReplyT]) -> Outcome[ReplyT]:
    """What the command answered the first time.

    A command whose id was used for a different request has a `ValidationError` instead.

    Args:
        row: of the command's id, with ``request_hash``, ``reply`` and ``position``.
        command: that is here again.
    """
    try:
        recalled = _recalled(row, command)
    except ValidationError as error:
        return Outcome(error=error)
    return Outcome(reply=recalled.reply, position=recalled.position)


def _recalled(row: asyncpg.Record, command: Command[ReplyT]) -> Recalled[ReplyT]:
    if row["request_hash"] != command.request_hash:
        raise ValidationError("Idempotency-Key", "was used for a different request")
    reply: ReplyT = _adapter(type(command)).validate_json(row["reply"])
    position = row["position"]
    return Recalled(reply, None if position is None else Position.parse(position))


async def forestall(tx: Transaction, guild_id: GuildId, command_id: str) -> bool:
    """Makes sure that a command whose reply is None, and that took no effect yet, never will.

    It is answered as if it had: a late repeat of it, still on its way somewhere, changes nothing.
    Waits for a transaction that is about to record the same command.

    Returns:
        False: it has taken effect, and what it did can be seen from now on.
    """
    status = await tx.execute(
        "INSERT INTO inbox (guild_id, command_id, reply) VALUES ($1, $2, 'null')"
        " ON CONFLICT DO NOTHING",
        guild_id,
        command_id,
    )
    return status == "INSERT 0 1"


async def record_batch(tx: Transaction, message: DeliverEvents) -> tuple[StoredEvent, ...]:
    """Writes a row for each event of a batch and answers those that are here for the first time.

    Only these shall take effect. Call it in the transaction of the effects, before them.
    """
    rows = await tx.fetch(
        "INSERT INTO inbox (guild_id, command_id)"
        " SELECT $1, $2 || '/' || event_id FROM unnest($3::text[]) AS event_id ORDER BY event_id"
        " ON CONFLICT DO NOTHING RETURNING command_id",
        message.context.caller.guild_id,
        message.subscription,
        [event.event_id for event in message.events],
    )
    begin = len(message.subscription) + 1
    new = {row["command_id"][begin:] for row in rows}
    return tuple(event for event in message.events if event.event_id in new)


class Inbox:
    """The runtime's `Ledger`: recalls the reply of a command that was handled before."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def recall(self, command: Command[ReplyT]) -> Recalled[ReplyT] | None:
        """The first reply to this command id, or None when it is new.

        Raises:
            ValidationError: the id was used for a different request.
        """
        async with self._database.read(command.context.caller.guild_id) as tx:
            row = await tx.fetchrow(
                "SELECT request_hash, reply, position FROM inbox"
                " WHERE guild_id = $1 AND command_id = $2",
                command.context.caller.guild_id,
                command.command_id,
            )
        return None if row is None else _recalled(row, command)


_adapters: dict[int, TypeAdapter[Any]] = {}


def _adapter(message_type: type[Message[Any]]) -> TypeAdapter[Any]:
    name = id(message_type)  # classes live as long as the process
    if name not in _adapters:
        _adapters[name] = TypeAdapter(reply_type(message_type))
    return _adapters[name]
