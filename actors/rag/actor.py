"""The RAG sage as a Ray actor."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

import structlog

from actors import metrics
from actors.embedding.identity import ModelIdentity, active
from actors.embedding.messages import Embed, Embeddings
from actors.rag.backlog import Backlog
from actors.rag.balancing import Balancing
from actors.rag.feedback.desk import FeedbackDesk
from actors.rag.feedback.postgres import PostgresFeedbackStore
from actors.rag.feedback.weights import Weights
from actors.rag.finder import Finder
from actors.rag.holding import Holding
from actors.rag.library import Library
from actors.rag.mending import Mending
from actors.rag.placement import Layout, Place
from actors.rag.postgres import PostgresRagStore
from actors.rag.sage import RagSage
from actors.rag.snapshots import Snapshots
from actors.runtime.envelope import Snapshot
from actors.runtime.host import Host
from actors.runtime.identity import MemberIdentity
from actors.runtime.member import Member
from actors.runtime.message import Context, Handlers
from actors.runtime.peers import Peers
from actors.runtime.pool import Asker
from actors.settings import GuildSettings
from actors.storage.database import Database
from actors.storage.inbox import Inbox
from actors.storage.log import LogReader

_log = structlog.get_logger("elders_guild.rag")
_LOG_CONNECTIONS = 2  # the tail, and what searches ask of the log


class PoolEmbedder:
    """`Embedder` in the embedding pool."""

    def __init__(self, pool: Asker) -> None:
        self._pool = pool

    async def embed(
        self,
        texts: Sequence[str],
        context: Context,
        *,
        urgent: bool,
        timeout_s: float,
        model: ModelIdentity | None = None,
    ) -> Embeddings:
        """See `Embedder.embed`."""
        message = Embed(context=context, texts=tuple(texts), urgent=urgent, model=model)
        return await self._pool.ask(message, timeout_s=timeout_s)


class RagMember(Member):
    """Holds every guild's index; two background tasks keep it up with the log and the embedder."""

    def __init__(self, identity: MemberIdentity) -> None:
        super().__init__(identity)
        self._ended: str | None = None
        self._library: Library | None = None

    async def health(self) -> Snapshot:
        """See `Member.health`.

        Raises:
            RuntimeError: what keeps the indexes up has ended; the member must be started again.
        """
        if self._ended is not None:
            raise RuntimeError(f"{self._ended} has ended")
        if self._library is not None:
            metrics.INDEX_LAG_SECONDS.set(self._library.lag_s())
        return await super().health()

    async def open(self, host: Host) -> Handlers:
        """Connects, loads the indexes, and only then answers."""
        settings = host.settings.index
        database = await host.database()
        host.use_ledger(Inbox(database))
        url = host.settings.log_database_url.get_secret_value()
        log_database = await Database.open(
            url, host.settings.database, connections=_LOG_CONNECTIONS, vault=database.vault
        )
        host.on_close(log_database.close)
        store = PostgresRagStore(database, log_database)
        model = active(host.settings.embedding)
        layout, me = Layout(settings.shards, settings.replicas), self.identity.name
        peers = None if layout.whole else host.peers(self.identity.pool)
        holding = Holding(layout, Place(me), [] if peers is None else await _expected(peers))
        log = LogReader(log_database)
        said = PostgresFeedbackStore(database)
        library = Library(store, log, settings, model, Snapshots(settings), holding, Weights(said))
        host.on_close(library.close)
        await library.load()
        self._library = library
        _warn(library, host.settings)
        embedder = PoolEmbedder(host.pool("embedding"))
        backlog = Backlog(store, library, embedder, settings)
        works = {
            "tail": library.follow(),
            "backlog": backlog.run(),
            "snapshots": library.keep_snapshots(),
            "mending": Mending(library, settings).run(),
        }
        if peers is not None and layout.replicas:
            works["balancing"] = Balancing(library, peers, settings).run()
        for name, work in works.items():
            host.on_close(self._keep(name, work))
        finder = Finder(store, library, embedder, settings, peers)
        feedback = FeedbackDesk(said, store, finder, settings)
        return RagSage(store, finder, settings, feedback, model=model).handlers()

    def _keep(self, name: str, work: Coroutine[Any, Any, None]) -> Callable[[], Awaitable[None]]:
        """Begins a work that runs for ever; the answer ends it."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._note_end)
        return _ender(task)

    def _note_end(self, task: "asyncio.Task[None]") -> None:
        if not task.cancelled():  # not even an Exception: those are caught where they come up
            self._ended = task.get_name()
            _log.error("work_ended", work=self._ended, exc_info=task.exception())


async def _expected(peers: Peers) -> list[Place]:
    """All members that exist: what others load at this moment need not be loaded here as well.

    Raises:
        DependencyUnavailable: nobody can tell; the member will be opened again.
    """
    known = {name: Place(name, node) for name, node in peers.members()}
    return [known.get(name, Place(name)) for name in await peers.expected()]


def _warn(library: Library, settings: GuildSettings) -> None:
    """Of guilds that nobody here can embed a query for."""
    following = settings.embedding_next
    served = {active(one) for one in (settings.embedding, following) if one is not None}
    for guild_id in library.guilds:
        if (model := library.model(guild_id)) not in served:
            _log.warning(
                "guild_model_not_served",
                guild_id=guild_id,
                model=str(model),
                served=sorted(map(str, served)),
                effect="searches by words alone",
                cure="guild reembed, or the former GUILD_EMBEDDING settings",
            )


def _ender(task: "asyncio.Task[None]") -> Callable[[], Awaitable[None]]:
    async def end() -> None:
        task.cancel()
        await asyncio.wait([task])

    return end
