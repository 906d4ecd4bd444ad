"""Storing documents: what waits at the same moment is stored in one transaction."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

import structlog

from actors import clock
from actors.embedding.identity import ModelIdentity
from actors.errors import ElderGuildError, ValidationError, VersionConflict
from actors.rag import domain, given
from actors.rag.messages import Document, StoredDocument, StoreDocument
from actors.rag.store import Change, Known, RagStore, Write
from actors.runtime.message import GuildId, Outcome
from actors.runtime.turns import in_turns
from actors.settings import IndexSettings
from actors.storage.group_commit import GroupCommit, GroupLimits
from actors.storage.inbox import AlreadyHandled

_log = structlog.get_logger("elders_guild.rag")

Stored = Outcome[StoredDocument]


class Storing:
    """Decides document by document, commits group by group. Holds only what waits for its commit.

    Args:
        store: where the documents are.
        settings: bounds.
        model: of the vectors that documents may bring while a guild has none.
        now: clock.
        new_id: maker of document ids.
    """

    def __init__(
        self,
        store: RagStore,
        settings: IndexSettings,
        model: ModelIdentity,
        now: clock.Now,
        new_id: clock.NewId,
    ) -> None:
        self._store = store
        self._settings = settings
        self._model = model
        self._now = now
        self._new_id = new_id
        self._groups = GroupCommit[StoreDocument, Stored](self._write, _limits(settings))

    async def store(self, commands: Sequence[StoreDocument]) -> list[Stored]:
        """What became of each, in their order; they are of one guild.

        A document that cannot be stored harms none of the others. One whose name stands here a
        second time waits for the first to be stored.
        """
        outcomes: dict[int, Stored] = {}
        filled: dict[int, StoreDocument] = {}
        async for index, command in in_turns(enumerate(commands), self._settings.store_hold_s):
            try:
                filled[index] = self._filled(command)
            except Exception as error:  # of this one; its neighbours shall not suffer
                outcomes[index] = _failed(error)
        while filled:
            wave = _firsts(filled)
            for index in wave:
                del filled[index]
            outcomes |= await self._persist(wave)
        return [outcomes[index] for index in range(len(commands))]

    def _filled(self, command: StoreDocument) -> StoreDocument:
        vector = given.unit(command.vector)
        most = self._settings.max_document_chars
        if vector is not None:
            most = min(most, self._settings.max_whole_chars)
        return domain.parse(command, most, vector)

    async def _persist(self, wave: dict[int, StoreDocument]) -> dict[int, Stored]:
        """Stores them; whoever loses a race for a version decides anew, alone."""
        outcomes = await self._attempt(wave)
        for _ in range(self._settings.store_attempts - 1):
            lost = {
                index: wave[index]
                for index, outcome in outcomes.items()
                if isinstance(outcome.error, VersionConflict)
            }
            if not lost:
                break
            outcomes |= await self._attempt(lost)
        return outcomes

    async def _attempt(self, wave: dict[int, StoreDocument]) -> dict[int, Stored]:
        waiting: dict[int, asyncio.Future[Sequence[Stored]]] = {}
        outcomes: dict[int, Stored] = {}
        for index, command in wave.items():
            try:
                waiting[index] = self._groups.put(
                    command.context.caller.guild_id, [command], _size(command)
                )
            except ElderGuildError as error:
                outcomes[index] = Outcome(error=error)
        done = await asyncio.gather(*waiting.values(), return_exceptions=True)
        for index, result in zip(waiting, done, strict=True):
            match result:
                case Exception():
                    outcomes[index] = _failed(result)
                case BaseException():
                    raise result
                case _:
                    [outcomes[index]] = result
        return outcomes

    async def _write(
        self, guild_id: GuildId, commands: Sequence[StoreDocument]
    ) -> Sequence[Stored]:
        """One commit. Of several commands for one document only the first takes part."""
        known = await self._store.look_up(guild_id, commands)
        now = self._now()
        outcomes: list[Stored] = [Outcome(error=VersionConflict("document", ""))] * len(commands)
        writes: dict[int, Write[StoredDocument]] = {}
        taken: set[tuple[str, str]] = set()
        numbered = enumerate(zip(commands, known, strict=True))
        async for index, (command, one) in in_turns(numbered, self._settings.store_hold_s):
            names = {_name(command), ("command", command.command_id)}
            if one.earlier is not None:
                outcomes[index] = one.earlier
            elif taken.isdisjoint(names):
                try:
                    given.check(command.vector, one.model or self._model)
                except ValidationError as error:
                    outcomes[index] = Outcome(error=error)
                    continue
                taken |= names
                writes[index] = self._decide(command, one, now)
        if writes:
            try:
                written = await self._store.commit_all(guild_id, list(writes.values()))
            except AlreadyHandled as error:  # since it was looked up
                raise VersionConflict("document", "") from error
            for index, outcome in zip(writes, written, strict=True):
                outcomes[index] = outcome
        return outcomes

    def _decide(self, command: StoreDocument, known: Known, now: datetime) -> Write[StoredDocument]:
        document = domain.store(known.present, command, self._new_id("doc"), now)
        if document is known.present:
            reply = domain.reply_of(document, known.chunk_count, changed=False)
            return Write(cause=command, reply=reply)
        change = change_to(document, self._settings.chunk_max_words, now, command)
        reply = domain.reply_of(document, len(change.chunks), changed=True)
        return Write(cause=command, reply=reply, change=change)


def change_to(
    document: Document, max_words: int, now: datetime, command: StoreDocument | None = None
) -> Change:
    """The document as it shall be, with its passages.

    Args:
        document: stored or deleted.
        max_words: of a passage.
        now: time of the cause.
        command: which stores it; its vector is that of the whole.
    """
    source = domain.source_of(document)
    markdown = document.content_type == "text/markdown"
    if command is not None and command.vector is not None:
        chunks = [domain.whole(source, command.vector, now, markdown=markdown)]
    else:
        chunks = domain.chunks(source, max_words, now, markdown=markdown)
    return Change(source=source, chunks=chunks, document=document)


def _failed(error: Exception) -> Stored:
    if isinstance(error, ElderGuildError):
        return Outcome(error=error)
    _log.error("document_failed", exc_info=error)
    return Outcome(error=ElderGuildError("an unexpected failure"))


def _firsts(commands: dict[int, StoreDocument]) -> dict[int, StoreDocument]:
    """Those whose name does not stand before them."""
    seen: set[tuple[str, str]] = set()
    firsts: dict[int, StoreDocument] = {}
    for index, command in commands.items():
        name = _name(command)
        if name not in seen:
            seen.add(name)
            firsts[index] = command
    return firsts


def _name(command: StoreDocument) -> tuple[str, str]:
    """What makes two commands speak of one document."""
    if command.external_id is not None:
        return "external_id", command.external_id
    return "content", command.content


def _size(command: StoreDocument) -> int:
    vector = b"" if command.vector is None else command.vector.values
    return len(command.content) + len(vector)


def _limits(settings: IndexSettings) -> GroupLimits:
    return GroupLimits(
        what="storing",
        items=settings.group_documents,
        size_bytes=settings.group_bytes,
        in_flight=settings.groups_in_flight,
        patience_s=settings.group_patience_s,
        waiting=settings.max_waiting_documents,
        attempts=settings.store_attempts,
        retry_after_s=settings.retry_after_s,
        waiting_bytes=settings.max_waiting_bytes,
    )
