"""`python -m benchmarks.faults.consumer WORKLOAD`: pulls, lets events take effect, acknowledges.

It may be killed at any moment. What it was lent comes again, and its inbox knows it.
"""

import asyncio
import sys
from collections.abc import Sequence

from actors import clock
from actors.bus.messages import AckEvents, NackEvents, PulledEvent, PullEvents
from actors.errors import ElderGuildError, LateAck
from actors.events import StoredEvent
from actors.runtime.message import Context, GuildId
from actors.runtime.pool import Asker
from actors.settings import GuildSettings
from actors.storage.database import Database, Transaction
from benchmarks.faults import effects
from benchmarks.faults.joined import joined, say_ready
from benchmarks.faults.plan import Workload

_LOOPS = 2
_AT_A_TIME = 100
_WAIT_S = 1.0
_TIMEOUT_S = 10.0
_PAUSE_S = 0.1
_TOO_LATE_S = 0.3
_MAX_LATE = 200
_CONNECT_ATTEMPTS, _CONNECT_PAUSE_S = 240, 0.25


class LateAckTaken(Exception):
    """An attempt whose lease had passed was acknowledged: the product is broken."""


class Consumer:
    """Effect and inbox row in one transaction, then the acknowledgement, or not.

    Of some events the acknowledgement is withheld: they are given back, or it comes too late.
    """

    def __init__(
        self, workload: Workload, bus: Asker, database: Database, context: Context
    ) -> None:
        self._workload = workload
        self._bus = bus
        self._database = database
        self._context = context
        self._late: set[asyncio.Task[None]] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until it is told to stop.

        Raises:
            LateAckTaken: what came too late was taken.
        """
        while not stop.is_set():
            try:
                await self.step()
            except ElderGuildError:
                await asyncio.sleep(_PAUSE_S)

    async def step(self, wait_s: float = _WAIT_S) -> None:
        """Pulls once and handles what came."""
        command = PullEvents(
            context=self._context,
            command_id=clock.new_id("cmd"),
            name=self._workload.pulled,
            max_events=_AT_A_TIME,
            wait_s=wait_s,
        )
        pulled = await self._bus.ask(command, timeout_s=_TIMEOUT_S)
        if pulled:
            await self.handle(pulled)
        for task in [task for task in self._late if task.done()]:
            self._late.discard(task)
            task.result()

    async def handle(self, pulled: Sequence[PulledEvent]) -> None:
        """First the commit, then the acknowledgement."""
        await self.commit([one.event for one in pulled])
        await self.acknowledge(pulled)

    async def commit(self, events: Sequence[StoredEvent]) -> None:
        """One transaction for all of them."""
        async with self._database.transaction(GuildId(self._workload.guild_id)) as tx:
            new = await self.new_ones(tx, events)
            await effects.take_effect(tx, self._workload.pulled, new)

    async def new_ones(
        self, tx: Transaction, events: Sequence[StoredEvent]
    ) -> Sequence[StoredEvent]:
        """Those whose effect has not happened."""
        return await effects.receive(tx, self._workload.pulled, events)

    async def acknowledge(self, pulled: Sequence[PulledEvent]) -> None:
        """All but those that are to come again."""
        withheld = [
            one
            for one in pulled
            if one.attempt == 1 and self._workload.withholds(one.event.event_id)
        ]
        late = [one for one in withheld if self._workload.acks_late(one.event.event_id)]
        if len(self._late) < _MAX_LATE:
            self._late |= {asyncio.create_task(self._acknowledge_late(one)) for one in late}
        back = [one for one in withheld if one not in late]
        if back:
            await self._bus.ask(
                NackEvents(
                    context=self._context,
                    command_id=clock.new_id("cmd"),
                    name=self._workload.pulled,
                    ack_ids=tuple(one.ack_id for one in back),
                    delay_s=0.0,
                    reason="shall come again",
                ),
                timeout_s=_TIMEOUT_S,
            )
        rest = [one for one in pulled if one not in withheld]
        if rest:
            await self._bus.ask(self._ack(rest), timeout_s=_TIMEOUT_S)

    async def _acknowledge_late(self, one: PulledEvent) -> None:
        await asyncio.sleep(self._workload.ack_deadline_s + _TOO_LATE_S)
        try:
            await self._bus.ask(self._ack([one]), timeout_s=_TIMEOUT_S)
        except LateAck:
            return
        except ElderGuildError:
            return  # the bus is away: nobody knows, and nothing follows from it
        raise LateAckTaken(one.ack_id)

    def _ack(self, those: Sequence[PulledEvent]) -> AckEvents:
        return AckEvents(
            context=self._context,
            command_id=clock.new_id("cmd"),
            name=self._workload.pulled,
            ack_ids=tuple(one.ack_id for one in those),
        )


async def main(workload: Workload) -> None:
    """Pulls in several loops at a time until SIGTERM."""
    async with joined(workload) as client:
        database = await _connected(client.settings)
        consumers = [
            Consumer(workload, client.bus, database, client.context) for _ in range(_LOOPS)
        ]
        say_ready()
        async with asyncio.TaskGroup() as group:
            for consumer in consumers:
                group.create_task(consumer.run(client.stop))
        await database.close()


async def _connected(settings: GuildSettings) -> Database:
    """Waits for a server that is being started again."""
    url = settings.database_url.get_secret_value()
    for _ in range(_CONNECT_ATTEMPTS - 1):
        try:
            return await Database.open(url, settings.database, connections=_LOOPS)
        except ElderGuildError:
            await asyncio.sleep(_CONNECT_PAUSE_S)
    return await Database.open(url, settings.database, connections=_LOOPS)


if __name__ == "__main__":
    asyncio.run(main(Workload.from_json(sys.argv[1])))
