"""Users and API clients over HTTP. Secrets are made by us: none comes in, each leaves once."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field

from actors.identity.messages import (
    ChangeRole,
    CreateClient,
    CreateUser,
    Kind,
    ListPrincipals,
    PrincipalView,
    Role,
)
from actors.runtime.message import Context, Permission
from serve_app.call import Origin
from serve_app.schemas.common import Paging, example
from serve_app.strict import Line, Shown, Strict, View

Login = Annotated[Line, Field(max_length=128)]


class PrincipalFilter(Paging):
    """Which part of a list is asked for."""

    def to_message(self, context: Context, kind: Kind) -> ListPrincipals:
        """The question."""
        return ListPrincipals(context=context, kind=kind, limit=self.limit, cursor=self.cursor)


class UserIn(Strict):
    """A new user."""

    login: Login
    role: Role = Role.USER
    serves: Permission | None = None

    model_config = ConfigDict(json_schema_extra=example(login="elder@example.org", role="elder"))

    def to_message(self, origin: Origin, password: str, receipt: str) -> CreateUser:
        """The command."""
        return CreateUser(
            **origin,
            login=self.login,
            password=password,
            role=self.role,
            serves=self.serves,
            receipt=receipt,
        )


class UserPatch(Strict):
    """What a user becomes."""

    role: Role
    serves: Permission | None = None

    model_config = ConfigDict(json_schema_extra=example(role="elder"))

    def to_message(self, origin: Origin, user_id: str, version: int) -> ChangeRole:
        """The command."""
        return ChangeRole(
            **origin,
            principal_id=user_id,
            role=self.role,
            serves=self.serves,
            expected_version=version,
        )


class UserView(View):
    """A user."""

    user_id: str
    login: str
    role: Role
    serves: Permission | None
    permissions: tuple[Permission, ...]
    disabled: bool
    version: int
    created_at: Shown

    @classmethod
    def of(cls, reply: PrincipalView, **more: str | None) -> Self:
        """The view of a reply."""
        return cls(
            user_id=reply.principal_id,
            login=reply.login,
            role=reply.role or Role.GUEST,
            serves=reply.serves,
            permissions=tuple(sorted(reply.permissions)),
            disabled=reply.disabled,
            version=reply.version,
            created_at=reply.created_at,
            **more,
        )


class NewUserView(UserView):
    """A user who was just made; the password is shown here and never again."""

    password: str | None


class UsersView(View):
    """A page of users."""

    items: tuple[UserView, ...]
    next_cursor: str | None


class ClientIn(Strict):
    """A new API client.

    With a `redirect_uris` it acts for people who sign in; without one it acts for itself. A
    `public` one has no secret and needs one.
    """

    client_id: Login
    scopes: Annotated[tuple[Permission, ...], Field(min_length=1, max_length=8)]
    redirect_uris: Annotated[
        tuple[Annotated[Line, Field(max_length=512)], ...], Field(max_length=10)
    ] = ()
    public: bool = False

    model_config = ConfigDict(
        json_schema_extra=example(client_id="prometheus", scopes=["write", "sage.incident"])
    )

    def to_message(self, origin: Origin, secret: str, receipt: str) -> CreateClient:
        """The command."""
        return CreateClient(
            **origin,
            client_id=self.client_id,
            secret="" if self.public else secret,
            scopes=frozenset(self.scopes),
            redirect_uris=self.redirect_uris,
            receipt=receipt,
        )


class ApiClientView(View):
    """An API client."""

    client_id: str
    scopes: tuple[Permission, ...]
    redirect_uris: tuple[str, ...]
    public: bool
    disabled: bool
    version: int
    created_at: Shown

    @classmethod
    def of(cls, reply: PrincipalView, **more: str | None) -> Self:
        """The view of a reply."""
        return cls(
            client_id=reply.principal_id,
            scopes=tuple(sorted(reply.permissions)),
            redirect_uris=reply.redirect_uris,
            public=reply.public,
            disabled=reply.disabled,
            version=reply.version,
            created_at=reply.created_at,
            **more,
        )


class ClientWithSecretView(ApiClientView):
    """A client with the secret that it has from now on, which is shown here and never again."""

    client_secret: str | None


class ClientsView(View):
    """A page of clients."""

    items: tuple[ApiClientView, ...]
    next_cursor: str | None
