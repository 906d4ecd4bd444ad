"""Everything of the Identity sage that crosses a process."""

import enum
import re
from dataclasses import dataclass, field
from datetime import datetime

from actors.runtime.message import Command, GuildId, Permission, Query

FIRST_PARTY = "_guild"
"""In the place of a client's id where a person signed in to us; no client can be called that."""

LOGIN_PATTERN = re.compile(r"[a-z0-9](?:[a-z0-9._@+-]{0,126}[a-z0-9])?")
"""Logins and ids of clients, as far as we make them: what does not match is nobody's."""


class Role(enum.StrEnum):
    """What a person or a service is in its guild; `domain.PERMISSIONS` says what each may do."""

    ADMIN = "admin"
    ELDER = "elder"
    SAGE = "sage"
    USER = "user"
    GUEST = "guest"


class Kind(enum.StrEnum):
    """How a principal proves who it is: a user by a password, a client by a random secret."""

    USER = "user"
    CLIENT = "client"


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenGrant:
    """What the gateway may put into an access token.

    Attributes:
        version: of the principal; once it is changed, the token is refused.
        client_id: the program that acts for the principal, or is it.
        client_version: of that client, likewise; 0 where it is ours.
        session_id: what the token ends with; empty: it stands alone.
    """

    guild_id: GuildId
    principal_id: str
    permissions: frozenset[Permission]
    version: int = 0
    client_id: str = FIRST_PARTY
    client_version: int = 0
    session_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogIn(Query[TokenGrant]):
    """A person's login and password. The caller is nobody yet: its guild is empty.

    Fails with `NotAuthenticated`, in the same time for an unknown login as for a wrong password,
    and with `Overloaded` when too many passwords are being checked already, or this login or this
    address has failed too often.

    Attributes:
        address: where it comes from; empty: from the host itself.
    """

    login: str
    password: str = field(repr=False)
    address: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentials(Query[TokenGrant]):
    """A program's id and secret (OAuth2 client_credentials).

    Attributes:
        scopes: what the token shall carry; empty: all that the client has. Asking for more than
            that is a `ValidationError` of the field ``scope``.
    """

    client_id: str
    secret: str = field(repr=False)
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientView:
    """A client that proved who it is, or a public one, which cannot."""

    guild_id: GuildId
    client_id: str
    version: int
    public: bool
    scopes: frozenset[Permission]
    redirect_uris: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthenticateClient(Query[ClientView]):
    """Which client asks, whatever for. Fails with `NotAuthenticated`.

    Attributes:
        secret: None: it gave none, which only a public client may.
    """

    client_id: str
    secret: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class FindClient(Query[ClientView]):
    """Of a client that asks for a person's consent what may be shown. Fails with `NotFound`."""

    client_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReachDatabase(Query[None]):
    """Asks PostgreSQL for next to nothing; fails with `DependencyUnavailable` when it is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalView:
    """A user or a client without anything secret.

    Attributes:
        receipt: of the command that made it so; another one than was sent: the command is a
            repeat, and the secret that was sent with it is not the one that counts.
    """

    principal_id: str
    kind: Kind
    login: str
    role: Role | None
    permissions: frozenset[Permission]
    disabled: bool
    version: int
    created_at: datetime
    serves: Permission | None = None
    public: bool = False
    redirect_uris: tuple[str, ...] = ()
    receipt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Principals:
    """A page of users or of clients, by id."""

    principals: tuple[PrincipalView, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPrincipals(Query[Principals]):
    """The caller's guild's users, or its clients."""

    kind: Kind
    limit: int
    cursor: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GetPrincipal(Query[PrincipalView]):
    """One user or client of the caller's guild. Fails with `NotFound`."""

    kind: Kind
    principal_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateUser(Command[PrincipalView]):
    """Adds a person to the caller's guild.

    Attributes:
        login: unique in the whole installation, because it decides the guild at sign-in.
        serves: the sage whose permission a user of the role ``sage`` has; None for other roles.
    """

    login: str
    password: str = field(repr=False)
    role: Role
    serves: Permission | None = None
    receipt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateClient(Command[PrincipalView]):
    """Adds a program to the caller's guild.

    The secret is made by the sender (at least 256 random bits) and only its digest is kept: the
    reply of a command is remembered, so a secret must not be in it.

    Attributes:
        secret: empty: the client is public, which needs a redirect URI.
        scopes: what it may do; with a redirect URI, what it may be allowed to do for a person.
        redirect_uris: where a person may be sent back to. With one the client acts for people and
            not for itself.
    """

    client_id: str
    secret: str = field(repr=False)
    scopes: frozenset[Permission]
    redirect_uris: tuple[str, ...] = ()
    receipt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetPassword(Command[PrincipalView]):
    """Gives a user of the caller's guild another password."""

    login: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRole(Command[PrincipalView]):
    """Gives a user of the caller's guild another role; whoever is signed in as it has to again.

    Attributes:
        expected_version: None: whatever it is.
    """

    principal_id: str
    role: Role
    serves: Permission | None = None
    expected_version: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SetDisabled(Command[PrincipalView]):
    """Shuts a user or a client of the caller's guild out, or lets it in again."""

    kind: Kind
    principal_id: str
    disabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RotateClientSecret(Command[PrincipalView]):
    """Gives a client of the caller's guild another secret, made by the sender; the old one ends."""

    client_id: str
    secret: str = field(repr=False)
    receipt: str = ""
