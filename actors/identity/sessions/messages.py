"""Everything of sessions that crosses a process. Secrets are made by the gateway: here are digests.

Whoever sends these has found out who asks; see `actors.identity.messages`.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from actors.identity.messages import TokenGrant
from actors.runtime.message import Command, Permission, Query


@dataclass(frozen=True, slots=True, kw_only=True)
class StartSession(Command[TokenGrant]):
    """Begins a session of a person who has just signed in to us.

    Fails with `NotAuthenticated` where the person was changed meanwhile.

    Attributes:
        granted: what the sign-in answered.
        refresh_digest: of the first refresh token.
    """

    granted: TokenGrant
    refresh_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IssueCode(Command[None]):
    """Lets a client act for a person who has just signed in and agreed.

    Fails with `NotFound` for a client or an address that is none, and with a `ValidationError` of
    the field ``scope``.

    Attributes:
        granted: what the sign-in answered.
        code_digest: of the code.
        redirect_uri: where the person is sent back to; one of the client's, letter by letter.
        challenge: PKCE, S256.
        scopes: what the client wants; empty: all that it may have.
    """

    granted: TokenGrant
    client_id: str
    code_digest: str
    redirect_uri: str
    challenge: str
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExchangeCode(Command[TokenGrant]):
    """Begins the session that a code stands for. The caller is the client.

    Fails with a `ValidationError` of the field ``code``. A second use of a code ends what the
    first one gave.
    """

    code_digest: str
    redirect_uri: str
    verifier: str = field(repr=False)
    refresh_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshSession(Command[TokenGrant]):
    """Trades a refresh token for the next one, once.

    Fails with a `ValidationError` of the field ``refresh_token`` or ``scope``. A second use ends
    the session, whoever comes second: one of the two has stolen it.

    Attributes:
        digest: of the token that is used.
        next_digest: of the one that takes its place.
        client_id: who uses it.
        scopes: what this access token shall carry; empty: all of the session's.
    """

    digest: str
    next_digest: str
    client_id: str
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSession(Command[None]):
    """Ends the session of a refresh token, used or not; nothing happens where there is none.

    Fails with a `ValidationError` of the field ``token`` where it is another client's.
    """

    digest: str
    client_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DenyToken(Command[None]):
    """Has one access token refused from now on.

    Fails with `Overloaded` where the guild has denied too many that are still good.
    """

    token_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """A session whose refresh token is good."""

    session_id: str
    principal_id: str
    client_id: str
    permissions: frozenset[Permission]
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectSession(Query[SessionView | None]):
    """What a refresh token of the caller, a client, is good for; None: for nothing."""

    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocation:
    """What is refused before it expires.

    Attributes:
        kind: of the subject: one token, those of a session, those of a principal.
        version: of a principal: tokens that say a lower one are refused.
    """

    kind: Literal["token", "session", "principal"]
    subject: str
    version: int
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """A part of what is refused, of all guilds.

    Attributes:
        cursor: where to read on. What is read twice is the same.
        horizon: what was still open, and could not be seen, is not below this. Who has read several
            pages begins the next time at the lowest of their horizons.
        more: there is more already.
    """

    revocations: tuple[Revocation, ...]
    cursor: int
    horizon: int
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedSince(Query[Revoked]):
    """What was refused since a cursor; 0: everything that still matters."""

    cursor: int
    limit: int
