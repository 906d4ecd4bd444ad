"""The dense leg catches up: passages without a vector are embedded in the background."""

import asyncio
from dataclasses import dataclass

import structlog

from actors import clock
from actors.errors import ElderGuildError
from actors.rag.embedder import Embedder
from actors.rag.library import Library
from actors.rag.store import RagStore
from actors.runtime.message import Caller, Command, Context, GuildId
from actors.settings import IndexSettings

_log = structlog.get_logger("elders_guild.rag")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachVectors(Command[None]):
    """Why vectors are written: nobody asked, they were missing."""


class Backlog:
    """Claims passages, has them embedded, writes the vectors back. One loop a member.

    A claim keeps members from doing the same work; should two do it after all, the second finds
    the vectors there and changes nothing.
    """

    def __init__(
        self, store: RagStore, library: Library, embedder: Embedder, settings: IndexSettings
    ) -> None:
        self._store = store
        self._library = library
        self._embedder = embedder
        self._settings = settings

    async def run(self) -> None:
        """Works for ever. What a dead member had claimed is free when its claim has expired."""
        while True:
            worked = False
            for guild_id in self._library.guilds:
                try:
                    worked |= await self.embed_some(guild_id)
                except ElderGuildError as error:
                    _log.warning("backlog_waits", guild_id=guild_id, code=error.code)
                except Exception:  # a bug: search goes on with its words
                    _log.exception("backlog_failed", guild_id=guild_id)
            if not worked:
                await asyncio.sleep(self._settings.embed_poll_s)

    async def embed_some(self, guild_id: GuildId) -> bool:
        """Embeds one batch of one guild; whether there was anything to do."""
        waiting = await self._library.ask(guild_id, lambda index: index.without_vector)
        if waiting == 0:
            return False
        claimed = await self._store.claim(
            guild_id, self._settings.embed_claim, self._settings.embed_claim_s
        )
        if not claimed:
            return False
        command = _command(guild_id)
        try:
            made = await self._embedder.embed(
                [pending.to_embed for pending in claimed],
                command.context,
                urgent=False,
                timeout_s=self._settings.embed_claim_s,
            )
        except ElderGuildError:
            await self._store.release(guild_id, [pending.chunk_id for pending in claimed])
            raise
        vectors = {
            pending.chunk_id: vector.tolist()
            for pending, vector in zip(claimed, made.vectors, strict=True)
        }
        await self._store.attach(command, vectors, made.model_id)
        return True


def _command(guild_id: GuildId) -> AttachVectors:
    command_id = clock.new_id("cmd")
    caller = Caller(guild_id=guild_id, principal_id="sage.rag")
    return AttachVectors(
        context=Context(caller=caller, correlation_id=command_id), command_id=command_id
    )
