"""A member of the Identity pool."""

from actors.identity.passwords import Passwords
from actors.identity.postgres import PostgresIdentityStore
from actors.identity.sage import IdentitySage
from actors.identity.sessions.postgres import PostgresSessionStore
from actors.identity.sessions.sage import SessionSage
from actors.runtime.host import Host
from actors.runtime.member import Member
from actors.runtime.message import Handlers
from actors.storage.inbox import Inbox


class IdentityMember(Member):
    """Owns one small pool of connections and the slots for password checks."""

    async def open(self, host: Host) -> Handlers:
        """Connects and hands the store to the sage."""
        database = await host.database()
        host.use_ledger(Inbox(database))
        settings = host.settings.identity
        principals = PostgresIdentityStore(database, settings)
        kept = PostgresSessionStore(database, settings)
        identity = IdentitySage(principals, Passwords(settings), settings)
        sessions = SessionSage(kept, kept, principals, settings)
        return {**identity.handlers(), **sessions.handlers()}
