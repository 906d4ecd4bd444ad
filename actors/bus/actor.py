"""The bus as a Ray actor."""

from collections.abc import Sequence

import numpy as np

from actors.bus.filters import Filters
from actors.bus.postgres.auditing import PostgresAuditStore
from actors.bus.postgres.erasure import PostgresErasureStore
from actors.bus.postgres.letters import PostgresDeadLetterStore
from actors.bus.postgres.meaning import PostgresMeaningStore
from actors.bus.postgres.publishing import PostgresPublishingStore
from actors.bus.postgres.pulling import PostgresPullStore
from actors.bus.postgres.reading import PostgresReadingStore
from actors.bus.postgres.replays import PostgresReplayStore
from actors.bus.postgres.subscriptions import PostgresSubscriptionStore
from actors.bus.sagas.host import SagaHost
from actors.bus.sagas.incident_loop import INCIDENT_LOOP
from actors.bus.sagas.postgres import PostgresSagaStore
from actors.bus.sage.auditing import AuditSage
from actors.bus.sage.erasure import ErasureSage
from actors.bus.sage.letters import DeadLetterSage
from actors.bus.sage.meaning import MeaningSage
from actors.bus.sage.publishing import PublishingSage
from actors.bus.sage.pulling import PullSage
from actors.bus.sage.reading import ReadingSage
from actors.bus.sage.replays import ReplaySage
from actors.bus.sage.subscriptions import SubscriptionSage
from actors.bus.timers import TimerDesk
from actors.bus.timers_postgres import PostgresTimerStore
from actors.carried import carry
from actors.embedding.identity import active
from actors.embedding.messages import Embed, Vectors
from actors.outbound.client import Outbound
from actors.runtime import scope
from actors.runtime.host import Host
from actors.runtime.member import Member
from actors.runtime.message import Context, Handlers
from actors.runtime.pool import Asker
from actors.settings import GuildSettings, PoolsSettings
from actors.storage.database import Database
from actors.storage.inbox import Inbox
from actors.storage.streams import WakeUp
from actors.webhooks.consent import CallableAddresses
from actors.webhooks.keys import WebhookKeys


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
            vault=database.vault,
        )
        host.on_close(publishing.close)
        wake_up = WakeUp(settings.redis_url.get_secret_value(), settings.router)
        host.on_close(wake_up.close)
        return {
            **PublishingSage(PostgresPublishingStore(publishing), settings.bus).handlers(),
            **reading(database, wake_up, settings),
            **subscribing(database, host, settings),
            **hearing(database, host, settings),
            **TimerDesk(PostgresTimerStore(database), settings.bus).handlers(),
            **ErasureSage(PostgresErasureStore(database)).handlers(),
            **AuditSage(PostgresAuditStore(database)).handlers(),
        }


def reading(database: Database, wake_up: WakeUp, settings: GuildSettings) -> Handlers:
    """What looks into the log."""
    return ReadingSage(
        PostgresReadingStore(database),
        settings.bus,
        compile_filter=Filters(settings.bus).compile,
        wake_up=wake_up,
    ).handlers()


def subscribing(database: Database, host: Host, settings: GuildSettings) -> Handlers:
    """Subscriptions, and what there is to do with each."""
    bus, nudge = settings.bus, host.nudge_router
    declared = PostgresSubscriptionStore(
        database, settings.router.max_lag_counted, active(settings.embedding)
    )
    subscriptions = SubscriptionSage(
        declared,
        bus,
        pools=frozenset(PoolsSettings.model_fields),
        compile_filter=Filters(settings.bus).compile,
        webhooks=callable_addresses(host, settings),
        embed=PoolEmbedder(host.pool("embedding"), settings).one,
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


def callable_addresses(host: Host, settings: GuildSettings) -> CallableAddresses:
    """The world outside, until the member closes."""
    outbound = Outbound(settings.outbound)
    host.on_close(outbound.close)
    keys = WebhookKeys(settings.secret_key.get_secret_value())
    return CallableAddresses(outbound, keys, settings.webhooks)


def hearing(database: Database, host: Host, settings: GuildSettings) -> Handlers:
    """What the router delivers to the bus itself."""
    sagas = SagaHost(PostgresSagaStore(database), host.pool, settings.saga, [INCIDENT_LOOP])
    meanings = MeaningSage(
        PostgresMeaningStore(database, active(settings.embedding)),
        settings.bus,
        compile_filter=Filters(settings.bus).compile,
        embed=PoolEmbedder(host.pool("embedding"), settings).all,
        render=carry,
    )
    return {**sagas.handlers(), **meanings.handlers()}


class PoolEmbedder:
    """Meanings from the embedding pool, all of one model."""

    def __init__(self, pool: Asker, settings: GuildSettings) -> None:
        self._pool = pool
        self._model = active(settings.embedding)
        self._most = settings.index.max_embed_texts
        self._query_timeout_s = settings.index.query_embed_timeout_s
        self._timeout_s = settings.router.ack_timeout_s

    async def one(self, text: str, context: Context) -> Sequence[float]:
        """Of a text that somebody waits for."""
        message = Embed(context=context, texts=(text,), urgent=True, model=self._model)
        made = await self._pool.ask(message, timeout_s=scope.remaining_s(self._query_timeout_s))
        meaning: list[float] = made.vectors[0].tolist()
        return meaning

    async def all(self, texts: Sequence[str], context: Context) -> Vectors:
        """Of texts that nobody waits for."""
        made = []
        for start in range(0, len(texts), self._most):
            some = tuple(texts[start : start + self._most])
            message = Embed(context=context, texts=some, model=self._model)
            found = await self._pool.ask(message, timeout_s=scope.remaining_s(self._timeout_s))
            made.append(found.vectors)
        return np.concatenate(made)
