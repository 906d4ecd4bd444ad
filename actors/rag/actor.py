"""The RAG sage as a Ray actor."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog

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
from actors.rag.placement import Layout, Place
from actors.rag.postgres import PostgresRagStore
from actors.rag.sage import RagSage
from actors.rag.snapshots import Snapshots
from actors.runtime.host import Host
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
        _warn(library, host.settings)
        embedder = PoolEmbedder(host.pool("embedding"))
        backlog = Backlog(store, library, embedder, settings)
        works = [library.follow(), backlog.run(), library.keep_snapshots(), library.keep_whole()]
        if peers is not None and layout.replicas:
            works.append(Balancing(library, peers, settings).run())
        for work in works:
            host.on_close(_ender(asyncio.create_task(work)))
        finder = Finder(store, library, embedder, settings, peers)
        feedback = FeedbackDesk(said, store, finder, settings)
        return RagSage(store, finder, settings, feedback, model=model).handlers()


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
