"""A member of a pool whose handling of an event is an effect that can be counted."""

from actors.errors import DeadlineExceeded
from actors.events import DeliverEvent, DeliverEvents, StoredEvent
from actors.runtime.host import Host
from actors.runtime.member import Member
from actors.runtime.message import Handlers
from actors.storage import inbox
from actors.storage.database import Database
from actors.storage.inbox import Inbox
from benchmarks.faults import effects
from benchmarks.faults.plan import Workload


class EffectMember(Member):
    """Handles deliveries as every sage does: effect and inbox row in one transaction.

    Of some it withholds the acknowledgement after the commit, so that they are delivered again.
    """

    async def open(self, host: Host) -> Handlers:
        """Connects."""
        database = await host.database()
        host.use_ledger(Inbox(database))
        handling = _Handling(database)
        return {DeliverEvent: handling.one, DeliverEvents: handling.many}


class _Handling:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def one(self, message: DeliverEvent) -> None:
        async with self._database.transaction(message.event.guild_id) as tx:
            if _is_ours(message.event):
                await effects.take_effect(tx, _consumer(message.event, 1), [message.event])
            await inbox.record(tx, message, None)
        _acknowledge([message.event])

    async def many(self, message: DeliverEvents) -> None:
        async with self._database.transaction(message.events[0].guild_id) as tx:
            new = await inbox.record_batch(tx, message)
            ours = [event for event in new if _is_ours(event)]
            if ours:
                await effects.take_effect(tx, _consumer(ours[0], 16), ours)
        _acknowledge(ours)


def _acknowledge(events: list[StoredEvent]) -> None:
    for event in events:
        if _is_ours(event) and _workload(event).withholds(event.event_id):
            raise DeadlineExceeded("the acknowledgement")


def _is_ours(event: StoredEvent) -> bool:
    return event.type.startswith("custom.faults.")


def _workload(event: StoredEvent) -> Workload:
    run = event.type.removeprefix("custom.faults.")
    return Workload(run=run, seed=0, guild_id=event.guild_id, handled=True)


def _consumer(event: StoredEvent, batch: int) -> str:
    pooled = _workload(event).pooled
    return next(name for name, size in pooled.items() if size == batch)
