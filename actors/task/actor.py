"""The Task sage as a Ray actor."""

from actors.runtime.host import Host
from actors.runtime.member import Member
from actors.runtime.message import Handlers
from actors.storage.inbox import Inbox
from actors.task.postgres import PostgresTaskStore
from actors.task.sage import TaskSage


class TaskMember(Member):
    """Owns one small pool of connections."""

    async def open(self, host: Host) -> Handlers:
        """Connects and hands the store to the sage."""
        database = await host.database()
        host.use_ledger(Inbox(database))
        return TaskSage(PostgresTaskStore(database), host.settings.task).handlers()
