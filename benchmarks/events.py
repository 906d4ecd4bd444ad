"""How many events a second are kept durably, and handled: ours, and what teams trust instead.

Publishing: 1 KB of JSON, acknowledged after it is safe; one at a time (one), by 32 publishers at
once (c32), and in batches of 200 by 4 publishers (b200).

actor          a driver asks the bus pool, through mailbox and Ray
http           POST /api/v1/events, as CloudEvents
bare           the limit: PostgreSQL with the log's tables and indexes, asyncpg, 32 connections
jetstream      NATS, file storage; `always` syncs before it acknowledges, `default` every 2 minutes
redis          a stream on Valkey; the append-only file is synced always, or every second

End to end: publish, router, a sink that commits effect and inbox row of each batch together.
Latency at 500 events/s that do not wait for each other; the rate at which a backlog drains, and
that of effects while batches are published as fast as they are acknowledged.
"""

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from functools import partial

import uvloop

from actors.runtime import garbage
from actors.settings import settings
from benchmarks.event_logs.bare import bare_log
from benchmarks.event_logs.drafts import AGGREGATES, DATA_BYTES, Drafts, Log
from benchmarks.event_logs.jetstream import jetstream_log
from benchmarks.event_logs.servers import Servers, servers
from benchmarks.event_logs.shapes import BATCHES, MANY, measure
from benchmarks.event_logs.valkey import stream_log
from benchmarks.frame import (
    Contender,
    Goal,
    Measurement,
    Options,
    Report,
    Results,
    interleave,
    main,
)
from benchmarks.ray_stack import ray_with_serve

ACTOR, HTTP, BARE = "actor", "http", "bare PostgreSQL"
ALWAYS, DEFAULT = "jetstream always", "jetstream default"
END = "end to end"
SINK_BATCH, SINK_IN_FLIGHT = 250, 1_000
_REST_S, _WARM_S, _SETTLED_S = 0.5, 0.5, 5.0

Opened = Callable[[], AbstractAsyncContextManager[Log]]


async def run(options: Options) -> Report:
    """Measures everything on servers and a Ray of its own."""
    rounds, seconds, backlog = (1, 1.0, 5_000) if options.quick else (5, 3.0, 30_000)
    async with servers() as up:
        os.environ.update(_environment(up))
        with ray_with_serve() as port:
            from benchmarks.event_logs import guild as ours  # imports Ray: see above
            from benchmarks.event_logs import handled, http

            async with ours.running_guild(up.guild) as guild:
                drafts = Drafts()
                contenders = _others(up, drafts, seconds)
                contenders[ACTOR] = partial(measure, guild.published, drafts, seconds)
                skipped = http.missing()
                if not skipped:
                    http.deploy()
                    await asyncio.sleep(_SETTLED_S)  # HAProxy that reloads closes connections
                    opened = partial(http.http_log, port, guild.guild_id)
                    contenders[HTTP] = _turn(opened, drafts, seconds)
                    await _turn(opened, drafts, _WARM_S)()  # first requests look actors up
                await guild.subscribe(batch=SINK_BATCH, in_flight=SINK_IN_FLIGHT)
                await handled.latency(guild, drafts, 1.0)  # nobody's figure: everything is loaded
                garbage.settle(
                    settings().runtime.gc_threshold
                )  # a pause would be somebody's figure
                kept = await interleave(_rested(contenders), rounds)
                end = await interleave(
                    {
                        END: _together(
                            partial(handled.latency, guild, drafts, seconds * 3),
                            partial(handled.drain, guild, drafts, backlog),
                            partial(handled.through, guild, drafts, seconds),
                        )
                    },
                    rounds,
                )
    results = {**kept, **end}
    notes = [f"{HTTP} is left out: {skipped}"] if skipped else []
    return Report(
        results=results,
        goals=goals(results),
        notes=(*notes, *_NOTES),
        settings={
            "rounds": rounds,
            "seconds": seconds,
            "backlog": backlog,
            "data_bytes": DATA_BYTES,
            "aggregates": AGGREGATES,
            "sink_batch": SINK_BATCH,
            "sink_in_flight": SINK_IN_FLIGHT,
            **up.settings,
        },
    )


_NOTES = (
    "jetstream's publishers share one connection; those of redis and the bare insert share none",
    "the sink's table and the inbox are in the same PostgreSQL as the log",
)


def goals(results: Results) -> tuple[Goal, ...]:
    """What the actor path promises."""

    def of(contender: str, metric: str) -> float | None:
        found = results.get(contender, {}).get(metric)
        return None if found is None else found.median

    many = f"{MANY.name}_per_s"
    ours = of(ACTOR, many)
    return (
        Goal(name="c32_over_bare", measured=_ratio(ours, of(BARE, many)), at_least=0.8),
        Goal(name="c32_over_jetstream", measured=_ratio(ours, of(ALWAYS, many)), at_least=1.5),
        Goal(name="b200_per_s", measured=of(ACTOR, f"{BATCHES.name}_per_s"), at_least=20_000),
        Goal(name="drain_per_s", measured=of(END, "drain_per_s"), at_least=5_000),
        Goal(name="handled_ms_p50", measured=of(END, "handled_ms_p50"), at_most=10),
        Goal(name="handled_ms_p99", measured=of(END, "handled_ms_p99"), at_most=50),
    )


def _ratio(one: float | None, other: float | None) -> float | None:
    return one / other if one is not None and other else None


def _others(up: Servers, drafts: Drafts, seconds: float) -> dict[str, Contender]:
    logs: Mapping[str, Opened] = {
        BARE: partial(bare_log, up.bare_url),
        ALWAYS: partial(jetstream_log, up.nats_always.url),
        DEFAULT: partial(jetstream_log, up.nats_default.url),
        "redis always": partial(stream_log, up.valkey.url, "always"),
        "redis everysec": partial(stream_log, up.valkey.url, "everysec"),
    }
    return {name: _turn(opened, drafts, seconds) for name, opened in logs.items()}


def _turn(opened: Opened, drafts: Drafts, seconds: float) -> Contender:
    async def turn() -> Measurement:
        async with opened() as log:
            return await measure(log, drafts, seconds)

    return turn


def _rested(contenders: Mapping[str, Contender]) -> dict[str, Contender]:
    """Each begins after a pause: what the one before left to do is done by then."""

    def rested(contender: Contender) -> Contender:
        async def turn() -> Measurement:
            await asyncio.sleep(_REST_S)
            return await contender()

        return turn

    return {name: rested(contender) for name, contender in contenders.items()}


def _together(*parts: Callable[[], Awaitable[Measurement]]) -> Contender:
    async def turn() -> Measurement:
        found: dict[str, float] = {}
        for part in parts:
            await asyncio.sleep(_REST_S)
            found |= await part()
        return found

    return turn


def _environment(up: Servers) -> dict[str, str]:
    return {
        "DATABASE_URL": up.guild.app,
        "GUILD_LOG_DATABASE_URL": up.guild.log,
        "REDIS_URL": up.valkey.url,
        "JWT_SECRET": secrets.token_hex(32),
    }


if __name__ == "__main__":
    uvloop.install()
    raise SystemExit(main("events", __doc__, run))
