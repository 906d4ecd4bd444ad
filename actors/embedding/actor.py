"""The embedder as a Ray actor."""

import asyncio

from actors.embedding.endpoint import Endpoint, client_of
from actors.embedding.model import MiniLm
from actors.embedding.service import Embedder, EmbeddingService
from actors.embedding.threads import ThreadedModel
from actors.runtime.host import Host
from actors.runtime.member import Member
from actors.runtime.message import Handlers
from actors.settings import EmbeddingProvider, EmbeddingSettings, GuildSettings


class EmbeddingMember(Member):
    """Owns one copy of the model, or the connections to who has it. Needs no database."""

    async def open(self, host: Host) -> Handlers:
        """Loads the local model and checks its example, or prepares to call the other one."""
        embedder = await embedder_of(host.settings)
        host.on_close(embedder.close)
        others = []
        if (following := host.settings.embedding_next) is not None:
            others.append(await embedder_of(host.settings, following))
            host.on_close(others[0].close)
        return EmbeddingService(embedder, host.settings.index, others).handlers()


async def embedder_of(settings: GuildSettings, chosen: EmbeddingSettings | None = None) -> Embedder:
    """What the settings name; its user closes it.

    Args:
        settings: of everything.
        chosen: the section; None: ``embedding``.

    Raises:
        EmbedderBroken: the local model is not the one that was measured.
        EndpointFailed: the other one has an address that is never called.
    """
    chosen = chosen or settings.embedding
    if chosen.provider is EmbeddingProvider.OPENAI:
        return Endpoint(chosen, client_of(chosen, settings.outbound))
    model = await asyncio.to_thread(MiniLm, chosen.arithmetic)  # off the event loop
    return ThreadedModel(model, chosen)
