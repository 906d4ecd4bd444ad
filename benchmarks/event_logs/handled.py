"""From publishing to the committed effect: how long it takes, and how much of it there can be."""

import asyncio
import time
from dataclasses import dataclass

from actors.settings import settings
from benchmarks.event_logs.drafts import Drafts
from benchmarks.event_logs.guild import Guild
from benchmarks.event_logs.shapes import BATCHES, publish
from benchmarks.event_logs.sink import Handled
from benchmarks.frame import Measurement, percentile

RATE = 500.0
_DRAIN_S, _POLL_S = 60.0, 0.05
_HEARD_S = 2 * settings().router.refresh_s  # after which the router surely knows of a pause
_SHARES = (0.02, 0.98)  # between which a drain's rate is taken: without its beginning and its end


@dataclass(frozen=True, slots=True)
class Effects:
    """All that was handled of so many events, in the order of the commits."""

    commits: tuple[Handled, ...]

    def per_s(self) -> float:
        """Events a second, between the commits at 2 and 98 per cent of them."""
        total = sum(len(one.source_ids) for one in self.commits)
        low, high = (total * share for share in _SHARES)
        count = 0
        begun: tuple[float, int] | None = None
        for one in self.commits:
            count += len(one.source_ids)
            if begun is None and count >= low:
                begun = one.at, count
            if begun is not None and count >= high and one.at > begun[0]:
                return (count - begun[1]) / (one.at - begun[0])
        raise ValueError("too few commits for a rate")

    def at(self) -> dict[str, float]:
        """When each event took effect, by its publisher's id."""
        return {source_id: one.at for one in self.commits for source_id in one.source_ids}


async def collect(guild: Guild, expected: int) -> Effects:
    """Waits for the effects of so many events.

    Raises:
        RuntimeError: one came twice.
        TimeoutError: some did not come.
    """
    commits: list[Handled] = []
    count = 0
    async with asyncio.timeout(_DRAIN_S):
        while count < expected:
            await asyncio.sleep(_POLL_S)
            taken = await guild.handled()
            commits += taken
            count += sum(len(one.source_ids) for one in taken)
    if len({source_id for one in commits for source_id in one.source_ids}) != expected:
        raise RuntimeError("an event took effect twice")
    return Effects(tuple(sorted(commits, key=lambda one: one.at)))


async def latency(guild: Guild, drafts: Drafts, seconds: float) -> Measurement:
    """Milliseconds at `RATE`, from when an event was due until its effect was committed."""
    due: dict[str, float] = {}
    publishing: list[asyncio.Task[None]] = []
    begun = time.monotonic()
    for number in range(int(RATE * seconds)):
        at = begun + number / RATE
        if (wait := at - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        (draft,) = drafts.take(1)
        due[draft.source_id] = at
        publishing.append(asyncio.create_task(guild.heard.write([draft])))
    await asyncio.gather(*publishing)
    handled = (await collect(guild, len(due))).at()
    waits = [(handled[source_id] - at) * 1000 for source_id, at in due.items()]
    return {
        "handled_ms_p50": percentile(waits, 0.5),
        "handled_ms_p99": percentile(waits, 0.99),
        "handled_ms_max": max(waits),
    }


async def drain(guild: Guild, drafts: Drafts, count: int) -> Measurement:
    """How fast a backlog takes effect."""
    await guild.pause()
    await asyncio.sleep(_HEARD_S)  # else some of it is handled while it is still published
    for _ in range(count // BATCHES.events):
        await guild.heard.write(drafts.take(BATCHES.events))
    await guild.resume()
    effects = await collect(guild, count // BATCHES.events * BATCHES.events)
    return {"drain_per_s": effects.per_s()}


async def through(guild: Guild, drafts: Drafts, seconds: float) -> Measurement:
    """Effects a second while batches are published as fast as they are acknowledged."""
    ends = time.monotonic() + seconds
    seen = await publish(guild.heard, drafts, BATCHES, seconds)
    effects = await collect(guild, seen.events)
    in_time = sum(len(one.source_ids) for one in effects.commits if one.at <= ends)
    return {"through_per_s": in_time / seconds}
