"""`python -m benchmarks.faults.writers WORKLOAD FOLDER STACK`: publishes until it is told to stop.

Writes the history into ``history.jsonl``: every attempt before it is sent, and what came of it.
At the end it reads the log through the bus into ``read.jsonl``, as any client could.
"""

import asyncio
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import BinaryIO

import httpx
import orjson

from actors import clock
from actors.bus.messages import (
    BrowseEvents,
    DeliveryPolicy,
    NewEvent,
    PoolSink,
    PullSink,
    PutSubscription,
    Sink,
)
from actors.errors import ElderGuildError, ValidationError
from benchmarks.faults import effects
from benchmarks.faults.joined import Joined, joined, say_ready
from benchmarks.faults.plan import Workload
from benchmarks.faults.publishers import BusPublisher, HttpPublisher, Publisher
from benchmarks.guildcheck import Entry, Phase
from cluster.state import Stack

HISTORY, READ = "history.jsonl", "read.jsonl"

_PUBLISH_TIMEOUT_S = 8.0
_PAUSE_S = 0.1
_PATIENCE_S = 60.0
_REMEMBERED = 200
_ATTEMPTS = 100
_PAGE = 200
_PAGES = 10_000
_MAX_ATTEMPTS = 100


class Writer:
    """One client: publishes, repeats what it does not know, and what it does know now and then."""

    def __init__(
        self, number: int, workload: Workload, publisher: Publisher, history: BinaryIO
    ) -> None:
        self._name = f"writer-{number}"
        self._workload = workload
        self._publisher = publisher
        self._history = history
        self._dice = Random(f"{workload.seed}/{number}")  # noqa: S311  # chooses what is published
        self._published = 0
        self._known: deque[tuple[NewEvent, int]] = deque(maxlen=_REMEMBERED)

    async def run(self, stop: asyncio.Event) -> None:
        """Until it is told to stop; what is under way is finished, for as long as patience lasts.

        Raises:
            ValidationError: the guild refused an event, which is a mistake of ours.
        """
        pause_s = self._workload.writers / self._workload.rate
        while not stop.is_set():
            if self._known and self._dice.random() < self._workload.repeated:
                number = self._dice.randint(1, min(self._workload.most_events, len(self._known)))
                await self._until_known(self._dice.sample(self._known, number), self._name)
            else:
                await self._publish_new()
            await asyncio.sleep(self._dice.expovariate(1 / pause_s))

    async def _publish_new(self) -> None:
        events = self._new()
        clients = [self._name]
        if self._dice.random() < self._workload.repeated / 4:  # a repeat at the same moment
            clients.append(f"{self._name}-twin")
        known = await asyncio.gather(*(self._until_known(events, client) for client in clients))
        if any(known):
            self._known += events

    def _new(self) -> list[tuple[NewEvent, int]]:
        made = []
        for _ in range(self._dice.randint(1, self._workload.most_events)):
            self._published += 1
            amount = self._dice.randint(1, 9)
            event = NewEvent(
                source=self._workload.source,
                source_id=f"{self._name}/{self._published}",
                type=self._workload.type,
                data=effects.data(amount, time.monotonic()),
                partition_key=self._workload.aggregate(
                    self._dice.randrange(self._workload.aggregates)
                ),
            )
            made.append((event, amount))
        return made

    async def _until_known(self, events: list[tuple[NewEvent, int]], client: str) -> bool:
        gives_up_at = time.monotonic() + _PATIENCE_S
        for _ in range(_ATTEMPTS):
            if await self._attempt(events, client):
                return True
            if time.monotonic() > gives_up_at:
                break
            await asyncio.sleep(_PAUSE_S)
        return False

    async def _attempt(self, events: list[tuple[NewEvent, int]], client: str) -> bool:
        self._note(Phase.INVOKE, events, client)
        try:
            stored = await self._publisher.publish([event for event, _ in events])
        except ValidationError:  # a mistake of ours
            raise
        except ElderGuildError:  # even a refusal: what sent it may have sent it before
            self._note(Phase.INFO, events, client)
            return False
        self._note(Phase.OK, events, client, stored)
        return True

    def _note(
        self,
        phase: Phase,
        events: list[tuple[NewEvent, int]],
        client: str,
        stored: Sequence[str] | None = None,
    ) -> None:
        at = time.monotonic()
        ids = [""] * len(events) if stored is None else stored
        for (event, amount), stored_as in zip(events, ids, strict=True):
            entry = Entry(
                phase=phase,
                client=client,
                at=at,
                event=event.source_id,
                aggregate=event.partition_key or "",
                amount=amount,
                stored_as=stored_as,
            )
            self._history.write(entry.to_line())
        self._history.flush()


async def subscribe(client: Joined, workload: Workload) -> None:
    """Declares the subscriptions of the run."""
    sinks: dict[str, Sink] = {workload.pulled: PullSink()}
    for name, batch in workload.pooled.items():
        sinks[name] = PoolSink(pool="rag", batch=batch)
    for name, sink in sinks.items():
        command = PutSubscription(
            context=client.context,
            command_id=clock.new_id("cmd"),
            name=name,
            filter_spec={"types": [workload.type]},
            sink=sink,
            delivery=DeliveryPolicy(
                ack_deadline_s=workload.ack_deadline_s if isinstance(sink, PullSink) else 30.0,
                max_attempts=_MAX_ATTEMPTS,
                backoff_s=(0.05, 0.2, 0.5),
                max_in_flight=workload.aggregates,
            ),
            begin="beginning",
        )
        await client.bus.ask(command, timeout_s=30)


async def read_through_bus(client: Joined, workload: Workload, to: Path) -> None:
    """Every event of the run, page by page, oldest first."""
    cursor = None
    with to.open("wb") as file:
        for _ in range(_PAGES):
            query = BrowseEvents(
                context=client.context,
                types=(workload.type,),
                oldest_first=True,
                cursor=cursor,
                limit=_PAGE,
            )
            page = await client.bus.ask(query, timeout_s=30)
            for event in page.events:
                file.write(orjson.dumps(asdict(effects.sighting(event))) + b"\n")
            cursor = page.next_cursor
            if cursor is None:
                return
    raise RuntimeError("the log has no end")


@asynccontextmanager
async def publishers(
    client: Joined, workload: Workload, stack: Stack
) -> AsyncIterator[list[Publisher]]:
    """One for each writer: the pool's, and HTTP for the last so many."""
    over_bus = BusPublisher(client.bus, client.context, _PUBLISH_TIMEOUT_S)
    async with httpx.AsyncClient(base_url=stack.api_url, timeout=_PUBLISH_TIMEOUT_S) as http:
        made: list[Publisher] = [over_bus] * (workload.writers - workload.over_http)
        if workload.over_http:
            if stack.admin is None:
                raise RuntimeError("nobody can sign in to this stack")
            made += [HttpPublisher(http, stack.admin)] * workload.over_http
        yield made


async def main(workload: Workload, folder: Path, stack: Stack) -> None:
    """Publishes until SIGTERM, then reads."""
    async with joined(workload) as client, publishers(client, workload, stack) as ways:
        await subscribe(client, workload)
        with (folder / HISTORY).open("ab") as history:
            writers = [Writer(number, workload, way, history) for number, way in enumerate(ways)]
            say_ready()
            async with asyncio.TaskGroup() as group:
                for writer in writers:
                    group.create_task(writer.run(client.stop))
        await read_through_bus(client, workload, folder / READ)


def _stack(folder: Path) -> Stack:
    stack = Stack.load(folder)
    if stack is None:
        raise RuntimeError(f"no stack in {folder}")
    return stack


if __name__ == "__main__":
    asyncio.run(main(Workload.from_json(sys.argv[1]), Path(sys.argv[2]), _stack(Path(sys.argv[3]))))
