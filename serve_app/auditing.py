"""Sign-ins and refusals on their way to the audit log.

Nothing of this holds a request up: what is noted waits in a bounded place of this process, and is
written a moment later, in the background. Equal ones that follow soon are counted, and become one
entry a while later: who repeats himself fills no log. A killed process takes what waits along; what
is too much is counted by ``elders_guild_audit_notes_dropped``.
"""

import asyncio
import contextvars
import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, TypeVar

import structlog
from fastapi import Request
from starlette.responses import Response

from actors import clock, metrics
from actors.audit import AuditEntry, AuditOutcome
from actors.bus.messages import Account, FindAccounts, RecordAudit
from actors.errors import ElderGuildError, NotAuthorized
from actors.identity.messages import (
    LOGIN_PATTERN,
    AuthenticateClient,
    ClientCredentials,
    LogIn,
    TokenGrant,
)
from actors.runtime.message import Caller, Context, GuildId, Message, ReplyT
from actors.settings import AuditSettings
from serve_app import trace
from serve_app.problems import Problem
from serve_app.readiness import PoolOf
from serve_app.trace import Trace

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]
AskedT = TypeVar("AskedT")

SIGN_IN = "sign_in"
ACCESS = "access"
NO_GUILD = GuildId("")
_GATEWAY = "system:gateway"
_FORBIDDEN = 403

_log = structlog.get_logger("elders_guild.gateway")


class Named(Protocol):
    """What a request is called."""

    @property
    def request_id(self) -> str:
        """Its own name."""

    @property
    def correlation_id(self) -> str:
        """That of everything it belongs to."""


class _What(NamedTuple):
    """Equal ones of a while become one entry.

    Attributes:
        login: where the account is not known yet; it is looked up, and never written.
    """

    action: str
    outcome: AuditOutcome
    guild_id: GuildId
    actor: str
    login: str
    entity_type: str
    entity_id: str


class _First(NamedTuple):
    """Ids of the first of equal requests, and how many there were."""

    request_id: str
    correlation_id: str
    times: int


class AuditTrail:
    """Of one replica; see the module."""

    def __init__(
        self,
        pool: PoolOf,
        settings: AuditSettings,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._settings = settings
        self._sleep = sleep
        self._monotonic = monotonic
        self._waiting: dict[_What, _First] = {}
        self._told: dict[_What, float] = {}
        self._flushing = False
        self._delivering: asyncio.Task[None] | None = None

    def answered(self, of: Named, query: object, reply: object) -> None:
        """A sage has answered; that a person signed in is an event, which is audited itself."""
        match query, reply:
            case ClientCredentials(), TokenGrant():
                self.signed_in(of, reply.guild_id, reply.principal_id, "client_credentials")

    def not_authenticated(self, of: Named, query: object) -> None:
        """A sage has found that somebody is not who they say."""
        match query:
            case LogIn(login=login):
                self.sign_in_failed(of, login, "password")
            case ClientCredentials(client_id=login) | AuthenticateClient(client_id=login):
                self.sign_in_failed(of, login, "client")

    def signed_in(self, of: Named, guild_id: GuildId, principal_id: str, how: str) -> None:
        """A user or a client was given a token; ``how`` names the grant."""
        ok = AuditOutcome.SUCCESS
        self._note(_What(SIGN_IN, ok, guild_id, principal_id, "", "grant", how), of)

    def sign_in_failed(self, of: Named, login: str, how: str) -> None:
        """A password or a secret was wrong. A login that is nobody's is in no guild's log."""
        if not LOGIN_PATTERN.fullmatch(login):
            return
        failed = AuditOutcome.FAILURE
        self._note(_What(SIGN_IN, failed, NO_GUILD, "", login, "grant", how), of)

    def denied(self, of: Trace) -> None:
        """The caller may not do what the request asks for."""
        if of.guild_id:
            denied = AuditOutcome.DENIED
            what = _What(ACCESS, denied, GuildId(of.guild_id), of.user_id, "", "route", of.route)
            self._note(what, of)

    async def flush(self) -> None:
        """Waits until everything noted so far is written, or given up."""
        if self._delivering is not None:
            self._flushing = True
            await asyncio.wait([self._delivering])
            self._flushing = False

    def _note(self, what: _What, of: Named) -> None:
        known = self._waiting.get(what)
        if known is not None:
            self._waiting[what] = known._replace(times=known.times + 1)
        elif not self._has_place(what):
            metrics.AUDIT_NOTES_DROPPED.inc()
        else:
            self._waiting[what] = _First(of.request_id, of.correlation_id, 1)
        if self._delivering is None or self._delivering.done():
            # A context of its own: it is not the work of the request that happens to begin it.
            loop = asyncio.get_running_loop()
            self._delivering = loop.create_task(self._deliver(), context=contextvars.Context())

    def _has_place(self, what: _What) -> bool:
        """Who makes names up takes no place from those that are known.

        A login that was told of lately is known; one that was found to be nobody's never is.
        """
        if len(self._waiting) >= self._settings.max_waiting:
            return False
        if not what.login:
            return True
        logins = sum(1 for one in self._waiting if one.login and one not in self._told)
        return what in self._told or logins < self._settings.max_waiting_logins

    async def _deliver(self) -> None:
        while self._waiting:
            await self._sleep(self._settings.flush_s)
            notes = self._take_due()
            accounts = await self._accounts(notes)
            for what in notes:
                if what.login and accounts.get(what.login) is None:
                    self._told.pop(what, None)
            for command in _commands(notes, accounts):
                done = await self._done(command, _each_entry, self._ask)
                written = sum(len(part.entries) for part, _ in done)
                metrics.AUDIT_NOTES_DROPPED.inc(len(command.entries) - written)

    def _take_due(self) -> Mapping[_What, _First]:
        """What is to be written now: what was not told lately, or everything where that is over."""
        now = self._monotonic()
        since = now - self._settings.merge_s
        self._told = {what: at for what, at in self._told.items() if at > since}
        due = {
            what: first
            for what, first in self._waiting.items()
            if self._flushing or what not in self._told
        }
        for what in due:
            del self._waiting[what]
        room = self._settings.max_waiting - len(self._told)
        self._told |= dict.fromkeys(itertools.islice(due, room), now)
        return due

    async def _accounts(self, notes: Mapping[_What, _First]) -> Mapping[str, Account | None]:
        """Those that were looked up; notes about others are dropped."""
        logins = tuple({what.login for what in notes if what.login})
        if not logins:
            return {}
        query = FindAccounts(context=_context(NO_GUILD), logins=logins)
        done = await self._done(query, _each_login, self._ask)
        accounts = {
            login: account
            for part, found in done
            for login, account in zip(part.logins, found, strict=True)
        }
        lost = sum(1 for what in notes if what.login and what.login not in accounts)
        metrics.AUDIT_NOTES_DROPPED.inc(lost)
        return accounts

    async def _done(
        self,
        whole: AskedT,
        apart: Callable[[AskedT], Sequence[AskedT]],
        ask: Callable[[AskedT], Awaitable[ReplyT]],
    ) -> list[tuple[AskedT, ReplyT]]:
        """What was asked and answered: the whole or, where that can never be, each part that can.

        All attempts together are bounded.
        """
        parts, done, attempts = deque((whole,)), [], self._settings.attempts
        while parts and attempts:
            try:
                done.append((parts[0], await ask(parts[0])))
                parts.popleft()
            except ElderGuildError as error:
                _log.warning("audit_not_written", code=error.code, attempts_left=attempts)
                if error.retryable:
                    attempts -= 1
                    await self._sleep(self._settings.flush_s)
                else:
                    _take_apart(parts, apart)
            except Exception:  # a bug: it would not go better a second time
                _log.exception("audit_failed")
                _take_apart(parts, apart)
        return done

    async def _ask(self, message: Message[ReplyT]) -> ReplyT:
        return await self._pool("bus").ask(message, timeout_s=self._settings.timeout_s)


def watched(inner: Endpoint) -> Endpoint:
    """The endpoint; that it answers 403 is noted."""

    async def handle(request: Request) -> Response:
        try:
            return await inner(request)
        except (NotAuthorized, Problem) as refused:
            if not isinstance(refused, Problem) or refused.status == _FORBIDDEN:
                request.app.state.gateway.audit.denied(trace.of(request.scope))
            raise

    return handle


def _take_apart(parts: deque[AskedT], apart: Callable[[AskedT], Sequence[AskedT]]) -> None:
    """The first one cannot be done: what it is made of is tried, or nothing where it is one."""
    smaller = apart(parts.popleft())
    if len(smaller) > 1:
        parts.extend(smaller)


def _each_login(query: FindAccounts) -> list[FindAccounts]:
    return [replace(query, logins=(login,)) for login in query.logins]


def _each_entry(command: RecordAudit) -> list[RecordAudit]:
    return [
        replace(command, command_id=clock.new_id("cmd"), entries=(entry,))
        for entry in command.entries
    ]


def _commands(
    notes: Mapping[_What, _First], accounts: Mapping[str, Account | None]
) -> list[RecordAudit]:
    """One for each guild; what is of no guild is left out."""
    entries: dict[GuildId, list[AuditEntry]] = {}
    for what, first in notes.items():
        guild_id, actor = what.guild_id, what.actor
        if what.login:
            account = accounts.get(what.login)
            if account is None:
                continue
            guild_id, actor = account.guild_id, account.principal_id
        entries.setdefault(guild_id, []).append(_entry(what, first, actor))
    return [
        RecordAudit(context=_context(guild_id), command_id=clock.new_id("cmd"), entries=tuple(told))
        for guild_id, told in entries.items()
    ]


def _entry(what: _What, first: _First, actor: str) -> AuditEntry:
    return AuditEntry(
        action=what.action,
        actor=actor,
        entity_type=what.entity_type,
        entity_id=what.entity_id,
        outcome=what.outcome,
        request_id=first.request_id,
        correlation_id=first.correlation_id,
        details={} if first.times == 1 else {"times": first.times},
    )


def _context(guild_id: GuildId) -> Context:
    caller = Caller(guild_id=guild_id, principal_id=_GATEWAY)
    return Context(caller=caller, correlation_id=clock.new_id("cor"))
