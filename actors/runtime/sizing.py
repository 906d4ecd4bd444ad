"""Pure: how large a pool should be, from the pressure on its mailboxes."""

from dataclasses import dataclass

from actors.settings import RuntimeSettings


@dataclass(frozen=True, slots=True)
class Trend:
    """Since when the pressure has been high, or low; None: it is not."""

    high_since: float | None = None
    low_since: float | None = None


STEADY = Trend()


def resize(
    trend: Trend,
    *,
    load: int,
    ready: int,
    size: int,
    bounds: tuple[int, int],
    now: float,
    settings: RuntimeSettings,
) -> tuple[Trend, int]:
    """The trend after this look, and the size the pool should have.

    One member more after a short time of high pressure, one less after a long time in which one
    less would still have been far from busy. The gap between the two thresholds, and starting to
    count anew after each change, keep the size from swinging.

    Args:
        trend: what the last call returned.
        load: messages waiting for the pool or running in it.
        ready: its members that take messages.
        size: its size as wanted now.
        bounds: smallest and largest size.
        now: monotonic time, seconds.
        settings: thresholds and patience.
    """
    smallest, largest = bounds
    within = min(max(size, smallest), largest)
    if within != size:
        return STEADY, within
    high = load > settings.grow_above * max(ready, 1)
    low = size > 1 and load < settings.shrink_below * (size - 1)
    high_since = (trend.high_since if trend.high_since is not None else now) if high else None
    low_since = (trend.low_since if trend.low_since is not None else now) if low else None
    if high_since is not None and now - high_since >= settings.grow_after_s and size < largest:
        return STEADY, size + 1
    if low_since is not None and now - low_since >= settings.shrink_after_s and size > smallest:
        return STEADY, size - 1
    return Trend(high_since, low_since), size
