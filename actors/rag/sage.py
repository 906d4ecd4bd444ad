"""The RAG sage: keeps documents, hears of everything else, and finds."""

from actors import access, clock
from actors.embedding.identity import SHIPPED, ModelIdentity
from actors.errors import NotFound, ValidationError
from actors.events import DeliverEvent
from actors.rag import domain, projection
from actors.rag.feedback import outcomes
from actors.rag.feedback.desk import FeedbackDesk
from actors.rag.finder import Finder
from actors.rag.messages import (
    DeleteDocument,
    Document,
    GetDocument,
    StoredDocument,
    StoreDocument,
    StoreDocuments,
)
from actors.rag.store import Change, RagStore
from actors.rag.storing import Storing, change_to
from actors.runtime import scope
from actors.runtime.message import Handlers, Outcome
from actors.settings import IndexSettings


class RagSage:
    """Commands are loaded, decided and committed here; questions go to the `Finder`.

    Args:
        store: documents, sources and passages.
        finder: answers the questions.
        settings: bounds.
        feedback: takes what is said of results; None: nobody does.
        model: of the vectors that documents may bring while a guild has none.
        now: clock.
        new_id: maker of document ids.
    """

    def __init__(
        self,
        store: RagStore,
        finder: Finder,
        settings: IndexSettings,
        feedback: FeedbackDesk | None = None,
        *,
        model: ModelIdentity = SHIPPED,
        now: clock.Now = clock.now,
        new_id: clock.NewId = clock.new_id,
    ) -> None:
        self._store = store
        self._finder = finder
        self._settings = settings
        self._feedback = feedback
        self._now = now
        self._storing = Storing(store, settings, model, now, new_id)

    def handlers(self) -> Handlers:
        """Which method answers which message."""
        return {
            StoreDocument: self.store_document,
            StoreDocuments: self.store_documents,
            GetDocument: self.get_document,
            DeleteDocument: self.delete_document,
            DeliverEvent: self.deliver,
            **self._finder.handlers(),
            **({} if self._feedback is None else self._feedback.handlers()),
        }

    async def store_document(self, command: StoreDocument) -> StoredDocument:
        """Stores a document or its next version; what is stored already stays as it is.

        Raises:
            ValidationError: it is blank, too long, or says something impossible.
            VersionConflict: somebody else stored a version meanwhile.
        """
        [outcome] = await self._storing.store([command])
        if outcome.position is not None:
            scope.note_position(outcome.position)
        return outcome.unwrap()

    async def store_documents(self, command: StoreDocuments) -> tuple[Outcome[StoredDocument], ...]:
        """Stores each of several documents as `store_document` would.

        Raises:
            ValidationError: there are too many.
        """
        if len(command.documents) > self._settings.group_documents:
            raise ValidationError("documents", f"at most {self._settings.group_documents}")
        return tuple(await self._storing.store(command.documents))

    async def get_document(self, query: GetDocument) -> Document:
        """One document, also a deleted one: citations stay good.

        Raises:
            NotFound: there is none that the caller may read, or it never came to that version.
        """
        if query.version is not None and not 1 <= query.version < 1 << 31:
            raise ValidationError("version", "out of range")
        caller = query.context.caller
        found = await self._store.document(caller.guild_id, query.document_id)
        levels = {found.access_level}
        if query.version is not None:
            found = await self._store.document(caller.guild_id, query.document_id, query.version)
            levels.add(found.access_level)
        if not levels <= access.shared_with(caller):
            raise NotFound("document", query.document_id)
        return found

    async def delete_document(self, command: DeleteDocument) -> None:
        """Takes a document out of every search; a repeat does nothing.

        Raises:
            NotFound: there is none.
            VersionConflict: it is not at the expected version.
        """
        guild_id = command.context.caller.guild_id
        document = await self._store.document(guild_id, command.document_id)
        now = self._now()
        deleted = domain.delete(document, command.expected_version, now)
        change = None
        if deleted is not document:
            change = change_to(deleted, self._settings.chunk_max_words, now)
        await self._store.commit(command, None, change)

    async def deliver(self, command: DeliverEvent) -> None:
        """Brings search up to one event of another sage; a repeat does nothing."""
        if command.subscription == outcomes.SUBSCRIPTION and self._feedback is not None:
            await self._feedback.hear(command)
            return
        event = command.event
        before = await self._store.source(event.guild_id, event.aggregate_id)
        after = projection.project(before, event, self._settings.max_source_chars)
        change = None
        if after is not None:
            chunks = domain.chunks(after, self._settings.chunk_max_words, event.occurred_at)
            change = Change(source=after, chunks=chunks)
        await self._store.commit(command, None, change)
