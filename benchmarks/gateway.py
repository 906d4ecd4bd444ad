"""Requests a second through the gateway: nothing, a sage behind the mailbox, a Serve handle.

The first part measures the three ways at 1, 16 and 64 connections for one and two gateway
replicas. The second sends at a fixed rate, half of what the mailbox can, and lets one message in
two hundred take two seconds: its neighbours should not notice.
"""

from collections.abc import Mapping
from itertools import count

from benchmarks.frame import Contender, Goal, Measurement, Options, Report, interleave, main
from benchmarks.load import Load, in_other_process
from benchmarks.ray_stack import NAMESPACE, ray_with_serve

WAYS = {"noop": "/noop", "mailbox": "/mailbox/0", "handle": "/handle/0"}
CONNECTIONS = (1, 16, 64)
REPLICAS = (1, 2)
FAST_MS, SLOW_MS, SLOW_EVERY = 3, 2000, 200
OPEN_SHARE = 0.5


async def run(options: Options) -> Report:
    """Measures both parts on one Ray of its own."""
    rounds, seconds, open_seconds = (1, 1.5, 6.0) if options.quick else (5, 3.0, 15.0)
    with ray_with_serve() as port:
        from benchmarks import gateway_app  # imports Ray, which must find its environment

        gateway_app.start_members(NAMESPACE)
        for replicas in REPLICAS:
            gateway_app.deploy(f"r{replicas}", replicas)
        await _warm_up(port)
        shapes = {
            shape(connections, replicas): _three_ways(port, connections, replicas, seconds)
            for replicas in REPLICAS
            for connections in CONNECTIONS
        }
        ways = await interleave(shapes, rounds)
        rate = OPEN_SHARE * ways[shape(16, 1)]["mailbox_rps"].median
        neighbours = await interleave(
            {"open load": _neighbours(port, rate, open_seconds)}, 1 if options.quick else 3
        )
    results = {**ways, **neighbours}
    return Report(
        results=results,
        goals=goals(
            {name: {m: s.median for m, s in found.items()} for name, found in results.items()}
        ),
        notes=(
            "rps and p95_ms are absolute; mailbox_noop and mailbox_handle are ratios within a turn",
            f"open load: {rate:.0f} requests/s of {FAST_MS} ms;"
            f" alone, and with one in {SLOW_EVERY} taking {SLOW_MS} ms",
        ),
        settings={"rounds": rounds, "seconds": seconds, "open_seconds": open_seconds, "rate": rate},
    )


def shape(connections: int, replicas: int) -> str:
    """The name of one row."""
    return f"c{connections} r{replicas}"


def goals(medians: Mapping[str, Measurement]) -> tuple[Goal, ...]:
    """What the runtime promises of itself."""

    def of(row: str, metric: str) -> float | None:
        return medians.get(row, {}).get(metric)

    one, many = shape(16, 1), shape(64, 1)
    return (
        Goal(name="mailbox_noop_c16_r1", measured=of(one, "mailbox_noop"), at_least=0.6),
        Goal(name="mailbox_noop_c64_r1", measured=of(many, "mailbox_noop"), at_least=0.5),
        Goal(name="mailbox_handle_c16_r2", measured=of("c16 r2", "mailbox_handle"), at_least=2),
        Goal(name="mailbox_handle_c64_r2", measured=of("c64 r2", "mailbox_handle"), at_least=2),
        Goal(name="slow_neighbours_p95", measured=of("open load", "p95_ratio"), at_most=2),
        Goal(name="slow_neighbours_rate", measured=of("open load", "rate_ratio"), at_least=0.7),
    )


def _three_ways(port: int, connections: int, replicas: int, seconds: float) -> Contender:
    """One row's turn: the three ways right after each other, beginning with another each time."""
    turns = count()

    async def turn() -> Measurement:
        names = list(WAYS)
        first = next(turns) % len(names)
        found: dict[str, float] = {}
        for name in names[first:] + names[:first]:
            load = Load(
                port=port,
                path=f"/r{replicas}{WAYS[name]}",
                seconds=seconds,
                connections=connections,
            )
            figures = await in_other_process(load)
            _refuse_failures(name, figures)
            found |= {f"{name}_rps": figures["rps"], f"{name}_p95_ms": figures["p95_ms"]}
        columns = [f"{name}_{unit}" for unit in ("rps", "p95_ms") for name in WAYS]
        return {
            **{column: found[column] for column in columns},
            "mailbox_noop": found["mailbox_rps"] / found["noop_rps"],
            "mailbox_handle": found["mailbox_rps"] / found["handle_rps"],
        }

    return turn


def _neighbours(port: int, rate: float, seconds: float) -> Contender:
    """The fast messages alone and beside slow ones, right after each other, order alternating."""
    turns = count()

    async def turn() -> Measurement:
        alone = Load(
            port=port,
            path=f"/r1/mailbox/{FAST_MS}",
            seconds=seconds,
            connections=256,
            rate=rate,
        )
        beside = Load(
            port=port,
            path=alone.path,
            seconds=seconds,
            connections=256,
            rate=rate,
            slow_path=f"/r1/mailbox/{SLOW_MS}",
            slow_every=SLOW_EVERY,
        )
        order = {"alone": alone, "beside": beside}
        if next(turns) % 2:
            order = dict(reversed(order.items()))
        found = {name: await in_other_process(load) for name, load in order.items()}
        for name, figures in found.items():
            _refuse_failures(name, figures)
        return {
            "alone_rps": found["alone"]["rps"],
            "beside_rps": found["beside"]["rps"],
            "alone_p95_ms": found["alone"]["p95_ms"],
            "beside_p95_ms": found["beside"]["p95_ms"],
            "p95_ratio": found["beside"]["p95_ms"] / found["alone"]["p95_ms"],
            "rate_ratio": found["beside"]["rps"] / found["alone"]["rps"],
        }

    return turn


async def _warm_up(port: int) -> None:
    """First requests look actors up and import code; they are nobody's figure."""
    for replicas in REPLICAS:
        for path in WAYS.values():
            await in_other_process(
                Load(port=port, path=f"/r{replicas}{path}", seconds=1.0, connections=16)
            )


def _refuse_failures(name: str, figures: Mapping[str, float]) -> None:
    """A way that drops requests is not fast; such a run has no result."""
    if figures["failed"] or figures["unanswered"]:
        raise RuntimeError(f"{name}: {figures['failed']:g} requests failed, no figure is valid")


if __name__ == "__main__":
    raise SystemExit(main("gateway", __doc__, run))
