"""A member that handles events by noting them, and suffers what they tell it to suffer."""

import asyncio
import os
import resource
import signal
from pathlib import Path
from typing import Any

import orjson

from actors.events import CustomEvent, DeliverEvent, DeliverEvents, StoredEvent
from actors.runtime.host import Host
from actors.runtime.member import Member
from actors.runtime.message import Handlers
from actors.storage import inbox
from actors.storage.database import Database, Transaction
from actors.storage.inbox import Inbox

_NOTE = "INSERT INTO effects (guild_id, subscription, number) VALUES ($1, $2, $3)"
_ROOM_BYTES = 256 << 20
_EATEN_BYTES = 64 << 20


class PoisonedMember(Member):
    """The effect of an event is one row."""

    async def open(self, host: Host) -> Handlers:
        """Connects, and takes care that memory ends for this process before it does for others."""
        database = await host.database()
        host.use_ledger(Inbox(database))
        _limit_memory()
        handling = Handling(database)
        return {DeliverEvent: handling.one, DeliverEvents: handling.many}


class Handling:
    """Effect and inbox row in one transaction, as every sage does it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def one(self, message: DeliverEvent) -> None:
        """Notes it."""
        await self._suffer(message.event)
        async with self._database.transaction(message.event.guild_id) as tx:
            await _note(tx, message.subscription, message.event)
            await inbox.record(tx, message, None)

    async def many(self, message: DeliverEvents) -> None:
        """Notes those that are new."""
        for event in message.events:
            await self._suffer(event)
        async with self._database.transaction(message.events[0].guild_id) as tx:
            for event in await inbox.record_batch(tx, message):
                await _note(tx, message.subscription, event)

    async def _suffer(self, event: StoredEvent) -> None:
        poison = _told(event)["poison"]
        if not poison or await self._is_repaired(event):
            return
        match poison:
            case "raise":
                raise ArithmeticError("a handler with a bug")
            case "hang":
                await asyncio.Event().wait()
            case "eat":
                eaten = bytearray(_EATEN_BYTES)
                eaten += bytearray(_ROOM_BYTES)  # MemoryError
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)

    async def _is_repaired(self, event: StoredEvent) -> bool:
        async with self._database.read(event.guild_id) as tx:
            return bool(await tx.fetchval("SELECT EXISTS (SELECT FROM repaired)"))


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    most = pages * resource.getpagesize() + _ROOM_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def _told(event: StoredEvent) -> dict[str, Any]:
    assert isinstance(event.payload, CustomEvent)  # noqa: S101  # nothing else is subscribed to
    told: dict[str, Any] = orjson.loads(event.payload.data)
    return told


async def _note(tx: Transaction, subscription: str, event: StoredEvent) -> None:
    await tx.execute(_NOTE, event.guild_id, subscription, _told(event)["number"])
