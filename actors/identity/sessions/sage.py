"""Begins sessions, renews them once for each token, and ends them."""

from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from actors import clock
from actors.errors import VersionConflict
from actors.identity.messages import FIRST_PARTY, TokenGrant
from actors.identity.sessions import domain
from actors.identity.sessions.domain import Parties, Refresh, Session, Verdict
from actors.identity.sessions.messages import (
    DenyToken,
    EndSession,
    ExchangeCode,
    InspectSession,
    IssueCode,
    RefreshSession,
    Revoked,
    RevokedSince,
    SessionView,
    StartSession,
)
from actors.identity.sessions.store import RevocationStore, SessionStore
from actors.identity.store import IdentityStore
from actors.runtime.message import Command, GuildId, Handlers
from actors.settings import IdentitySettings

_log = structlog.get_logger("elders_guild.identity")
_ATTEMPTS = 3  # who loses a race finds the token used, and does not lose another


class SessionSage:
    """Loads, decides, commits. Whoever asks has been authenticated by `IdentitySage`."""

    def __init__(
        self,
        store: SessionStore,
        revocations: RevocationStore,
        principals: IdentityStore,
        settings: IdentitySettings,
        *,
        now: clock.Now = clock.now,
        new_id: clock.NewId = clock.new_id,
    ) -> None:
        self._store = store
        self._revocations = revocations
        self._principals = principals
        self._settings = settings
        self._now = now
        self._new_id = new_id

    def handlers(self) -> Handlers:
        """The message types of this part of the sage."""
        return {
            StartSession: self.start,
            IssueCode: self.issue_code,
            ExchangeCode: self.exchange_code,
            RefreshSession: self.refresh,
            EndSession: self.end,
            DenyToken: self.deny,
            InspectSession: self.inspect,
            RevokedSince: self.revoked_since,
        }

    async def start(self, command: StartSession) -> TokenGrant:
        """Begins a session of our own."""
        granted = command.granted
        person = await self._principals.by_id(granted.guild_id, granted.principal_id)
        domain.check_unchanged(person, granted)
        return await self._begin(command, granted, command.refresh_digest, None)

    async def issue_code(self, command: IssueCode) -> None:
        """Keeps a code."""
        guild_id = command.granted.guild_id
        client = await self._principals.by_id(guild_id, command.client_id)
        code = domain.issue_code(command, client, self._settings, self._now())
        await self._store.add_code(code, cause=command)

    async def exchange_code(self, command: ExchangeCode) -> TokenGrant:
        """Begins a session for a code; a used code ends the one that it gave."""

        async def attempt() -> TokenGrant:
            guild_id = command.context.caller.guild_id
            found = await self._store.by_code(guild_id, command.code_digest)
            if found is None:
                raise domain.bad_code()
            code, given = found
            if given is not None:
                await self._end(command, given, Verdict.REUSED)
            parties = await self._parties(guild_id, code.principal_id, code.client_id)
            granted = domain.redeem(code, command, parties, self._now())
            return await self._begin(command, granted, command.refresh_digest, code)

        return await _repeated(attempt)

    async def refresh(self, command: RefreshSession) -> TokenGrant:
        """Trades a token for the next; a used one ends the session."""

        async def attempt() -> TokenGrant:
            session, token = await self._found(command.context.caller.guild_id, command.digest)
            parties = await self._parties(session.guild_id, session.principal_id, session.client_id)
            now = self._now()
            verdict = domain.judge(session, token, parties, now)
            if verdict in (Verdict.REUSED, Verdict.CHANGED):
                await self._end(command, session, verdict)
            domain.check_holder(session, command)
            if verdict is not Verdict.GOOD:
                raise domain.bad_refresh()
            granted = domain.grant(session, command.scopes)
            following = domain.next_refresh(session, command.next_digest, self._settings, now)
            await self._store.rotate(session, token, following, cause=command, reply=granted)
            return granted

        return await _repeated(attempt)

    async def end(self, command: EndSession) -> None:
        """Signs out."""
        found = await self._store.by_refresh(command.context.caller.guild_id, command.digest)
        if found is None:
            return
        session, _ = found
        domain.check_holder(session, command)
        await self._commit_end(command, session, "revoked")

    async def deny(self, command: DenyToken) -> None:
        """Has an access token refused."""
        await self._revocations.deny(command)

    async def inspect(self, query: InspectSession) -> SessionView | None:
        """What a refresh token of the caller is good for."""
        caller = query.context.caller
        found = await self._store.by_refresh(caller.guild_id, query.digest)
        if found is None:
            return None
        session, token = found
        parties = await self._parties(session.guild_id, session.principal_id, session.client_id)
        verdict = domain.judge(session, token, parties, self._now())
        if verdict is not Verdict.GOOD or session.client_id != caller.principal_id:
            return None
        return domain.view(session, token)

    async def revoked_since(self, query: RevokedSince) -> Revoked:
        """What was refused since, of all guilds."""
        return await self._revocations.revoked_since(query.cursor, query.limit)

    async def _begin(
        self,
        command: Command[TokenGrant],
        granted: TokenGrant,
        refresh_digest: str,
        code: domain.Code | None,
    ) -> TokenGrant:
        now = self._now()
        session, events = domain.begin(granted, self._new_id("ses"), self._settings, now)
        token = domain.next_refresh(session, refresh_digest, self._settings, now)
        reply = domain.grant(session)
        await self._store.start(session, token, events, code=code, cause=command, reply=reply)
        return reply

    async def _found(self, guild_id: GuildId, digest: str) -> tuple[Session, Refresh]:
        found = await self._store.by_refresh(guild_id, digest)
        if found is None:
            raise domain.bad_refresh()
        return found

    async def _parties(self, guild_id: GuildId, principal_id: str, client_id: str) -> Parties:
        client = None
        if client_id != FIRST_PARTY:
            client = await self._principals.by_id(guild_id, client_id)
        person = await self._principals.by_id(guild_id, principal_id)
        return Parties(principal=person, client=client)

    async def _end(self, command: Command[TokenGrant], session: Session, why: Verdict) -> None:
        await self._commit_end(command, session, why.value)
        _log.warning(
            "session_cut",
            reason=why.value,
            session_id=session.session_id,
            guild_id=session.guild_id,
            user_id=session.principal_id,
            correlation_id=command.context.correlation_id,
        )

    async def _commit_end(self, command: Command[Any], session: Session, reason: str) -> None:
        ended, events = domain.end(session, reason, self._now())
        if events:
            await self._store.end(ended, events, cause=command)


async def _repeated(attempt: Callable[[], Awaitable[TokenGrant]]) -> TokenGrant:
    """Loads and decides anew where somebody else was quicker."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return await attempt()
        except VersionConflict:
            continue
    return await attempt()
