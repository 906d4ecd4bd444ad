"""The Knowledge sage as a Ray actor."""

from actors.knowledge.postgres import PostgresKnowledgeStore
from actors.knowledge.sage import KnowledgeSage
from actors.runtime.host import Host
from actors.runtime.member import Member
from actors.runtime.message import Handlers
from actors.storage.inbox import Inbox


class KnowledgeMember(Member):
    """Owns one small pool of connections."""

    async def open(self, host: Host) -> Handlers:
        """Connects and hands the store to the sage."""
        database = await host.database()
        host.use_ledger(Inbox(database))
        return KnowledgeSage(PostgresKnowledgeStore(database), host.settings.knowledge).handlers()
