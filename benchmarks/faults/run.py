"""One run over a stack that is up: prepare, publish, strike, come to rest, judge."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import orjson

from benchmarks.faults import effects
from benchmarks.faults.crew import Crew
from benchmarks.faults.effects import Books
from benchmarks.faults.plan import NOTHING, Strike, Workload
from benchmarks.faults.strikes import Fault, Striker
from benchmarks.faults.writers import HISTORY, READ
from benchmarks.guildcheck import Entry, Observer, Sighting, Verdict, judge
from cluster.state import Stack

_REST_S = 60.0
_STEADY_S = 2.0
_POLL_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What happened and what came of it.

    Attributes:
        calm: how soon events flow when nothing was hit: what every other time contains.
        redelivered: consumer → share of its events delivered more than once, in percent.
        rest_s: from the end of publishing until all had taken effect; None: not within the bound.
        dead_letters: deliveries that were given up; there is no reason for any.
    """

    workload: Workload
    seconds: float
    calm: Fault
    faults: tuple[Fault, ...]
    verdict: Verdict
    redelivered: Mapping[str, float]
    rest_s: float | None
    dead_letters: int

    @property
    def sound(self) -> bool:
        """Whether nothing was lost, doubled or out of order, and all came back by itself."""
        return (
            not self.verdict.anomalies
            and not self.dead_letters
            and self.rest_s is not None
            and all(fault.back_s is not None for fault in self.faults)
        )


async def new_workload(stack: Stack, seed: int, *, handled: bool, over_http: int = 0) -> Workload:
    """A workload in the stack's first guild, under names that no other run has."""
    connection = await asyncpg.connect(stack.log_database_url)
    try:
        guild_id = await connection.fetchval("SELECT guild_id FROM guilds ORDER BY created_at")
    finally:
        await connection.close()
    run = f"{seed}x{secrets.token_hex(4)}"
    return Workload(run=run, seed=seed, guild_id=guild_id, handled=handled, over_http=over_http)


async def play(
    stack: Stack,
    workload: Workload,
    strikes: Sequence[Strike],
    folder: Path,
    *,
    seconds: float,
    say: Callable[[str], None] = lambda _: None,
) -> Outcome:
    """Plays the strikes, as many as begin within ``seconds``, and judges.

    Args:
        stack: up and ready; it is used up like any that was killed at.
        workload: what is published meanwhile.
        strikes: what to hit, in order.
        folder: for the history and the logs of the processes.
        seconds: no strike begins later.
        say: takes one line about each fault.

    Raises:
        RuntimeError: the run itself failed; nothing was judged.
    """
    began = time.monotonic()
    await effects.prepare(stack.migration_database_url)
    books = Books(stack.log_database_url, workload)
    with Crew(stack, workload, folder) as crew:
        crew.start("writers")
        crew.start("consumer")
        await asyncio.gather(
            *(asyncio.to_thread(crew.wait_ready, name) for name in ("writers", "consumer"))
        )
        striker = Striker(stack, crew, books)
        calm = await _told_of(striker.strike(NOTHING), say)
        faults = await _strike(striker, strikes, began + seconds, crew, say)
        await asyncio.to_thread(crew.end, "writers")
        rest_s = await _come_to_rest(books)
        await asyncio.to_thread(crew.end, "consumer")
    say("judging")
    observers = [*await books.observers(), _read_through_bus(folder / READ)]
    with (folder / HISTORY).open("rb") as history:
        verdict = judge(map(Entry.from_line, history), observers)
    return Outcome(
        workload=workload,
        seconds=time.monotonic() - began,
        calm=calm,
        faults=tuple(faults),
        verdict=verdict,
        redelivered=await books.redelivered(),
        rest_s=rest_s,
        dead_letters=await books.dead_letters(),
    )


async def _strike(
    striker: Striker,
    strikes: Iterable[Strike],
    ends_at: float,
    crew: Crew,
    say: Callable[[str], None],
) -> list[Fault]:
    faults: list[Fault] = []
    for strike in strikes:
        await asyncio.sleep(strike.pause_s)
        if time.monotonic() > ends_at:
            break
        fault = await _told_of(striker.strike(strike.target), say)
        faults.append(fault)
        crew.check("writers")
        if fault.back_s is None:
            break  # what follows would say nothing new
    return faults


async def _told_of(striking: Awaitable[Fault], say: Callable[[str], None]) -> Fault:
    fault = await striking
    say(f"{fault.at_s:6.1f} s  {fault.target:<10} {_told(fault)}")
    return fault


def _told(fault: Fault) -> str:
    if fault.back_s is None:
        return f"events did not flow again at {', '.join(fault.silent)}"
    there = "not there again" if fault.whole_s is None else f"whole after {fault.whole_s:.1f} s"
    return f"events flow after {fault.back_s:.1f} s, {there}"


async def _come_to_rest(books: Books) -> float | None:
    """Seconds until all of the log has taken effect everywhere; then waits a moment for doubles."""
    began = time.monotonic()
    while await books.behind() > 0:
        if time.monotonic() > began + _REST_S:
            return None
        await asyncio.sleep(_POLL_S)
    rest_s = time.monotonic() - began
    await asyncio.sleep(_STEADY_S)
    return rest_s


def _read_through_bus(file: Path) -> Observer:
    lines = file.read_bytes().splitlines()
    return Observer(name="bus", seen=[Sighting(**orjson.loads(line)) for line in lines])
