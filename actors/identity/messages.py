"""Everything of the Identity sage that crosses a process."""

import enum
from dataclasses import dataclass, field
from datetime import datetime

from actors.runtime.message import Command, GuildId, Permission, Query


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
    """What the gateway may put into an access token."""

    guild_id: GuildId
    principal_id: str
    permissions: frozenset[Permission]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogIn(Query[TokenGrant]):
    """A person's login and password. The caller is nobody yet: its guild is empty.

    Fails with `NotAuthenticated`, in the same time for an unknown login as for a wrong password,
    and with `Overloaded` when too many passwords are being checked already.
    """

    login: str
    password: str = field(repr=False)


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
class ReachDatabase(Query[None]):
    """Asks PostgreSQL for next to nothing; fails with `DependencyUnavailable` when it is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrincipalView:
    """A user or a client without anything secret."""

    principal_id: str
    kind: Kind
    login: str
    role: Role | None
    permissions: frozenset[Permission]
    disabled: bool
    version: int
    created_at: datetime


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


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateClient(Command[PrincipalView]):
    """Adds a program to the caller's guild.

    The secret is made by the sender (at least 256 random bits) and only its digest is kept: the
    reply of a command is remembered, so a secret must not be in it.
    """

    client_id: str
    secret: str = field(repr=False)
    scopes: frozenset[Permission]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResetPassword(Command[PrincipalView]):
    """Gives a user of the caller's guild another password."""

    login: str
    password: str = field(repr=False)
