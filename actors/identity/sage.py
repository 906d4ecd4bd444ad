"""The Identity sage: who is asking, and what they may do."""

from actors import clock
from actors.errors import NotAuthenticated, NotFound
from actors.identity import domain
from actors.identity.domain import Principal
from actors.identity.messages import (
    ClientCredentials,
    CreateClient,
    CreateUser,
    Kind,
    LogIn,
    PrincipalView,
    ReachDatabase,
    ResetPassword,
    TokenGrant,
)
from actors.identity.passwords import Passwords
from actors.identity.store import IdentityStore
from actors.runtime.message import Handlers

_NO_DIGEST = "sha256:" + "0" * 64  # no secret has it


class IdentitySage:
    """Loads, decides, commits. Sign-in answers the same, as fast, whatever was wrong."""

    def __init__(
        self,
        store: IdentityStore,
        passwords: Passwords,
        *,
        now: clock.Now = clock.now,
        new_id: clock.NewId = clock.new_id,
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._now = now
        self._new_id = new_id

    def handlers(self) -> Handlers:
        """The message types of this sage."""
        return {
            LogIn: self.log_in,
            ClientCredentials: self.client_credentials,
            CreateUser: self.create_user,
            CreateClient: self.create_client,
            ResetPassword: self.reset_password,
            ReachDatabase: self.reach_database,
        }

    async def log_in(self, query: LogIn) -> TokenGrant:
        """A user's permissions, for the right password."""
        user = await self._find(query.login, Kind.USER)
        known = None if user is None else user.secret_hash
        right = await self._passwords.verify(query.password, known)
        if user is None or not right:
            raise NotAuthenticated
        return domain.grant(user)

    async def client_credentials(self, query: ClientCredentials) -> TokenGrant:
        """A client's permissions or the part asked for, for the right secret."""
        client = await self._find(query.client_id, Kind.CLIENT)
        right = domain.matches(query.secret, client.secret_hash if client else _NO_DIGEST)
        if client is None or not right:
            raise NotAuthenticated
        return domain.grant(client, query.scopes)

    async def create_user(self, command: CreateUser) -> PrincipalView:
        """Adds a person."""
        domain.check_password(command.password, command.login)
        password_hash = await self._passwords.hash(command.password)
        user, events = domain.create_user(command, self._new_id("user"), password_hash, self._now())
        await self._store.commit(user, events, cause=command, reply=user.view())
        return user.view()

    async def create_client(self, command: CreateClient) -> PrincipalView:
        """Adds a program."""
        client, events = domain.create_client(command, self._now())
        await self._store.commit(client, events, cause=command, reply=client.view())
        return client.view()

    async def reset_password(self, command: ResetPassword) -> PrincipalView:
        """Replaces a password."""
        domain.check_password(command.password, command.login)
        user = await self._store.by_login(command.context.caller.guild_id, command.login)
        if user is None:
            raise NotFound("user", command.login)
        password_hash = await self._passwords.hash(command.password)
        changed, events = domain.reset_password(user, command, password_hash)
        await self._store.commit(changed, events, cause=command, reply=changed.view())
        return changed.view()

    async def reach_database(self, _: ReachDatabase) -> None:
        """Looks for a login that nobody can have."""
        await self._store.guild_of("")

    async def _find(self, login: str, kind: Kind) -> Principal | None:
        """The principal that may sign in under this name; None, whatever the reason."""
        if not domain.LOGIN_PATTERN.fullmatch(login):
            return None
        guild_id = await self._store.guild_of(login)
        found = None if guild_id is None else await self._store.by_login(guild_id, login)
        if found is None or found.kind is not kind or found.disabled:
            return None
        return found
