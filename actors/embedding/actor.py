"""The embedder as a Ray actor."""

import asyncio

from actors.embedding.model import MiniLm
from actors.embedding.service import EmbeddingService
from actors.embedding.threads import ThreadedModel
from actors.runtime.host import Host
from actors.runtime.member import Member
from actors.runtime.message import Handlers


class EmbeddingMember(Member):
    """Owns one copy of the model. Needs no database."""

    async def open(self, host: Host) -> Handlers:
        """Loads the model and checks its example, off the event loop."""
        settings = host.settings.embedding
        model = await asyncio.to_thread(MiniLm, settings.arithmetic)
        embedder = ThreadedModel(model, settings)
        host.on_close(embedder.close)
        return EmbeddingService(embedder, host.settings.index).handlers()
