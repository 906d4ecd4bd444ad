"""The asking half of the RAG sage: search, evidence, answers."""

import asyncio
from collections.abc import Sequence

import numpy as np

from actors.errors import DependencyUnavailable, ValidationError
from actors.events import Evidence, RunbookStep
from actors.index.guild import Found, GuildIndex
from actors.index.passage import Selection, Vector
from actors.rag import answers, evidence, runbook
from actors.rag.embedder import Embedder, vector_or_none
from actors.rag.library import Library
from actors.rag.messages import (
    Answer,
    Ask,
    EvidenceFound,
    Filters,
    FindEvidence,
    GetIndexStatus,
    Hit,
    IndexStatus,
    LegScore,
    Search,
    SearchHits,
    SearchMode,
)
from actors.rag.removals import Left, Removals
from actors.rag.store import RagStore
from actors.runtime.message import GuildId, Position
from actors.settings import IndexSettings

_MAX_LINES = 50


class Finder:
    """Asks the indexes of one member.

    Without an embedder a hybrid search goes on with its words alone: an alert at night must find
    its runbook.
    """

    def __init__(
        self, store: RagStore, library: Library, embedder: Embedder, settings: IndexSettings
    ) -> None:
        self._store = store
        self._library = library
        self._embedder = embedder
        self._settings = settings
        self._removals = Removals(library, settings.removals_timeout_s)

    async def search(self, query: Search) -> SearchHits:
        """The best passages.

        Raises:
            ValidationError: the text is blank or too long, or too many hits are asked for.
            StaleIndex: the index has not reached ``min_position``.
            DependencyUnavailable: a dense search, and no embedder answers.
        """
        if query.vector is None or query.mode in {SearchMode.LEXICAL, SearchMode.HYBRID}:
            self._check(query.text)
        if not 1 <= query.top_k <= self._settings.max_results:
            raise ValidationError("top_k", f"1 to {self._settings.max_results}")
        given = None if query.vector is None else _given(query.vector, self._library.dimension)
        if query.mode is SearchMode.EXACT:
            return await self._exact(query, given)
        return await self._hits(query, given)

    async def find_evidence(self, query: FindEvidence) -> EvidenceFound:
        """The dossier of an incident.

        Raises:
            ValidationError: ``limit`` is out of range.
            StaleIndex: the index has not reached ``min_position``.
        """
        if not 1 <= query.limit <= _MAX_LINES:
            raise ValidationError("limit", f"1 to {_MAX_LINES}")
        asked = evidence.question(query, self._settings.max_query_chars)
        timeout_s = self._settings.query_embed_timeout_s
        guild_id = query.context.caller.guild_id
        vector, left = await asyncio.gather(
            vector_or_none(self._embedder, asked.meaning, query.context, timeout_s),
            self._brought_up(guild_id, query.min_position),
        )
        hidden = left.source_ids
        lines = await self._library.ask(
            guild_id, lambda index: evidence.gather(index, asked, vector, query.limit, hidden)
        )
        best, steps = await self._runbook(guild_id, lines.runbooks)
        return EvidenceFound(
            similar=lines.similar,
            runbooks=lines.runbooks,
            open_work=lines.open_work,
            runbook=best,
            steps=steps,
        )

    async def answer(self, query: Ask) -> Answer:
        """An answer of verbatim quotes, each compared with the stored text; or an abstention.

        Raises:
            ValidationError: the question is blank or too long.
            StaleIndex: the index has not reached ``min_position``.
        """
        self._check(query.question)
        found = await self._hits(
            Search(
                context=query.context,
                text=query.question,
                filters=query.filters,
                top_k=self._settings.answer_passages,
                min_position=query.min_position,
            )
        )
        guild_id = query.context.caller.guild_id
        quotes = await self._library.ask(
            guild_id, lambda index: self._quotes(index, query.question, found.hits)
        )
        texts = {
            (quote.hit.id, quote.hit.version): await self._store.text(
                guild_id, quote.hit.id, quote.hit.version
            )
            for quote in quotes
        }
        citations = [cited for quote in quotes if (cited := answers.cite(quote, texts))]
        return Answer(
            question=query.question,
            text="\n".join(citation.quote for citation in citations),
            citations=tuple(citations),
            abstained=not citations,
            retrieved=found.hits,
        )

    async def status(self, query: GetIndexStatus) -> IndexStatus:
        """How far this member is; answers while the index is being loaded."""
        if self._library.position is None:
            return IndexStatus(
                state="initializing",
                position=None,
                dense_position=None,
                sources=0,
                passages=0,
                dense_pending=0,
            )
        guild_id = query.context.caller.guild_id
        sources, passages, pending = await self._library.ask(
            guild_id, lambda index: (len(index), index.passages, index.without_vector)
        )
        return IndexStatus(
            state="ready",
            position=self._library.position,
            dense_position=self._library.dense_position(guild_id),
            sources=sources,
            passages=passages,
            dense_pending=pending,
        )

    async def _hits(self, query: Search, given: Vector | None = None) -> SearchHits:
        guild_id, mode = query.context.caller.guild_id, query.mode
        wait_s = _bounded(query.wait_s, self._settings.max_position_wait_s)
        vector, left = await asyncio.gather(
            self._vector(query, given),
            self._brought_up(guild_id, query.min_position, dense=query.dense_too, wait_s=wait_s),
        )
        selection = _selection(query.filters, left.source_ids)
        position = self._library.position
        findings, pending = await self._library.ask(
            guild_id,
            lambda index: (
                index.search(
                    query.text,
                    vector,
                    selection=selection,
                    limit=query.top_k,
                    lexical=mode is not SearchMode.DENSE,
                ),
                index.without_vector,
            ),
        )
        return SearchHits(
            hits=tuple(map(_hit, findings.found)),
            position=position,
            dense_position=self._library.dense_position(guild_id),
            dense_pending=pending,
            dense_weight=findings.dense_weight,
            stale=not left.known,
        )

    async def _brought_up(
        self,
        guild_id: GuildId,
        wanted: Position | None,
        *,
        dense: bool = False,
        wait_s: float | None = None,
    ) -> Left:
        """Waits for the position; then, not before, asks what has left of what is there now."""
        await self._library.reach(guild_id, wanted, dense=dense, timeout_s=wait_s)
        return await self._removals.of(guild_id)

    async def _exact(self, query: Search, given: Vector | None) -> SearchHits:
        """From the database alone: everything that is committed, compared one by one."""
        guild_id = query.context.caller.guild_id
        vector = await self._vector(query, given)
        assert vector is not None  # noqa: S101  # no vector is an error in this mode
        hits = await self._store.exact(guild_id, vector, query.filters, query.top_k)
        return SearchHits(
            hits=tuple(hits),
            position=self._library.position,
            dense_position=self._library.dense_position(guild_id),
            dense_pending=0,
            dense_weight=1.0,
        )

    async def _vector(self, query: Search, given: Vector | None) -> Vector | None:
        """What the dense leg is asked with; None where it is left out.

        Raises:
            DependencyUnavailable: there is no embedder, and the words alone are no answer.
        """
        if given is not None or query.mode is SearchMode.LEXICAL:
            return given
        timeout_s = self._settings.query_embed_timeout_s
        vector = await vector_or_none(self._embedder, query.text, query.context, timeout_s)
        if vector is None and query.mode is not SearchMode.HYBRID:
            raise DependencyUnavailable("the embedder")
        return vector

    def _quotes(
        self, index: GuildIndex, question: str, hits: Sequence[Hit]
    ) -> tuple[answers.Quote, ...]:
        rarity = index.rarity(index.terms(question))
        coverage = answers.coverage_of(index.terms, rarity)
        if not answers.grounded(hits, coverage):
            return ()
        return answers.quotes(hits, coverage, self._settings.answer_quotes)

    async def _runbook(
        self, guild_id: GuildId, lines: Sequence[Evidence]
    ) -> tuple[Evidence | None, tuple[RunbookStep, ...]]:
        """The best strong runbook that says what to do; a page that only points on does not."""
        strong = [line for line in lines if line.strong]
        for line in strong:
            document = await self._store.document(guild_id, line.source_id)
            steps = runbook.steps(document.content, self._settings.max_runbook_steps)
            if steps:
                return line, steps
        return (strong[0] if strong else None), ()

    def _check(self, text: str) -> None:
        if not text.strip():
            raise ValidationError("text", "is blank")
        if len(text) > self._settings.max_query_chars:
            raise ValidationError("text", f"at most {self._settings.max_query_chars} characters")


def _given(sent: bytes, dimension: int) -> Vector:
    """The caller's vector, of unit length.

    Raises:
        ValidationError: another dimension, no length, or not finite.
    """
    if len(sent) != 4 * dimension:
        raise ValidationError("vector", f"{dimension} numbers are needed")
    vector = np.frombuffer(sent, dtype="<f4").astype(np.float32)
    length = float(np.linalg.norm(vector))
    if not np.isfinite(length) or length == 0.0:
        raise ValidationError("vector", "must be finite and have a length")
    unit: Vector = vector / length
    return unit


def _bounded(wanted: float | None, most: float) -> float | None:
    return None if wanted is None else min(wanted, most)


def _selection(filters: Filters, hidden: frozenset[str]) -> Selection:
    return Selection(
        types=filters.types,
        kinds=filters.kinds,
        statuses=filters.statuses,
        access=filters.access,
        tags=filters.tags,
        exclude=filters.exclude | hidden,
        since=None if filters.since is None else filters.since.timestamp(),
        until=None if filters.until is None else filters.until.timestamp(),
    )


def _hit(found: Found) -> Hit:
    standings = {"lexical": found.lexical, "dense": found.dense}
    legs = {
        name: LegScore(rank=standing.rank, score=round(standing.score, 4))
        for name, standing in standings.items()
        if standing is not None
    }
    return Hit(
        type=found.source.type,
        id=found.source.source_id,
        external_id=found.source.external_id,
        version=found.source.version,
        chunk_id=found.passage.chunk_id,
        kind=found.source.kind,
        title=found.source.title,
        heading=found.passage.heading,
        text=found.passage.text,
        score=round(found.score, 4),
        legs=legs,
        char_start=found.passage.char_start,
        char_end=found.passage.char_end,
    )
