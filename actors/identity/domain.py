"""Who may do what, and what a login, a password and a secret must look like. Pure."""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType

from actors.errors import NotFound, ValidationError, VersionConflict
from actors.events import PrincipalCreated, PrincipalDisabled, PrincipalUpdated
from actors.identity.common_passwords import is_common
from actors.identity.messages import (
    FIRST_PARTY,
    LOGIN_PATTERN,
    ChangeRole,
    ClientView,
    CreateClient,
    CreateUser,
    Kind,
    PrincipalView,
    ResetPassword,
    Role,
    RotateClientSecret,
    SetDisabled,
    TokenGrant,
)
from actors.identity.redirects import check_redirect_uris
from actors.runtime.message import GuildId, Permission

_SAGES = frozenset(
    {Permission.KNOWLEDGE, Permission.TASK, Permission.INCIDENT, Permission.RAG},
)

PERMISSIONS: Mapping[Role, frozenset[Permission]] = MappingProxyType(
    {
        Role.ADMIN: frozenset({Permission.ADMIN}),  # implies the others
        Role.ELDER: _SAGES | {Permission.READ, Permission.WRITE, Permission.DELETE},
        Role.SAGE: frozenset({Permission.READ, Permission.WRITE}),  # and its own sage's
        Role.USER: frozenset(
            {
                Permission.READ,
                Permission.WRITE,
                Permission.RAG,
                Permission.TASK,
                Permission.INCIDENT,
            }
        ),
        Role.GUEST: frozenset({Permission.READ}),
    }
)

_MIN_PASSWORD, _MAX_PASSWORD = 12, 256
_MIN_SECRET = 43  # 256 bits in base64url
_DIGEST = "sha256:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A user or a client of one guild.

    Attributes:
        role: of a user; None for a client, which has ``scopes`` of its own.
        serves: the sage of a user with the role ``sage``.
        secret_hash: argon2id of a password, or the digest of a client's random secret; empty: a
            public client, which has none.
        redirect_uris: of a client that acts for people.
    """

    principal_id: str
    guild_id: GuildId
    kind: Kind
    login: str
    role: Role | None
    serves: Permission | None
    scopes: frozenset[Permission]
    secret_hash: str = field(repr=False)
    disabled: bool
    version: int
    created_at: datetime
    redirect_uris: tuple[str, ...] = ()

    @property
    def public(self) -> bool:
        """Whether it is a client that cannot keep a secret."""
        return self.kind is Kind.CLIENT and not self.secret_hash

    @property
    def permissions(self) -> frozenset[Permission]:
        """What it may do now."""
        if self.role is None:
            return self.scopes
        own = frozenset() if self.serves is None else frozenset({self.serves})
        return PERMISSIONS[self.role] | own

    def view(self) -> PrincipalView:
        """The principal without its secret."""
        return PrincipalView(
            principal_id=self.principal_id,
            kind=self.kind,
            login=self.login,
            role=self.role,
            permissions=self.permissions,
            disabled=self.disabled,
            version=self.version,
            created_at=self.created_at,
            serves=self.serves,
            public=self.public,
            redirect_uris=self.redirect_uris,
        )

    def as_client(self) -> ClientView:
        """The same for whom it signs in to."""
        return ClientView(
            guild_id=self.guild_id,
            client_id=self.principal_id,
            version=self.version,
            public=self.public,
            scopes=self.scopes,
            redirect_uris=self.redirect_uris,
        )


def create_user(
    command: CreateUser, user_id: str, password_hash: str, now: datetime
) -> tuple[Principal, tuple[PrincipalCreated, ...]]:
    """A new person. Check the password with `check_password` before it is hashed."""
    check_login("login", command.login)
    _check_role(command.role, command.serves)
    user = Principal(
        principal_id=user_id,
        guild_id=command.context.caller.guild_id,
        kind=Kind.USER,
        login=command.login,
        role=command.role,
        serves=command.serves,
        scopes=frozenset(),
        secret_hash=password_hash,
        disabled=False,
        version=1,
        created_at=now,
    )
    return user, (_created(user),)


def create_client(
    command: CreateClient, now: datetime
) -> tuple[Principal, tuple[PrincipalCreated, ...]]:
    """A new program; its id is also its login."""
    check_login("client_id", command.client_id)
    if command.secret or not command.redirect_uris:
        _check_secret(command.secret)
    if not command.scopes:
        raise ValidationError("scopes", "must name at least one permission")
    check_redirect_uris(command.redirect_uris)
    client = Principal(
        principal_id=command.client_id,
        guild_id=command.context.caller.guild_id,
        kind=Kind.CLIENT,
        login=command.client_id,
        role=None,
        serves=None,
        scopes=command.scopes,
        secret_hash=digest(command.secret) if command.secret else "",
        disabled=False,
        version=1,
        created_at=now,
        redirect_uris=command.redirect_uris,
    )
    return client, (_created(client),)


def reset_password(
    user: Principal, command: ResetPassword, password_hash: str
) -> tuple[Principal, tuple[PrincipalUpdated, ...]]:
    """Another password for a user; a client has a secret, see `rotate_secret`."""
    if user.kind is not Kind.USER:
        raise NotFound("user", command.login)
    event = PrincipalUpdated(principal_id=user.principal_id, fields=("password",))
    return replace(user, secret_hash=password_hash, version=user.version + 1), (event,)


def change_role(
    user: Principal, command: ChangeRole
) -> tuple[Principal, tuple[PrincipalUpdated, ...]]:
    """Another role for a user; nothing happens where it has it already."""
    if user.kind is not Kind.USER:
        raise NotFound("user", command.principal_id)
    if command.expected_version not in (None, user.version):
        raise VersionConflict("user", user.principal_id)
    _check_role(command.role, command.serves)
    if (user.role, user.serves) == (command.role, command.serves):
        return user, ()
    changed = replace(user, role=command.role, serves=command.serves, version=user.version + 1)
    return changed, (PrincipalUpdated(principal_id=user.principal_id, fields=("role",)),)


def set_disabled(
    principal: Principal, command: SetDisabled
) -> tuple[Principal, tuple[PrincipalDisabled | PrincipalUpdated, ...]]:
    """Shut out or let in; nothing happens where it is so already.

    Raises:
        ValidationError: somebody would shut themselves out.
    """
    if principal.kind is not command.kind:
        raise NotFound(command.kind.value, command.principal_id)
    if command.disabled and principal.principal_id == command.context.caller.principal_id:
        raise ValidationError("user_id", "is your own; another administrator can disable you")
    if principal.disabled is command.disabled:
        return principal, ()
    changed = replace(principal, disabled=command.disabled, version=principal.version + 1)
    if command.disabled:
        return changed, (PrincipalDisabled(principal_id=principal.principal_id),)
    return changed, (PrincipalUpdated(principal_id=principal.principal_id, fields=("disabled",)),)


def rotate_secret(
    client: Principal, command: RotateClientSecret
) -> tuple[Principal, tuple[PrincipalUpdated, ...]]:
    """Another secret for a client that has one."""
    if client.kind is not Kind.CLIENT:
        raise NotFound("client", command.client_id)
    if client.public:
        raise ValidationError("client_id", "is of a public client, which has no secret")
    _check_secret(command.secret)
    event = PrincipalUpdated(principal_id=client.principal_id, fields=("secret",))
    changed = replace(client, secret_hash=digest(command.secret), version=client.version + 1)
    return changed, (event,)


def grant(principal: Principal, scopes: Sequence[str] = ()) -> TokenGrant:
    """What the principal's token carries: all it may do, or the part that is asked for.

    Raises:
        ValidationError: a scope is unknown, or more than the principal has.
    """
    by_itself = principal.kind is Kind.CLIENT
    return TokenGrant(
        guild_id=principal.guild_id,
        principal_id=principal.principal_id,
        permissions=narrowed(principal.permissions, scopes),
        version=principal.version,
        client_id=principal.principal_id if by_itself else FIRST_PARTY,
        client_version=principal.version if by_itself else 0,
    )


def grant_to_program(client: Principal, scopes: Sequence[str]) -> TokenGrant:
    """What a client gets that acts for itself.

    Raises:
        ValidationError: it acts for people (field ``grant_type``), or a scope is not its own.
    """
    if client.public or client.redirect_uris:
        raise ValidationError("grant_type", "is not one of this client")
    return grant(client, scopes)


def narrowed(held: frozenset[Permission], scopes: Sequence[str]) -> frozenset[Permission]:
    """The part of what is held that is asked for; nothing asked for: all of it.

    Raises:
        ValidationError: a scope is unknown, or more than is held.
    """
    if not scopes:
        return held
    known = {permission.value: permission for permission in Permission}
    wanted = {known.get(scope) for scope in scopes}
    chosen = frozenset(permission for permission in wanted if permission in implied(held))
    if len(chosen) != len(wanted):
        raise ValidationError("scope", "is unknown or not granted to this client")
    return chosen


def implied(held: frozenset[Permission]) -> frozenset[Permission]:
    """Everything that what is held allows."""
    return frozenset(Permission) if Permission.ADMIN in held else held


def check_login(name: str, login: str) -> None:
    """Raises `ValidationError` unless it is a login or client id as we make them."""
    if not LOGIN_PATTERN.fullmatch(login):
        raise ValidationError(name, "is 1 to 128 of a-z, 0-9, dot, dash, plus, at, underscore")


def check_password(password: str, login: str) -> None:
    """Raises `ValidationError` for a password that is too short, too long, or made of the login."""
    if not _MIN_PASSWORD <= len(password) <= _MAX_PASSWORD:
        raise ValidationError("password", f"has {_MIN_PASSWORD} to {_MAX_PASSWORD} characters")
    if len(set(password)) < 5:
        raise ValidationError("password", "repeats the same few characters")
    if login and login in password.lower():
        raise ValidationError("password", "contains the login")
    if is_common(password):
        raise ValidationError("password", "is one that many people use")


def digest(secret: str) -> str:
    """What is kept of a random secret. It has too much entropy to be guessed, so no slow hash."""
    return _DIGEST + hashlib.sha256(secret.encode()).hexdigest()


def matches(secret: str, secret_hash: str) -> bool:
    """Whether it is the secret of this digest, in time that does not depend on where they part."""
    return hmac.compare_digest(digest(secret), secret_hash)


def _check_role(role: Role, serves: Permission | None) -> None:
    if (role is Role.SAGE) != (serves in _SAGES):
        raise ValidationError("serves", "is given for the role sage, and only for it")


def _check_secret(secret: str) -> None:
    if len(secret) < _MIN_SECRET:
        raise ValidationError("secret", "must carry at least 256 random bits")


def _created(principal: Principal) -> PrincipalCreated:
    return PrincipalCreated(
        principal_id=principal.principal_id,
        kind=principal.kind.value,
        login=principal.login,
        role=None if principal.role is None else principal.role.value,
    )
