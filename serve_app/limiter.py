"""One rate limit over all replicas, at the price of a question to Redis every few hundred requests.

The decisions are in `serve_app.shares`; here they meet the clock and the shared count.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from actors import metrics
from actors.errors import ElderGuildError
from actors.runtime.message import Caller
from actors.settings import RateSettings
from serve_app.shares import Policy, Shares, Standing

_log = structlog.get_logger("elders_guild.limiter")
_ROUNDS = 4
"""Of drawing, before a request is refused: the others took what was drawn, or the window ended."""


class SharedCount(Protocol):
    """Counters that all replicas see."""

    async def add(self, key: str, amount: int, ttl_s: int) -> int:
        """Raises a counter, which is forgotten ``ttl_s`` after its first use; answers its value.

        Raises:
            ElderGuildError: it cannot be reached.
        """
        ...


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one request.

    Attributes:
        refused_by: name of the policy whose quota is spent; empty: the request may be served.
        retry_after_s: when the window ends.
        headers: ``RateLimit`` and ``RateLimit-Policy``.
    """

    refused_by: str
    retry_after_s: int
    headers: tuple[tuple[bytes, bytes], ...]


class Limiter:
    """Quotas of principals and of whole guilds, in requests."""

    def __init__(
        self,
        settings: RateSettings,
        shared: SharedCount | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Nothing is drawn yet.

        Args:
            settings: quotas, window, lease.
            shared: the count over all replicas; None: there is none, each counts alone.
            now: seconds since 1970.
        """
        self._settings = settings
        self._shared = shared
        self._now = now
        self._kinds = (
            Shares(_policy(settings, "principal", settings.principal)),
            Shares(_policy(settings, "guild", settings.guild)),
        )
        declared = ", ".join(kind.policy.declared for kind in self._kinds)
        self._declared = (b"ratelimit-policy", declared.encode())
        self._drawing: dict[tuple[str, str], asyncio.Task[None]] = {}
        self._waiting: Counter[tuple[str, str]] = Counter()
        self._away_until = 0.0

    async def admit(self, caller: Caller) -> Verdict:
        """Counts one request. Waits for the shared count only where the lease is used up."""
        holders = (f"{caller.guild_id}/{caller.principal_id}", str(caller.guild_id))
        lacking = self._kinds[0]
        for _ in range(_ROUNDS):
            now = self._now()
            served = self._serve(holders, now)
            if served is not None:
                return served
            empty = []
            for kind, holder in zip(self._kinds, holders, strict=True):
                match kind.standing(holder, now):
                    case Standing.SPENT:
                        return self._refuse(kind, holders, now)
                    case Standing.EMPTY:
                        lacking = kind
                        empty.append((kind, holder))
                    case Standing.READY:
                        pass
            for kind, holder in empty:
                await self._draw(kind, holder)
        return self._refuse(lacking, holders, self._now())

    def _serve(self, holders: tuple[str, str], now: float) -> Verdict | None:
        """The way of nearly every request: both have drawn enough."""
        principals, guilds = self._kinds
        window = principals.window(now)
        one, all_ = principals.share(holders[0], window), guilds.share(holders[1], window)
        if one.held <= 0 or all_.held <= 0:
            return None
        one.held -= 1
        all_.held -= 1
        ends = principals.ends_in_s(now)
        left, of_guild = one.held + one.rest, all_.held + all_.rest
        said = f'"principal";r={left};t={ends}, "guild";r={of_guild};t={ends}'
        return Verdict("", 0, (self._declared, (b"ratelimit", said.encode())))

    def _refuse(self, kind: Shares, holders: Sequence[str], now: float) -> Verdict:
        metrics.RATE_LIMITED.labels(kind.policy.name).inc()
        return Verdict(kind.policy.name, kind.ends_in_s(now), self._headers(holders, now))

    def _headers(self, holders: Sequence[str], now: float) -> tuple[tuple[bytes, bytes], ...]:
        said = ", ".join(
            f'"{kind.policy.name}";r={kind.left(holder, now)};t={kind.ends_in_s(now)}'
            for kind, holder in zip(self._kinds, holders, strict=True)
        )
        return self._declared, (b"ratelimit", said.encode())

    async def _draw(self, kind: Shares, holder: str) -> None:
        """Draws once for all that wait for it; whoever goes away takes nobody's draw along."""
        if self._shared is None or time.monotonic() < self._away_until:
            kind.draw_alone(holder, self._now())
            return
        place = (kind.policy.name, holder)
        self._waiting[place] += 1
        try:
            task = self._drawing.get(place)
            if task is None:
                task = asyncio.ensure_future(self._ask(kind, holder, self._shared))
                self._drawing[place] = task
                task.add_done_callback(lambda _: self._drawing.pop(place, None))
            await asyncio.shield(task)
        finally:
            self._waiting[place] -= 1
            if not self._waiting[place]:
                del self._waiting[place]

    async def _ask(self, kind: Shares, holder: str, shared: SharedCount) -> None:
        await asyncio.sleep(0)  # whoever asks in the same moment is counted
        window = kind.window(self._now())
        asked = max(kind.policy.lease, self._waiting[kind.policy.name, holder])
        key = f"{kind.policy.name}:{holder}:{window}"
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                total = await shared.add(key, asked, 2 * kind.policy.window_s)
        except (ElderGuildError, TimeoutError):
            if time.monotonic() >= self._away_until:
                _log.warning("shared_rate_count_away", alone_for_s=self._settings.rest_s)
            self._away_until = time.monotonic() + self._settings.rest_s
            metrics.RATE_COUNT_AWAY.inc()
            return
        kind.draw(holder, window, asked, total)


def _policy(settings: RateSettings, name: str, quota: int) -> Policy:
    return Policy(
        name=name,
        quota=quota,
        window_s=settings.window_s,
        lease=max(1, int(quota * settings.lease_share)),
        alone=max(1, int(quota * settings.alone_share)),
        holders=settings.holders,
    )
