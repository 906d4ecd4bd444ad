"""The bus as a Ray actor."""

from collections.abc import Awaitable, Callable, Sequence

from actors.bus import interim
from actors.bus.postgres.letters import PostgresDeadLetterStore
from actors.bus.postgres.publishing import PostgresPublishingStore
from actors.bus.postgres.pulling import PostgresPullStore
from actors.bus.postgres.reading import PostgresReadingStore
from actors.bus.postgres.replays import PostgresReplayStore
from actors.bus.postgres.subscriptions import PostgresSubscriptionStore
from actors.bus.sagas.host import SagaHost
from actors.bus.sagas.incident_loop import INCIDENT_LOOP
from actors.bus.sagas.postgres import PostgresSagaStore
from actors.bus.sage.letters import DeadLetterSage
from actors.bus.sage.publishing import PublishingSage
from actors.bus.sage.pulling import PullSage
from actors.bus.sage.reading import ReadingSage
from actors.bus.sage.replays import ReplaySage
from actors.bus.sage.subscriptions import SubscriptionSage
from actors.bus.timers import TimerDesk
from actors.bus.timers_postgres import PostgresTimerStore
from actors.embedding.messages import Embed
from actors.runtime.host import Host
from actors.runtime.member import Member
from actors.runtime.message import Context, Handlers
from actors.runtime.pool import Asker
from actors.settings import GuildSettings, PoolsSettings
from actors.storage.database import Database
from actors.storage.inbox import Inbox
from actors.storage.streams import WakeUp


class BusMember(Member):
    """Owns two small pools of connections: who publishes never waits for who reads."""

    async def open(self, host: Host) -> Handlers:
        """Connects and hands the stores to the sages."""
        settings = host.settings
        database = await host.database()
        host.use_ledger(Inbox(database))
        publishing = await Database.open(
            settings.database_url.get_secret_value(),
            settings.database,
            on_commit=host.nudge_router,
            connections=settings.bus.groups_in_flight,
        )
        host.on_close(publishing.close)
        wake_up = WakeUp(settings.redis_url.get_secret_value(), settings.router)
        host.on_close(wake_up.close)
        sagas = SagaHost(PostgresSagaStore(database), host.pool, settings.saga, [INCIDENT_LOOP])
        return {
            **PublishingSage(PostgresPublishingStore(publishing), settings.bus).handlers(),
            **reading(database, wake_up, settings),
            **subscribing(database, host, settings),
            **sagas.handlers(),
            **TimerDesk(PostgresTimerStore(database), settings.bus).handlers(),
        }


def reading(database: Database, wake_up: WakeUp, settings: GuildSettings) -> Handlers:
    """What looks into the log."""
    return ReadingSage(
        PostgresReadingStore(database),
        settings.bus,
        compile_filter=interim.compile_filter,
        wake_up=wake_up,
    ).handlers()


def subscribing(database: Database, host: Host, settings: GuildSettings) -> Handlers:
    """Subscriptions, and what there is to do with each."""
    bus, nudge = settings.bus, host.nudge_router
    declared = PostgresSubscriptionStore(database, settings.router.max_lag_counted)
    subscriptions = SubscriptionSage(
        declared,
        bus,
        pools=frozenset(PoolsSettings.model_fields),
        compile_filter=interim.compile_filter,
        webhooks=interim.NoWebhooks(),
        embed=embedder(host.pool("embedding"), settings.index.query_embed_timeout_s),
        nudge=nudge,
    )
    pulls = PullSage(
        PostgresPullStore(database), declared, bus, lane_share=settings.router.lane_share
    )
    return {
        **subscriptions.handlers(),
        **pulls.handlers(),
        **DeadLetterSage(PostgresDeadLetterStore(database), bus, nudge=nudge).handlers(),
        **ReplaySage(PostgresReplayStore(database), declared, bus, nudge=nudge).handlers(),
    }


def embedder(pool: Asker, timeout_s: float) -> Callable[[str, Context], Awaitable[Sequence[float]]]:
    """Asks the embedding pool for the meaning of one text."""

    async def embed(text: str, context: Context) -> Sequence[float]:
        message = Embed(context=context, texts=(text,), urgent=True)
        made = await pool.ask(message, timeout_s=timeout_s)
        meaning: list[float] = made.vectors[0].tolist()
        return meaning

    return embed
