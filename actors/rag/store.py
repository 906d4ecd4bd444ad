"""What the RAG sage needs kept."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol

from actors.embedding.identity import ModelIdentity
from actors.index.passage import Passage, Source, Vector
from actors.rag.domain import Chunk, Indexed
from actors.rag.messages import Document, Filters, Hit, StoredDocument, StoreDocument
from actors.runtime.message import Command, GuildId, Outcome, ReplyT


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One source as it shall be, with its passages and, where it is one, its document.

    Attributes:
        document: the new version of a document; None for the other three kinds.
        chunks: of the source; empty where it was removed.
    """

    source: Indexed
    chunks: Sequence[Chunk]
    document: Document | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the store knows of a document that is to be stored.

    Attributes:
        present: the document of this external id; without one, the nameless one of this content.
            Its own content, which may be long, is left out.
        chunk_count: its passages.
        earlier: what became of the very command, where it was handled before.
        model: what all vectors of the guild come from; None: it has none yet.
    """

    present: Document | None = None
    chunk_count: int = 0
    earlier: Outcome[StoredDocument] | None = None
    model: ModelIdentity | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Write(Generic[ReplyT]):
    """What one command changes, and what it is answered. Without a change: the answer alone."""

    cause: Command[ReplyT]
    reply: ReplyT
    change: Change | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A passage that waits for its vector."""

    chunk_id: str
    source_id: str
    to_embed: str


Loaded = tuple[Source, list[Passage]]


class RagStore(Protocol):
    """Documents, sources and passages, one guild at a time."""

    async def look_up(
        self, guild_id: GuildId, commands: Sequence[StoreDocument]
    ) -> Sequence[Known]:
        """What is known of each of these documents, in their order."""
        ...

    async def document(
        self, guild_id: GuildId, document_id: str, version: int | None = None
    ) -> Document:
        """The document as it is, deleted ones among them, or as it was at ``version``.

        Raises:
            NotFound: this guild has no such document, or it never came to that version.
        """
        ...

    async def source(self, guild_id: GuildId, source_id: str) -> Indexed | None: ...

    async def sources(self, guild_id: GuildId, source_ids: Sequence[str]) -> Mapping[str, Indexed]:
        """Those of these sources that there are, removed ones among them, by id; as `source`."""
        ...

    async def text(self, guild_id: GuildId, source_id: str, version: int) -> str | None:
        """The text that the passages of that version were cut from, where it is still kept."""
        ...

    async def commit(
        self, cause: Command[ReplyT], reply: ReplyT, change: Change | None = None
    ) -> None:
        """Writes rows, the event and the command's reply in one transaction.

        Passages whose text was embedded before keep their vectors. Without a change only the
        reply is kept.

        Raises:
            AlreadyHandled: the command took effect before.
            VersionConflict: somebody else stored a version meanwhile.
        """
        ...

    async def commit_all(
        self, guild_id: GuildId, writes: Sequence[Write[ReplyT]]
    ) -> Sequence[Outcome[ReplyT]]:
        """Like `commit` for many commands, all in one transaction.

        Args:
            guild_id: of all of them.
            writes: no two of one source, of one external id or of one command.

        Returns:
            For each the reply and the position of its event, or `VersionConflict` where somebody
            else stored a version meanwhile: of those nothing is written.

        Raises:
            AlreadyHandled: one of the commands took effect before; nothing is written.
            VersionConflict: a race was lost that cannot be told from the others; the same.
        """
        ...

    async def guilds(self) -> list[GuildId]:
        """Every guild."""
        ...

    async def model(self, guild_id: GuildId) -> ModelIdentity | None:
        """What all vectors of the guild come from; None: it has none yet."""
        ...

    async def page(
        self, guild_id: GuildId, after: str, limit: int, model: ModelIdentity | None = None
    ) -> list[Loaded]:
        """At most ``limit`` sources that can be found, with ids above ``after``, by id.

        Vectors are of ``model`` and no other; None: of whichever is the guild's.
        """
        ...

    async def load(
        self, guild_id: GuildId, source_ids: Sequence[str], model: ModelIdentity | None = None
    ) -> list[Loaded]:
        """Those of these sources that can be found; ``model`` as in `page`."""
        ...

    async def exact(
        self,
        guild_id: GuildId,
        vector: Vector,
        filters: Filters,
        limit: int,
        *,
        model: ModelIdentity,
    ) -> list[Hit]:
        """The passages nearest to a vector of unit length, each compared; best first.

        The score of a hit is its cosine; only passages that have a vector can be found, and none
        where ``model``, which made the query's vector, is not the guild's.
        """
        ...

    async def claim(
        self, guild_id: GuildId, limit: int, claim_s: float, model: ModelIdentity | None = None
    ) -> list[Pending]:
        """Passages without a vector that no other member has claimed; ours for ``claim_s``.

        Args:
            guild_id: whose.
            limit: at most so many.
            claim_s: seconds.
            model: that they will be embedded in; where the guild's is another, there are none.
                None: in whichever is the guild's.
        """
        ...

    async def release(
        self, guild_id: GuildId, chunk_ids: Sequence[str], after_s: float = 0.0
    ) -> None:
        """Gives a claim back, so that nobody has to wait for its end.

        Args:
            guild_id: whose.
            chunk_ids: of the claim.
            after_s: seconds until they can be claimed again.
        """
        ...

    async def attach(
        self, cause: Command[None], vectors: Mapping[str, Vector], model_id: str
    ) -> None:
        """Writes vectors by chunk id, with an event for each source that has them all now.

        A passage that was replaced meanwhile, or has its vector, is left as it is. The first
        vectors of a guild say what its model is; those of another model are not written, and their
        passages can be claimed again.
        """
        ...
