"""In which form a member should answer a batch, measured on a real local Ray.

Four forms, each with the project's own mailbox on the caller's side and workload on the member's:

- one-reply: a call is answered when all of its messages are done;
- linger: a call is answered after 10 ms at most, leftovers are collected by one long poll;
- streamed: a call yields every outcome as soon as it is done;
- one-each: a call carries one message.

Each is put under the same loads: one message at a time (idle), arrivals at a fixed mean rate that
do not wait for replies (open loop), once with all messages taking 3 ms and once with one in two
hundred taking 2 s, and 64 askers that each wait for their reply (closed loop).
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import ray

from actors.runtime.envelope import Answer, Batch, Finished, seal, seal_outcome, unseal
from actors.runtime.mailbox import Mailbox, MemberLost
from actors.runtime.message import Caller, Context, GuildId, Message, Outcome, Query
from actors.runtime.workload import Workload
from actors.settings import RuntimeSettings
from benchmarks.frame import Contender, Goal, Measurement, Options, Report, interleave, main
from benchmarks.frame import percentile as nearest_rank
from benchmarks.ray_stack import plain_ray

RATE = 300.0
SLOW_SHARE = 0.005
FAST_S, SLOW_S = 0.003, 2.0
SEED = 11

_SETTINGS = RuntimeSettings()
_UNBOUNDED_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Work(Query[float]):
    """Takes so many seconds of waiting, as a query to a database would."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Form:
    """One contender: settings of both sides, and the mailbox that speaks the form."""

    settings: RuntimeSettings
    mailbox: Callable[[Any, RuntimeSettings], Mailbox]


class Worker:
    """A member that only waits, in every form."""

    def __init__(self, settings: RuntimeSettings) -> None:
        self._workload = Workload("bench", "one", _work, settings)

    async def submit(self, batch: Batch) -> Answer:
        """One-reply, linger and one-each: they differ in settings only."""
        return await self._workload.submit(batch)

    async def collect(self, caller: str) -> Answer:
        """Linger."""
        return await self._workload.collect(caller)

    async def stream(self, batch: Batch) -> AsyncIterator[Finished]:
        """Streamed."""
        tasks = [
            asyncio.create_task(_finish(one.ticket, unseal(one.body))) for one in batch.envelopes
        ]
        for done in asyncio.as_completed(tasks):
            yield await done


class Port:
    """The way to the worker."""

    name = "worker"
    direct = False

    def __init__(self, worker: Any) -> None:
        self.worker = worker

    async def submit(self, batch: Batch) -> Answer:
        """See `MemberPort`."""
        answer: Answer = await self.worker.submit.remote(batch)
        return answer

    async def collect(self, caller: str) -> Answer:
        """See `MemberPort`."""
        answer: Answer = await self.worker.collect.remote(caller)
        return answer

    async def close(self) -> None:
        """See `MemberPort`."""


class StreamingMailbox(Mailbox):
    """Takes outcomes one by one; its call stops to count as in flight after the linger time."""

    def __init__(self, port: Port, pool: str, settings: RuntimeSettings) -> None:
        super().__init__(port, pool, settings)
        self._worker = port.worker

    async def _submit(self, batch: Batch) -> None:
        reading = asyncio.create_task(self._read(batch))
        await asyncio.wait([reading], timeout=self._settings.linger_ms / 1000)
        self._in_flight -= 1
        self._pump()
        await reading

    async def _read(self, batch: Batch) -> None:
        async for reference in self._worker.stream.remote(batch):
            finished: Finished = await reference
            self._deliver(Answer("one", (finished,)))


def _forms() -> dict[str, Form]:
    patient = {"linger_ms": _UNBOUNDED_S * 1000, "submit_timeout_s": _UNBOUNDED_S}

    def plain(worker: Any, settings: RuntimeSettings) -> Mailbox:
        return Mailbox(Port(worker), "bench", settings)

    def streaming(worker: Any, settings: RuntimeSettings) -> Mailbox:
        return StreamingMailbox(Port(worker), "bench", settings)

    single = {**patient, "max_batch": 1, "calls_in_flight": 512}
    return {
        "one-reply": Form(_SETTINGS.model_copy(update=patient), plain),
        "linger": Form(_SETTINGS, plain),
        "streamed": Form(_SETTINGS, streaming),
        "one-each": Form(_SETTINGS.model_copy(update=single), plain),
    }


async def run(options: Options) -> Report:
    """Starts a Ray of its own, measures, stops it."""
    with plain_ray():
        contenders = {name: _contender(form, options.quick) for name, form in _forms().items()}
        results = await interleave(contenders, rounds=1 if options.quick else 3)
    chosen = {name: one.median for name, one in results["linger"].items()}
    return Report(
        results=results,
        goals=(
            Goal(
                name="linger_fast_p95_with_slow_over_without",
                measured=chosen["mixed_fast_ms_p95"] / chosen["fast_ms_p95"],
                at_most=2.0,
            ),
            Goal(
                name="linger_closed_loop_with_slow_over_without",
                measured=chosen["mixed_closed_per_s"] / chosen["closed_per_s"],
                at_least=0.7,
            ),
        ),
        notes=(f"open loop at {RATE:g}/s; slow: {SLOW_SHARE:.1%} of {SLOW_S:g} s",),
        settings={"seed": SEED, "fast_s": FAST_S, "slow_s": SLOW_S, "rate_per_s": RATE},
    )


def _contender(form: Form, quick: bool) -> Contender:
    worker: Any = (
        ray.remote(Worker).options(num_cpus=0.1, max_concurrency=2000).remote(form.settings)
    )

    async def measure() -> Measurement:
        seconds = 2.0 if quick else 4.0
        box = form.mailbox(worker, form.settings)
        await _idle(box, 5)  # warm
        idle = await _idle(box, 50)
        fast = await _open_loop(box, seconds, slow_share=0.0)
        mixed = await _open_loop(box, seconds, slow_share=SLOW_SHARE)
        closed = await _closed_loop(box, seconds, slow_share=0.0)
        mixed_closed = await _closed_loop(box, seconds, slow_share=SLOW_SHARE)
        await box.abort()
        return {
            "idle_ms_p50": nearest_rank(idle, 0.5),
            "fast_ms_p50": nearest_rank(fast, 0.5),
            "fast_ms_p95": nearest_rank(fast, 0.95),
            "mixed_fast_ms_p50": nearest_rank(mixed, 0.5),
            "mixed_fast_ms_p95": nearest_rank(mixed, 0.95),
            "closed_per_s": closed,
            "mixed_closed_per_s": mixed_closed,
        }

    return measure


async def _idle(box: Mailbox, count: int) -> list[float]:
    return [await _timed(box, _message(FAST_S), time.perf_counter()) for _ in range(count)]


async def _open_loop(box: Mailbox, seconds: float, slow_share: float) -> list[float]:
    """Milliseconds of each fast message, from when it was due, not from when it could be sent."""
    dice = random.Random(SEED)  # noqa: S311  # arrivals, not secrets
    bodies = {True: _message(SLOW_S), False: _message(FAST_S)}
    fast: list[asyncio.Task[float]] = []
    slow: list[asyncio.Task[float]] = []
    started = due = time.perf_counter()
    while due < started + seconds:
        await asyncio.sleep(max(due - time.perf_counter(), 0))
        is_slow = dice.random() < slow_share
        task = asyncio.create_task(_timed(box, bodies[is_slow], due))
        (slow if is_slow else fast).append(task)
        due += dice.expovariate(RATE)
    await asyncio.gather(*slow)
    return await asyncio.gather(*fast)


async def _closed_loop(box: Mailbox, seconds: float, slow_share: float) -> float:
    """Fast messages answered a second, for 64 askers; slow ones are asked beside them."""
    dice = random.Random(SEED)  # noqa: S311
    bodies = {True: _message(SLOW_S), False: _message(FAST_S)}
    answered = 0
    slow: set[asyncio.Task[float]] = set()
    until = time.perf_counter() + seconds

    async def ask_on() -> None:
        nonlocal answered
        while time.perf_counter() < until:
            if dice.random() < slow_share:
                slow.add(asyncio.create_task(_timed(box, bodies[True], 0.0)))
            await _timed(box, bodies[False], 0.0)
            answered += 1

    started = time.perf_counter()
    await asyncio.gather(*(ask_on() for _ in range(64)))
    rate = answered / (time.perf_counter() - started)
    await asyncio.gather(*slow)
    return rate


async def _timed(box: Mailbox, body: bytes, since: float) -> float:
    outcome = await box.ask(body, _UNBOUNDED_S, 1)
    outcome.unwrap()
    return (time.perf_counter() - since) * 1000


def _message(seconds: float) -> bytes:
    caller = Caller(guild_id=GuildId("guild_1"), principal_id="usr_1")
    return seal(Work(context=Context(caller=caller, correlation_id="cor_1"), seconds=seconds))


async def _work(message: Message[Any], timeout_s: float, attempt: int) -> Outcome[Any]:
    if not isinstance(message, Work):
        raise MemberLost("worker", sent=True)
    await asyncio.sleep(message.seconds)
    return Outcome(reply=message.seconds)


async def _finish(ticket: int, message: Message[Any]) -> Finished:
    return Finished(ticket, seal_outcome(await _work(message, _UNBOUNDED_S, 1)))


if __name__ == "__main__":
    from benchmarks.reply_forms import run  # workers know classes by this name

    raise SystemExit(main("reply_forms", __doc__, run))
