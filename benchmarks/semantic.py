"""How many events a second can a member compare with a guild's standing queries?

Runs what the bus does with a batch of events in this process, without cluster or database: reading
the event's text, embedding it with the real model, comparing it with all queries, keeping what is
close enough. Once whole, and once with the meanings given, so that the part that is ours shows.

whole     the real embedder, 1,000 queries
matching  the same without the embedder, by number of queries
"""

import time
from collections.abc import Sequence
from functools import cache

import numpy as np
import orjson

from actors import clock
from actors.bus.domain.meaning import Vectors
from actors.bus.sage.meaning import EmbedAll, MeaningSage
from actors.bus.store import Standing
from actors.embedding.identity import SHIPPED
from actors.embedding.model import MiniLm
from actors.events import (
    CustomEvent,
    DeliverEvents,
    Priority,
    StoredEvent,
    SubscriptionMatched,
)
from actors.runtime.message import Caller, Context, GuildId, Position
from actors.settings import BusSettings
from benchmarks.frame import Contender, Goal, Measurement, Options, Report, interleave, main

QUERIES = 1_000
BATCH = 32
SEED = 7
MIN_SCORE = 0.6
_GUILD = GuildId("guild_" + "0" * 26)
_CONTEXT = Context(caller=Caller(guild_id=_GUILD, principal_id="benchmark"), correlation_id="1")

_WHERE = ("checkout", "billing", "search", "login", "image upload", "the order database", "DNS")
_WHAT = (
    "connection pool exhausted",
    "disk almost full",
    "certificate expires soon",
    "replication lag grows",
    "p99 latency above the limit",
    "too many restarts",
    "queue does not drain",
    "memory leak suspected",
    "requests fail with status 502",
    "backup did not finish",
)
_DETAIL = (
    "seen on one host since the last deployment",
    "all zones are affected and customers call",
    "the on-call engineer has restarted it twice",
    "nobody changed anything that we know of",
    "it began with the nightly batch and did not stop",
)


class Queries:
    """The store's part: standing queries, and a count of what matched."""

    def __init__(self, vectors: Vectors, number: int) -> None:
        self._standing = [
            Standing(
                f"sub_{index}",
                {"similar_to": "…", "min_score": MIN_SCORE},
                vectors[index % len(vectors)].tolist(),
                Position(0, 0),
            )
            for index in range(number)
        ]
        self.matched = 0

    async def revision(self, guild_id: GuildId) -> int:
        """Never changes."""
        return 1

    async def standing(self, guild_id: GuildId) -> Sequence[Standing]:
        """All of them."""
        return self._standing

    async def keep(self, guild_id: GuildId, made: Sequence[Standing]) -> None:
        """Nothing: all have their vectors."""

    async def commit(
        self, matched: Sequence[tuple[StoredEvent, SubscriptionMatched]], *, cause: DeliverEvents
    ) -> None:
        """Counts."""
        self.matched += len(matched)


async def run(options: Options) -> Report:
    """Embeds the queries once, then lets the contenders take turns."""
    rounds = 1 if options.quick else 3
    events = 2 * BATCH if options.quick else 6 * BATCH
    batches = _batches(events)
    asked = _asked()
    contenders: dict[str, Contender] = {"whole, 1000 queries": _whole(asked, batches)}
    for number in (10, 100, QUERIES, 10 * QUERIES):
        contenders[f"matching, {number} queries"] = _matching(asked, number, batches)
    results = await interleave(contenders, rounds)
    matching = results[f"matching, {QUERIES} queries"]["events_per_s"].median
    whole = results["whole, 1000 queries"]["events_per_s"].median
    return Report(
        results=results,
        goals=(Goal(name="matching_events_per_s", measured=matching, at_least=1_000),),
        notes=(
            f"of the whole, {1 - whole / matching:.1%} is the embedder's",
            f"batches of {BATCH}, texts of about 20 words, score of at least {MIN_SCORE:g}",
        ),
        settings={"queries": QUERIES, "batch": BATCH, "seed": SEED, "model": SHIPPED.model_id},
    )


def _whole(asked: Vectors, batches: Sequence[DeliverEvents]) -> Contender:
    async def embed(texts: Sequence[str], _: Context) -> Vectors:
        return _model().embed(texts)

    async def measure() -> Measurement:
        store = Queries(asked, QUERIES)
        return await _measured(_sage(store, embed), store, batches)

    return measure


def _matching(asked: Vectors, number: int, batches: Sequence[DeliverEvents]) -> Contender:
    random = np.random.default_rng(SEED)
    noise = random.normal(size=(BATCH, SHIPPED.dimension)).astype(np.float32)
    given = asked[np.arange(BATCH) % len(asked)] + noise * 0.04
    given /= np.linalg.norm(given, axis=1, keepdims=True)

    async def embed(texts: Sequence[str], _: Context) -> Vectors:
        return given[: len(texts)]

    async def measure() -> Measurement:
        store = Queries(asked, number)
        return await _measured(_sage(store, embed), store, list(batches) * 10)

    return measure


def _sage(store: Queries, embed: EmbedAll) -> MeaningSage:
    return MeaningSage(
        store,
        BusSettings(),
        compile_filter=lambda _: lambda _: True,
        embed=embed,
        render=lambda event: event.payload.data if isinstance(event.payload, CustomEvent) else "",
    )


async def _measured(
    sage: MeaningSage, store: Queries, batches: Sequence[DeliverEvents]
) -> Measurement:
    await sage.deliver(batches[0])  # queries are read and models loaded once
    store.matched = 0
    begun = time.perf_counter()
    for batch in batches:
        await sage.deliver(batch)
    seconds = time.perf_counter() - begun
    number = sum(len(batch.events) for batch in batches)
    return {"events_per_s": number / seconds, "matched_share": store.matched / number}


@cache
def _model() -> MiniLm:
    return MiniLm()


def _asked() -> Vectors:
    texts = [f"{what} in {where}" for what in _WHAT for where in _WHERE]
    known: Vectors = _model().embed(texts)
    # Different people ask for similar things in different words: near the same, not the same.
    random = np.random.default_rng(SEED)
    repeated = known[np.arange(QUERIES) % len(known)]
    varied = repeated + random.normal(size=repeated.shape).astype(np.float32) * 0.02
    asked: Vectors = (varied / np.linalg.norm(varied, axis=1, keepdims=True)).astype(np.float32)
    return asked


def _batches(number: int) -> list[DeliverEvents]:
    events = [_event(place) for place in range(number)]
    return [
        DeliverEvents(
            context=_CONTEXT,
            command_id=clock.new_id("cmd"),
            subscription="bus.meaning",
            events=tuple(events[begin : begin + BATCH]),
        )
        for begin in range(0, number, BATCH)
    ]


def _event(place: int) -> StoredEvent:
    what = _WHAT[place % len(_WHAT)]
    where = _WHERE[place // len(_WHAT) % len(_WHERE)]
    told = {
        "title": f"{where}: {what}",
        "description": f"{_DETAIL[place % len(_DETAIL)]}; report {place}",
    }
    return StoredEvent(
        event_id=clock.new_id("evt"),
        guild_id=_GUILD,
        source="/benchmark",
        aggregate_id=f"ext:/benchmark#{place}",
        aggregate_version=1,
        priority=Priority.NORMAL,
        occurred_at=clock.now(),
        correlation_id="1",
        causation_id=None,
        principal_id="benchmark",
        position=Position(place + 1, place + 1),
        payload=CustomEvent(name="custom.report", data=orjson.dumps(told).decode()),
    )


if __name__ == "__main__":
    raise SystemExit(main("semantic", __doc__, run))
