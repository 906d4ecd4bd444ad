"""The Identity sage: who is asking, and what they may do."""

from collections.abc import Sequence
from dataclasses import replace

import structlog

from actors import clock, paging
from actors.errors import ElderGuildError, NotAuthenticated, NotFound, Overloaded
from actors.events import Payload
from actors.identity import domain
from actors.identity.attempts import Lane, lanes
from actors.identity.domain import Principal
from actors.identity.messages import (
    LOGIN_PATTERN,
    AuthenticateClient,
    ChangeRole,
    ClientCredentials,
    ClientView,
    CreateClient,
    CreateUser,
    FindClient,
    GetPrincipal,
    Kind,
    ListPrincipals,
    LogIn,
    Principals,
    PrincipalView,
    ReachDatabase,
    ResetPassword,
    RotateClientSecret,
    SetDisabled,
    TokenGrant,
)
from actors.identity.passwords import Passwords
from actors.identity.store import IdentityStore
from actors.runtime.message import Command, GuildId, Handlers
from actors.settings import IdentitySettings

_log = structlog.get_logger("elders_guild.identity")
_NO_GUILD = GuildId("guild_" + "0" * 26)  # never made
_NO_DIGEST = "sha256:" + "0" * 64  # no secret has it


class IdentitySage:
    """Loads, decides, commits. Sign-in answers the same, as fast, whatever was wrong."""

    def __init__(
        self,
        store: IdentityStore,
        passwords: Passwords,
        settings: IdentitySettings | None = None,
        *,
        now: clock.Now = clock.now,
        new_id: clock.NewId = clock.new_id,
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._settings = settings or IdentitySettings()
        self._now = now
        self._new_id = new_id

    def handlers(self) -> Handlers:
        """The message types of this sage."""
        return {
            LogIn: self.log_in,
            ClientCredentials: self.client_credentials,
            AuthenticateClient: self.authenticate_client,
            FindClient: self.find_client,
            ListPrincipals: self.list_principals,
            GetPrincipal: self.get_principal,
            CreateUser: self.create_user,
            CreateClient: self.create_client,
            ResetPassword: self.reset_password,
            ChangeRole: self.change_role,
            SetDisabled: self.set_disabled,
            RotateClientSecret: self.rotate_secret,
            ReachDatabase: self.reach_database,
        }

    async def log_in(self, query: LogIn) -> TokenGrant:
        """A user's permissions, for the right password."""
        tried = lanes(query.login, query.address, self._settings)
        wait_s = await self._store.attempt_in(tried)
        if wait_s > 0:
            raise Overloaded(wait_s, "sign-in with this login or from this address")
        try:
            user = await self._find(query.login, Kind.USER)
            known = None if user is None else user.secret_hash
            right = await self._passwords.verify(query.password, known)
        except ElderGuildError:
            await self._take_back(tried)
            raise
        if user is None or not right:
            raise NotAuthenticated
        await self._store.succeeded_in(tried)
        return domain.grant(user)

    async def client_credentials(self, query: ClientCredentials) -> TokenGrant:
        """A client's permissions or the part asked for, for the right secret."""
        client = await self._authenticated(query.client_id, query.secret)
        return domain.grant_to_program(client, query.scopes)

    async def authenticate_client(self, query: AuthenticateClient) -> ClientView:
        """A client that has the right secret, or is public and has none."""
        if query.secret is not None:
            return (await self._authenticated(query.client_id, query.secret)).as_client()
        client = await self._find(query.client_id, Kind.CLIENT)
        if client is None or not client.public:
            raise NotAuthenticated
        return client.as_client()

    async def find_client(self, query: FindClient) -> ClientView:
        """What anybody may know of a client that people are sent to us by."""
        client = await self._find(query.client_id, Kind.CLIENT)
        if client is None or not client.redirect_uris:
            raise NotFound("client", query.client_id)
        return client.as_client()

    async def list_principals(self, query: ListPrincipals) -> Principals:
        """A page by id; disabled ones too."""
        after = "" if query.cursor is None else paging.decode(query.cursor, 1)[0]
        guild_id = query.context.caller.guild_id
        found = await self._store.page(guild_id, query.kind, after, query.limit + 1)
        shown = found[: query.limit]
        more = len(found) > query.limit
        return Principals(
            principals=tuple(one.view() for one in shown),
            next_cursor=paging.encode(shown[-1].principal_id) if more else None,
        )

    async def get_principal(self, query: GetPrincipal) -> PrincipalView:
        """One of the caller's guild."""
        guild_id = query.context.caller.guild_id
        return (await self._get(guild_id, query.kind, query.principal_id)).view()

    async def create_user(self, command: CreateUser) -> PrincipalView:
        """Adds a person."""
        domain.check_password(command.password, command.login)
        password_hash = await self._passwords.hash(command.password)
        user, events = domain.create_user(command, self._new_id("user"), password_hash, self._now())
        return await self._commit(command, user, events, command.receipt)

    async def create_client(self, command: CreateClient) -> PrincipalView:
        """Adds a program."""
        client, events = domain.create_client(command, self._now())
        return await self._commit(command, client, events, command.receipt)

    async def reset_password(self, command: ResetPassword) -> PrincipalView:
        """Replaces a password."""
        domain.check_password(command.password, command.login)
        user = await self._store.by_login(command.context.caller.guild_id, command.login)
        if user is None:
            raise NotFound("user", command.login)
        password_hash = await self._passwords.hash(command.password)
        changed, events = domain.reset_password(user, command, password_hash)
        return await self._commit(command, changed, events)

    async def change_role(self, command: ChangeRole) -> PrincipalView:
        """Changes what a user may do."""
        user = await self._get(command.context.caller.guild_id, Kind.USER, command.principal_id)
        return await self._commit(command, *domain.change_role(user, command))

    async def set_disabled(self, command: SetDisabled) -> PrincipalView:
        """Shuts out or lets in."""
        guild_id = command.context.caller.guild_id
        principal = await self._get(guild_id, command.kind, command.principal_id)
        return await self._commit(command, *domain.set_disabled(principal, command))

    async def rotate_secret(self, command: RotateClientSecret) -> PrincipalView:
        """Replaces a client's secret."""
        client = await self._get(command.context.caller.guild_id, Kind.CLIENT, command.client_id)
        return await self._commit(command, *domain.rotate_secret(client, command), command.receipt)

    async def reach_database(self, _: ReachDatabase) -> None:
        """Looks for a login that nobody can have."""
        await self._store.guild_of("")

    async def _commit(
        self,
        command: Command[PrincipalView],
        changed: Principal,
        events: Sequence[Payload],
        receipt: str = "",
    ) -> PrincipalView:
        reply = replace(changed.view(), receipt=receipt)
        await self._store.commit(changed, events, cause=command, reply=reply)
        return reply

    async def _get(self, guild_id: GuildId, kind: Kind, principal_id: str) -> Principal:
        found = await self._store.by_id(guild_id, principal_id)
        if found is None or found.kind is not kind:
            raise NotFound(kind.value, principal_id)
        return found

    async def _take_back(self, tried: Sequence[Lane]) -> None:
        """The password was not looked at: that is our failure. Done if it can be."""
        try:
            await self._store.take_back_in(tried)
        except ElderGuildError as error:
            _log.warning("attempt_not_taken_back", code=error.code)

    async def _authenticated(self, client_id: str, secret: str) -> Principal:
        client = await self._find(client_id, Kind.CLIENT)
        right = domain.matches(secret, client.secret_hash if client else _NO_DIGEST)
        if client is None or not right:
            raise NotAuthenticated
        return client

    async def _find(self, login: str, kind: Kind) -> Principal | None:
        """The principal that may sign in under this name; None, whatever the reason.

        Each name that can be somebody's costs the same two look-ups.
        """
        if not LOGIN_PATTERN.fullmatch(login):
            return None
        guild_id = await self._store.guild_of(login)
        found = await self._store.by_login(guild_id or _NO_GUILD, login)  # as long for nobody
        if found is None or found.kind is not kind or found.disabled:
            return None
        return found
