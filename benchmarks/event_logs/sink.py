"""A pool whose handling is one row for each event: the effects of the end-to-end part."""

import time
from dataclasses import dataclass

from actors.events import DeliverEvents
from actors.runtime.host import Host
from actors.runtime.member import Member
from actors.runtime.message import Handlers, Query
from actors.storage import inbox
from actors.storage.database import Database

PATH = f"{__name__}:SinkMember"
TABLE = """
CREATE TABLE bench_effects (
    guild_id   text NOT NULL REFERENCES guilds,
    event_id   text NOT NULL,
    aggregate  text NOT NULL,
    version    integer NOT NULL,
    PRIMARY KEY (guild_id, event_id)
);
CALL guild_protect('bench_effects');
"""
_EFFECTS = """
INSERT INTO bench_effects (guild_id, event_id, aggregate, version)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::int[])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handled:
    """One committed transaction: the publisher's ids in it, and when, on the system's clock."""

    at: float
    source_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeHandled(Query[tuple[Handled, ...]]):
    """What was committed since the last time somebody asked."""


class SinkMember(Member):
    """Inbox rows and effects in one transaction for each batch."""

    async def open(self, host: Host) -> Handlers:
        """Needs the guild's database."""
        sink = _Sink(await host.database())
        return {DeliverEvents: sink.deliver, TakeHandled: sink.take}


class _Sink:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._handled: list[Handled] = []

    async def deliver(self, message: DeliverEvents) -> None:
        guild_id = message.context.caller.guild_id
        async with self._database.transaction(guild_id) as tx:
            new = await inbox.record_batch(tx, message)
            await tx.execute(
                _EFFECTS,
                guild_id,
                [event.event_id for event in new],
                [event.aggregate_id for event in new],
                [event.aggregate_version for event in new],
            )
        source_ids = tuple(event.source_id or event.event_id for event in new)
        self._handled.append(Handled(at=time.monotonic(), source_ids=source_ids))

    async def take(self, _: TakeHandled) -> tuple[Handled, ...]:
        taken, self._handled = tuple(self._handled), []
        return taken
