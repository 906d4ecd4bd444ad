"""What becomes of a session when one of its tokens comes. Pure."""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from actors.errors import NotAuthenticated, NotFound, ValidationError
from actors.events import SessionEnded, SessionStarted
from actors.identity import domain
from actors.identity.domain import Principal
from actors.identity.messages import FIRST_PARTY, Kind, TokenGrant
from actors.identity.redirects import check_challenge, proves
from actors.identity.sessions.messages import (
    EndSession,
    ExchangeCode,
    IssueCode,
    RefreshSession,
    SessionView,
)
from actors.runtime.message import GuildId, Permission
from actors.settings import IdentitySettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One sign-in, and all tokens that came of it: the family of its refresh tokens.

    Attributes:
        principal_version: of the person when it began.
        client_version: of the client then; 0 where it is ours.
        scopes: what its access tokens may carry at most.
        ended_at: None while it lasts; it may have expired.
    """

    session_id: str
    guild_id: GuildId
    principal_id: str
    principal_version: int
    client_id: str
    client_version: int
    scopes: frozenset[Permission]
    created_at: datetime
    expires_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refresh:
    """A refresh token as it is kept."""

    digest: str
    expires_at: datetime
    used_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """An authorization code as it is kept.

    Attributes:
        session_id: what it was used for; None: it was not.
    """

    digest: str
    guild_id: GuildId
    principal_id: str
    principal_version: int
    client_id: str
    redirect_uri: str
    challenge: str
    scopes: frozenset[Permission]
    expires_at: datetime
    session_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parties:
    """Who a session is between, as they are now; None: there is none of that id.

    Attributes:
        client: None too where the session is ours.
    """

    principal: Principal | None
    client: Principal | None


class Verdict(enum.StrEnum):
    """What a refresh token that came is worth."""

    GOOD = "good"
    OVER = "over"
    """It or its session has expired or ended."""

    REUSED = "reused"
    """It was used before: one of the two who have it has stolen it."""

    CHANGED = "changed"
    """The person or the client is not what it was when the session began."""


def begin(
    granted: TokenGrant, session_id: str, settings: IdentitySettings, now: datetime
) -> tuple[Session, tuple[SessionStarted, ...]]:
    """A session of whom the grant is for."""
    session = Session(
        session_id=session_id,
        guild_id=granted.guild_id,
        principal_id=granted.principal_id,
        principal_version=granted.version,
        client_id=granted.client_id,
        client_version=granted.client_version,
        scopes=granted.permissions,
        created_at=now,
        expires_at=now + timedelta(seconds=settings.session_s),
    )
    event = SessionStarted(
        session_id=session_id, principal_id=granted.principal_id, client_id=granted.client_id
    )
    return session, (event,)


def next_refresh(
    session: Session, digest: str, settings: IdentitySettings, now: datetime
) -> Refresh:
    """The token that comes next. It does not outlive its session."""
    idle = now + timedelta(seconds=settings.session_idle_s)
    return Refresh(digest=digest, expires_at=min(idle, session.expires_at))


def judge(session: Session, token: Refresh, parties: Parties, now: datetime) -> Verdict:
    """What the token is worth now. That it was used comes before all else."""
    if token.used_at is not None:
        return Verdict.REUSED
    if session.ended_at is not None or min(token.expires_at, session.expires_at) <= now:
        return Verdict.OVER
    return Verdict.GOOD if unchanged(session, parties) else Verdict.CHANGED


def unchanged(session: Session, parties: Parties) -> bool:
    """Whether both are what they were when it began, and may sign in."""
    person, client = parties.principal, parties.client
    if person is None or person.disabled or person.version != session.principal_version:
        return False
    if session.client_id == FIRST_PARTY:
        return True
    return client is not None and not client.disabled and client.version == session.client_version


def end(session: Session, reason: str, now: datetime) -> tuple[Session, tuple[SessionEnded, ...]]:
    """The session is over; nothing happens where it was already."""
    if session.ended_at is not None:
        return session, ()
    event = SessionEnded(
        session_id=session.session_id,
        principal_id=session.principal_id,
        client_id=session.client_id,
        reason=reason,
    )
    return replace(session, ended_at=now), (event,)


def grant(session: Session, scopes: Sequence[str] = ()) -> TokenGrant:
    """What its next access token carries.

    Raises:
        ValidationError: more is asked for than the session has.
    """
    return TokenGrant(
        guild_id=session.guild_id,
        principal_id=session.principal_id,
        permissions=domain.narrowed(session.scopes, scopes),
        version=session.principal_version,
        client_id=session.client_id,
        client_version=session.client_version,
        session_id=session.session_id,
    )


def issue_code(
    command: IssueCode, client: Principal | None, settings: IdentitySettings, now: datetime
) -> Code:
    """A code by which the client may act for the person.

    Raises:
        NotFound: no such client in the person's guild.
        ValidationError: the address is not registered, there is no proof key, or the client may
            not have what it asks for.
    """
    if client is None or client.kind is not Kind.CLIENT or client.disabled:
        raise NotFound("client", command.client_id)
    if command.redirect_uri not in client.redirect_uris:
        raise ValidationError("redirect_uri", "is not one of this client")
    check_challenge(command.challenge)
    both = domain.implied(command.granted.permissions) & domain.implied(client.scopes)
    wanted = domain.narrowed(client.scopes, command.scopes)
    scopes = both & domain.implied(wanted)
    if not scopes:
        raise ValidationError("scope", "has nothing that you may do")
    return Code(
        digest=command.code_digest,
        guild_id=command.granted.guild_id,
        principal_id=command.granted.principal_id,
        principal_version=command.granted.version,
        client_id=command.client_id,
        redirect_uri=command.redirect_uri,
        challenge=command.challenge,
        scopes=scopes,
        expires_at=now + timedelta(seconds=settings.code_s),
    )


def redeem(code: Code, command: ExchangeCode, parties: Parties, now: datetime) -> TokenGrant:
    """What a code that was not used is good for.

    Raises:
        ValidationError: nothing, whatever the reason.
    """
    person, client = parties.principal, parties.client
    good = (
        code.session_id is None
        and now < code.expires_at
        and code.client_id == command.context.caller.principal_id
        and code.redirect_uri == command.redirect_uri
        and proves(command.verifier, code.challenge)
        and client is not None
        and not client.disabled
        and person is not None
        and not person.disabled
        and person.version == code.principal_version
    )
    if not good or client is None:
        raise bad_code()
    return TokenGrant(
        guild_id=code.guild_id,
        principal_id=code.principal_id,
        permissions=code.scopes,
        version=code.principal_version,
        client_id=code.client_id,
        client_version=client.version,
    )


def check_holder(session: Session, command: RefreshSession | EndSession) -> None:
    """Raises `ValidationError` unless the token was given to the client that brings it."""
    if session.client_id != command.client_id:
        field = "token" if isinstance(command, EndSession) else "refresh_token"
        raise ValidationError(field, "is not valid")


def check_unchanged(person: Principal | None, granted: TokenGrant) -> None:
    """Raises `NotAuthenticated` where somebody was changed since they signed in."""
    if person is None or person.disabled or person.version != granted.version:
        raise NotAuthenticated


def view(session: Session, token: Refresh) -> SessionView:
    """The session for whom it is about."""
    return SessionView(
        session_id=session.session_id,
        principal_id=session.principal_id,
        client_id=session.client_id,
        permissions=session.scopes,
        expires_at=token.expires_at,
    )


def bad_code() -> ValidationError:
    """The one answer to a code that is good for nothing."""
    return ValidationError("code", "is not valid")


def bad_refresh() -> ValidationError:
    """The one answer to a refresh token that is good for nothing."""
    return ValidationError("refresh_token", "is not valid")
