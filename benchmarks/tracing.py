"""What tracing costs a message: where it is off, and where every span is kept.

In this process, without a network. One message passes these: a request, the ask of a pool, what it
takes along, the handling in a member, four statements, one event. ``bare`` is an empty ``with``.
"""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from actors.runtime import tracing
from actors.runtime.tracing import Kind
from benchmarks.frame import Goal, Measurement, Options, Report, interleave, main

_STATEMENTS = 4
_MOST_OFF_US = 10.0
_SECOND_US = 1e6


async def run(options: Options) -> Report:
    """Off, on and bare take turns."""
    times, rounds = (2_000, 3) if options.quick else (20_000, 9)

    async def bare() -> Measurement:
        return _per_message(_empty, times)

    async def off() -> Measurement:
        tracing.switch_off()
        return _per_message(_traced, times)

    async def on() -> Measurement:
        tracing.switch_on(lambda _: None, ratio=1.0)
        try:
            return _per_message(_traced, times)
        finally:
            tracing.switch_off()

    results = await interleave({"bare": bare, "off": off, "on": on}, rounds)
    off_us = results["off"]["message_us"].median
    return Report(
        results=results,
        goals=(Goal(name="off_message_us", measured=off_us, at_most=_MOST_OFF_US),),
        notes=("on: spans are made and thrown away; their thread encodes and sends them besides",),
        settings={"messages": times, "statements": _STATEMENTS},
    )


def _per_message(message: Callable[[], None], times: int) -> Measurement:
    begun = time.perf_counter()
    for _ in range(times):
        message()
    return {"message_us": (time.perf_counter() - begun) / times * _SECOND_US}


def _traced() -> None:
    with tracing.request("cor_1", {}, begins=True):
        with tracing.span("ask task", Kind.CLIENT):
            carried = tracing.carried()
        with tracing.received(carried, "CreateTask", pool="task"):
            for _ in range(_STATEMENTS):
                if tracing.is_on():
                    tracing.span("sql", Kind.CLIENT).end()
            tracing.published("evt_1", "sage.task.created", "cor_1")


def _empty() -> None:
    nothing: AbstractContextManager[None] = nullcontext()
    with nothing:
        pass


if __name__ == "__main__":
    raise SystemExit(main("tracing", __doc__, run))
