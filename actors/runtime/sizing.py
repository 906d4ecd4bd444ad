"""Pure: how large a pool should be, from the pressure that its members report."""

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from actors.runtime.envelope import Snapshot
from actors.settings import RuntimeSettings


@dataclass(frozen=True, slots=True)
class Pressure:
    """What the members of one pool say together.

    Attributes:
        load: messages waiting for the pool or running in it.
        ready: members that take messages.
        coming: members that were started and do not take any yet.
        oldest_wait_s: how long the oldest message in a mailbox has waited.
        busy: share of the time in which a ready member's event loop was at work, on average.
    """

    load: int
    ready: int
    coming: int = 0
    oldest_wait_s: float = 0.0
    busy: float = 0.0


def pressure(heard: Sequence[Snapshot], coming: int) -> Pressure:
    """The pressure on a pool, from the latest answer of each member that has answered.

    Args:
        heard: of draining members, too: what they hold is still to be done.
        coming: see `Pressure`.
    """
    ready = [one for one in heard if one.ready and not one.draining]
    return Pressure(
        load=sum(one.unfinished + one.waiting for one in heard),
        ready=len(ready),
        coming=coming,
        oldest_wait_s=max((one.oldest_wait_s for one in ready), default=0.0),
        busy=sum(one.busy for one in ready) / max(len(ready), 1),
    )


class Reason(enum.StrEnum):
    """Why a pool has the size it has now."""

    STEADY = "steady"
    BOUNDS = "bounds"
    """It was outside of them."""
    LOAD = "load"
    WAIT = "wait"
    BUSY = "busy"
    QUIET = "quiet"


@dataclass(frozen=True, slots=True)
class Trend:
    """What is remembered from look to look. Times are monotonic seconds.

    Attributes:
        high_since: since when the pressure has been high; None: it is not.
        low_since: since when it has been low; None: it is not.
        shrunk_at: when the pool was last made smaller.
        patience: how many times longer than at first a low pressure must last. It doubles with
            each member that was missed soon after it had gone.
    """

    high_since: float | None = None
    low_since: float | None = None
    shrunk_at: float | None = None
    patience: int = 1


STEADY = Trend()


@dataclass(frozen=True, slots=True)
class Sized:
    """One decision."""

    trend: Trend
    size: int
    reason: Reason = Reason.STEADY


def resize(
    trend: Trend,
    pressure: Pressure,
    *,
    size: int,
    bounds: tuple[int, int],
    now: float,
    settings: RuntimeSettings,
) -> Sized:
    """The size the pool should have after this look.

    It grows after a short time of high pressure, to at most twice its size, and not before those
    that were asked for last have come. It loses one member after a long time in which one less
    would still have been far from busy. The gap between the thresholds, counting anew after each
    change, and the growing patience keep the size from swinging.

    Args:
        trend: what the last call returned.
        pressure: what the members say now.
        size: its size as wanted now.
        bounds: smallest and largest size.
        now: monotonic time, seconds.
        settings: thresholds and patience.
    """
    smallest, largest = bounds
    within = min(max(size, smallest), largest)
    if within != size:
        return Sized(_anew(trend), within, Reason.BOUNDS)
    high = _high(pressure, settings)
    low = high is None and size > smallest and _low(pressure, size, settings)
    trend = replace(
        trend,
        high_since=_since(trend.high_since, now) if high else None,
        low_since=_since(trend.low_since, now) if low else None,
    )
    if high and size < largest and _lasted(trend.high_since, now, settings.grow_after_s):
        wanted = min(_enough(pressure, size, settings), 2 * size, largest)
        return Sized(_missed(trend, now, settings), wanted, high)
    if low and _lasted(trend.low_since, now, settings.shrink_after_s * trend.patience):
        return Sized(replace(_anew(trend), shrunk_at=now), size - 1, Reason.QUIET)
    return Sized(trend, size)


def _high(pressure: Pressure, settings: RuntimeSettings) -> Reason | None:
    """What asks for more members, while nobody is on the way."""
    if pressure.coming:
        return None
    ready = max(pressure.ready, 1)
    if pressure.load > settings.grow_above * ready:
        return Reason.LOAD
    if pressure.oldest_wait_s > settings.grow_wait_s:
        return Reason.WAIT
    if pressure.busy > settings.grow_busy and pressure.load > ready:
        return Reason.BUSY
    return None


def _low(pressure: Pressure, size: int, settings: RuntimeSettings) -> bool:
    """Whether one member less would be far from busy. Nobody ready is no quiet: it is silence."""
    rest = size - 1
    return (
        pressure.ready > 0
        and rest > 0
        and pressure.load < settings.shrink_below * rest
        and pressure.oldest_wait_s < settings.grow_wait_s / 2
        and pressure.busy * pressure.ready < settings.shrink_busy * rest
    )


def _enough(pressure: Pressure, size: int, settings: RuntimeSettings) -> int:
    """Members among which the load would be no high pressure; one more at least."""
    return max(size + 1, math.ceil(pressure.load / settings.grow_above))


def _missed(trend: Trend, now: float, settings: RuntimeSettings) -> Trend:
    """After growth: was it a member too few since the last one went?"""
    if trend.shrunk_at is None:
        return Trend(patience=trend.patience)
    soon = now - trend.shrunk_at < settings.shrink_after_s * trend.patience
    return Trend(patience=min(trend.patience * 2, settings.shrink_patience_max) if soon else 1)


def _anew(trend: Trend) -> Trend:
    return replace(trend, high_since=None, low_since=None)


def _since(since: float | None, now: float) -> float:
    return now if since is None else since


def _lasted(since: float | None, now: float, seconds: float) -> bool:
    return since is not None and now - since >= seconds
