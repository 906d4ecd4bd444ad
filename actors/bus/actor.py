"""The bus as a Ray actor."""

from actors.bus.postgres.publishing import PostgresPublishingStore
from actors.bus.sagas.host import SagaHost
from actors.bus.sagas.incident_loop import INCIDENT_LOOP
from actors.bus.sagas.postgres import PostgresSagaStore
from actors.bus.sage.publishing import PublishingSage
from actors.bus.timers import TimerDesk
from actors.bus.timers_postgres import PostgresTimerStore
from actors.runtime.host import Host
from actors.runtime.member import Member
from actors.runtime.message import Handlers
from actors.storage.database import Database
from actors.storage.inbox import Inbox


class BusMember(Member):
    """Owns two small pools of connections: who publishes never waits for who reads."""

    async def open(self, host: Host) -> Handlers:
        """Connects and hands the stores to the sages."""
        settings = host.settings
        database = await host.database()
        publishing = await Database.open(
            settings.database_url.get_secret_value(),
            settings.database,
            on_commit=host.nudge_router,
            connections=settings.bus.groups_in_flight,
        )
        host.on_close(publishing.close)
        host.use_ledger(Inbox(database))
        sagas = SagaHost(PostgresSagaStore(database), host.pool, settings.saga, [INCIDENT_LOOP])
        return {
            **PublishingSage(PostgresPublishingStore(publishing), settings.bus).handlers(),
            **sagas.handlers(),
            **TimerDesk(PostgresTimerStore(database), settings.bus).handlers(),
        }
