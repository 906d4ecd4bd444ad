"""Access tokens that are refused before they expire, as far as this replica has heard.

The list is in PostgreSQL, and each replica reads on in it, again and again, through the identity
pool. Nothing else is needed for that, Redis least of all. A replica that cannot read it does not
know whom it admits: it refuses administrators soon, and everybody later.
"""

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from actors import clock
from actors.errors import DependencyUnavailable, ElderGuildError
from actors.identity.sessions.messages import Revocation, Revoked, RevokedSince
from actors.runtime.message import Caller, Context, GuildId
from actors.settings import GatewaySettings
from serve_app.readiness import PoolOf

_log = structlog.get_logger("elders_guild.gateway")
_NOBODY = Caller(guild_id=GuildId(""), principal_id="gateway")
_PAGES = 1_000  # of one look; the bound on what is remembered is reached before
_SWEEP_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What of a token may be refused: itself, its session, and those it speaks for."""

    token_id: str
    session_id: str
    principal_id: str
    version: int
    client_id: str
    client_version: int


class Revocations:
    """Of one replica."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        watched: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Nothing is known yet.

        Args:
            settings: how often it is read, and how old it may be.
            watched: somebody keeps it fresh, and it is too old until they have begun; else it is
                never too old.
            monotonic: clock for ages.
            wall: clock for what expires.
        """
        self._settings = settings
        self._monotonic = monotonic
        self._wall = wall
        self._cursor = 0
        self._tokens: dict[str, float] = {}
        self._sessions: dict[str, float] = {}
        self._versions: dict[str, tuple[int, float]] = {}
        self._watched = watched
        self._read_at = -math.inf
        self._swept_at = -math.inf

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._tokens) + len(self._sessions) + len(self._versions)

    def refuses(self, held: Held) -> bool:
        """Whether a token that was good has been revoked."""
        return (
            held.token_id in self._tokens
            or held.session_id in self._sessions
            or self._changed(held.principal_id, held.version)
            or self._changed(held.client_id, held.client_version)
        )

    def check_fresh(self, *, admin: bool) -> None:
        """Raises `DependencyUnavailable` where the list is too old to admit anybody by.

        Args:
            admin: the route is an administrator's, where less age is borne.
        """
        if not self._watched:
            return
        age_s = self._monotonic() - self._read_at
        if age_s > self._settings.blind_s or (admin and age_s > self._settings.blind_admin_s):
            raise DependencyUnavailable("the list of revoked tokens")

    async def watch(self, pool: PoolOf) -> None:
        """Reads on for ever, until cancelled. No failure ends it."""
        while True:
            await self.look(pool)
            await asyncio.sleep(self._settings.revocation_poll_s)

    async def look(self, pool: PoolOf) -> None:
        """Reads on once, to the end.

        Between two pages a transaction may commit what belongs into the first one, so the next
        look begins where the first of this one could not see everything.
        """
        began = self._monotonic()
        cursor, horizon = self._cursor, math.inf
        try:
            for _ in range(_PAGES):
                query = RevokedSince(
                    context=Context(caller=_NOBODY, correlation_id=clock.new_id("cor")),
                    cursor=cursor,
                    limit=self._settings.revocation_page,
                )
                timeout_s = self._settings.revocation_timeout_s
                page = await pool("identity").ask(query, timeout_s=timeout_s)
                cursor, horizon = page.cursor, min(horizon, page.horizon)
                self._cursor = min(cursor, int(horizon))
                if not self._take(page):
                    break
        except ElderGuildError as error:
            _log.warning("revocations_not_read", code=error.code)
            return
        except Exception:
            _log.exception("revocations_not_read")
            return
        self._sweep()
        if len(self) > self._settings.max_revocations:
            _log.error("too_many_revocations", remembered=len(self))
            return
        self._read_at = began

    def _take(self, page: Revoked) -> bool:
        """Adds a page and answers whether there is another one now."""
        for one in page.revocations:
            self._add(one)
        return page.more and len(self) <= self._settings.max_revocations

    def _add(self, one: Revocation) -> None:
        until = one.expires_at.timestamp()
        match one.kind:
            case "token":
                self._tokens[one.subject] = until
            case "session":
                self._sessions[one.subject] = until
            case "principal":
                known = self._versions.get(one.subject, (0, 0.0))
                self._versions[one.subject] = max(known, (one.version, until))

    def _changed(self, principal_id: str, version: int) -> bool:
        known = self._versions.get(principal_id)
        return known is not None and version < known[0]

    def _sweep(self) -> None:
        """Forgets what has expired, now and then: the tokens have too."""
        now = self._monotonic()
        if now - self._swept_at < _SWEEP_S:
            return
        self._swept_at = now
        wall = self._wall()
        for remembered in (self._tokens, self._sessions):
            for subject in [name for name, until in remembered.items() if until <= wall]:
                del remembered[subject]
        for subject in [name for name, (_, until) in self._versions.items() if until <= wall]:
            del self._versions[subject]
