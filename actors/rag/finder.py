"""The asking half of the RAG sage: search, evidence, answers."""

from collections.abc import Sequence

from actors.errors import DependencyUnavailable, ValidationError
from actors.events import Evidence, RunbookStep
from actors.index.guild import Found, GuildIndex
from actors.index.passage import Selection
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
from actors.rag.store import RagStore
from actors.runtime.message import Context, GuildId, Position
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

    async def search(self, query: Search) -> SearchHits:
        """The best passages.

        Raises:
            ValidationError: the text is blank or too long, or too many hits are asked for.
            StaleIndex: the index has not reached ``min_position``.
            DependencyUnavailable: a dense search, and no embedder answers.
        """
        self._check(query.text)
        if not 1 <= query.top_k <= self._settings.max_results:
            raise ValidationError("top_k", f"1 to {self._settings.max_results}")
        return await self._hits(
            query.text, query.mode, query.filters, query.top_k, query.min_position, query.context
        )

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
        vector = await vector_or_none(self._embedder, asked.meaning, query.context, timeout_s)
        await self._library.reach(query.min_position)
        guild_id = query.context.caller.guild_id
        lines = await self._library.ask(
            guild_id, lambda index: evidence.gather(index, asked, vector, query.limit)
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
        limit = self._settings.answer_passages
        found = await self._hits(
            query.question,
            SearchMode.HYBRID,
            query.filters,
            limit,
            query.min_position,
            query.context,
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
                state="initializing", position=None, sources=0, passages=0, dense_pending=0
            )
        sources, passages, pending = await self._library.ask(
            query.context.caller.guild_id,
            lambda index: (len(index), index.passages, index.without_vector),
        )
        return IndexStatus(
            state="ready",
            position=self._library.position,
            sources=sources,
            passages=passages,
            dense_pending=pending,
        )

    async def _hits(
        self,
        text: str,
        mode: SearchMode,
        filters: Filters,
        limit: int,
        min_position: Position | None,
        context: Context,
    ) -> SearchHits:
        vector = None
        if mode is not SearchMode.LEXICAL:
            timeout_s = self._settings.query_embed_timeout_s
            vector = await vector_or_none(self._embedder, text, context, timeout_s)
            if vector is None and mode is SearchMode.DENSE:
                raise DependencyUnavailable("the embedder")
        await self._library.reach(min_position)
        position = self._library.position
        findings, pending = await self._library.ask(
            context.caller.guild_id,
            lambda index: (
                index.search(
                    text,
                    vector,
                    selection=_selection(filters),
                    limit=limit,
                    lexical=mode is not SearchMode.DENSE,
                ),
                index.without_vector,
            ),
        )
        return SearchHits(
            hits=tuple(map(_hit, findings.found)),
            position=position,
            dense_pending=pending,
            dense_weight=findings.dense_weight,
        )

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


def _selection(filters: Filters) -> Selection:
    return Selection(
        types=filters.types,
        kinds=filters.kinds,
        statuses=filters.statuses,
        tags=filters.tags,
        exclude=filters.exclude,
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
