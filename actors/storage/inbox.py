"""Once: the reply of every command that took effect, kept in the transaction of the effect."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic

import asyncpg
import orjson
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
        _adapter(type(command)).dump_json(reply).decode(),
        None if tx.position is None else str(tx.position),
    )
    if status != "INSERT 0 1":
        raise AlreadyHandled


async def record_each(
    tx: Transaction, handled: Sequence[tuple[Command[ReplyT], ReplyT, Position | None]]
) -> None:
    """Writes replies and positions of commands of one type and guild, in one statement.

    Raises:
        AlreadyHandled: one of them took effect before, or is there twice.
    """
    if not handled:
        return
    commands = [command for command, _, _ in handled]
    adapter = _adapter(type(commands[0]))
    rows = [
        {
            "command_id": command.command_id,
            "request_hash": command.request_hash,
            "reply": orjson.Fragment(adapter.dump_json(reply)),
            "position": None if position is None else str(position),
        }
        for command, reply, position in handled
    ]
    status = await tx.execute(
        "INSERT INTO inbox (guild_id, command_id, request_hash, reply, position)"
        " SELECT $1, command_id, request_hash, coalesce(reply, 'null'), position"
        " FROM json_to_recordset($2::json)"
        " AS given(command_id text, request_hash text, reply jsonb, position text)"
        " ORDER BY command_id ON CONFLICT DO NOTHING",
        commands[0].context.caller.guild_id,
        orjson.dumps(rows).decode(),
    )
    if status != f"INSERT 0 {len(handled)}":
        raise AlreadyHandled


async def recall_each(
    tx: Transaction, commands: Sequence[Command[ReplyT]]
) -> list[Outcome[ReplyT] | None]:
    """For each command the first reply, where it took effect before.

    A command whose id was used for a different request has a `ValidationError` instead.
    """
    if not commands:
        return []
    rows = await tx.fetch(
        "SELECT command_id, request_hash, reply, position FROM inbox"
        " WHERE guild_id = $1 AND command_id = ANY($2)",
        commands[0].context.caller.guild_id,
        [command.command_id for command in commands],
    )
    by_id = {row["command_id"]: row for row in rows}
    return [_earlier(by_id.get(command.command_id), command) for command in commands]


def _earlier(row: asyncpg.Record | None, command: Command[ReplyT]) -> Outcome[ReplyT] | None:
    if row is None:
        return None
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
