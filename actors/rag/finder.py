"""The asking half of the RAG sage: search, evidence, answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from actors import floats, metrics
from actors.embedding.identity import ModelIdentity
from actors.errors import DependencyUnavailable, ValidationError
from actors.events import Evidence, RunbookStep
from actors.index import terms
from actors.index.guild import share_of_dense
from actors.rag import answers, evidence, merging, runbook
from actors.rag.embedder import Embedder, Meaning, meaning_or_none
from actors.rag.gathering import Gathering, sent
from actors.rag.library import Library
from actors.rag.messages import (
    Answer,
    Ask,
    EvidenceFound,
    FindEvidence,
    FindShardEvidence,
    GetIndexStatus,
    GetShardStatus,
    Hit,
    IndexStatus,
    Search,
    SearchHits,
    SearchMode,
    ShardEvidence,
)
from actors.rag.one_shard import OneShard, hit_of, selection_of
from actors.rag.shards import Gathered, Shards
from actors.rag.store import RagStore
from actors.runtime.message import GuildId, Handlers
from actors.runtime.peers import Peers
from actors.runtime.together import together
from actors.settings import IndexSettings

_MAX_LINES = 50


@dataclass(frozen=True, slots=True, eq=False)
class Proposed:
    """The candidates of a search, and the model of its meaning."""

    pool: merging.Pool
    model: ModelIdentity


class Finder:
    """Asks the indexes of one member, and other members where it does not hold all of an index.

    Without an embedder a hybrid search goes on with its words alone: an alert at night must find
    its runbook.
    """

    def __init__(
        self,
        store: RagStore,
        library: Library,
        embedder: Embedder,
        settings: IndexSettings,
        peers: Peers | None = None,
    ) -> None:
        self._store = store
        self._library = library
        self._embedder = embedder
        self._settings = settings
        self._shards = Shards(library, peers, settings)
        self._one = OneShard(library, settings)
        self._gathering = Gathering(library, self._shards, self._one, settings)

    def handlers(self) -> Handlers:
        """Which method answers which message."""
        return {
            Search: self.search,
            FindEvidence: self.find_evidence,
            Ask: self.answer,
            GetIndexStatus: self.status,
            **self._one.handlers(),
        }

    async def search(self, query: Search) -> SearchHits:
        """The best passages.

        Raises:
            ValidationError: the text is blank or too long, or too many hits are asked for.
            StaleIndex: the index has not reached ``min_position``.
            DependencyUnavailable: a dense search, and no embedder answers.
        """
        metrics.RAG_QUERIES.labels(query.mode).inc()
        if query.vector is None or query.mode in {SearchMode.LEXICAL, SearchMode.HYBRID}:
            self._check(query.text)
        if not 1 <= query.top_k <= self._settings.max_results:
            raise ValidationError("top_k", f"1 to {self._settings.max_results}")
        model = self._library.model(query.context.caller.guild_id)
        given = None if query.vector is None else _given(query.vector, model)
        if query.mode is SearchMode.EXACT:
            return await self._exact(query, given)
        if self._shards.whole:
            return await self._hits(query, given)
        hits, _ = await self._gathered(query, given)
        return hits

    async def find_evidence(self, query: FindEvidence) -> EvidenceFound:
        """The dossier of an incident.

        Raises:
            ValidationError: ``limit`` is out of range.
            StaleIndex: the index has not reached ``min_position``.
        """
        metrics.RAG_QUERIES.labels("evidence").inc()
        if not 1 <= query.limit <= _MAX_LINES:
            raise ValidationError("limit", f"1 to {_MAX_LINES}")
        asked = evidence.question(query, self._settings.max_query_chars)
        timeout_s = self._settings.query_embed_timeout_s
        guild_id = query.context.caller.guild_id
        model = self._library.model(guild_id)
        meant = meaning_or_none(self._embedder, asked.meaning, query.context, timeout_s, model)
        lines: evidence.Lines | ShardEvidence
        missing, stale = 0, False
        if self._shards.whole:
            meaning, left = await together(
                meant, self._one.brought_up(guild_id, query.min_position)
            )
            hidden, stale = left.source_ids, not left.known
            lines = await self._library.examine(
                guild_id,
                lambda index: evidence.gather(
                    index, asked, self._one.fitting(guild_id, 0, meaning), query.limit, hidden
                ),
            )
        else:
            gathered = await self._evidence(query, await meant)
            lines = merging.evidence(gathered.parts, query.limit)
            missing, stale = gathered.missing, lines.stale
        best, steps = await self._runbook(guild_id, lines.runbooks)
        return EvidenceFound(
            similar=lines.similar,
            runbooks=lines.runbooks,
            open_work=lines.open_work,
            runbook=best,
            steps=steps,
            stale=stale,
            partial=missing > 0,
            missing_shards=missing,
        )

    async def proposals(self, query: Search) -> Proposed:
        """What all shards have for the best ``top_k`` by words and by meaning, not yet fused.

        Raises:
            ValidationError: the text is blank or too long.
            DependencyUnavailable: there is no embedder, or not every shard answers by both.
        """
        self._check(query.text)
        model = self._library.model(query.context.caller.guild_id)
        meaning = await self._meaning(replace(query, mode=SearchMode.DENSE), None, model)
        gathered = await self._gathering.proposals(query, meaning)
        if gathered.missing or not all(part.by_meaning for part in gathered.parts):
            raise DependencyUnavailable("a part of the index")
        candidates = max(query.top_k, self._settings.candidates)
        return Proposed(merging.pooled(gathered.parts, candidates), model)

    async def answer(self, query: Ask) -> Answer:
        """An answer of verbatim quotes, each compared with the stored text; or an abstention.

        Raises:
            ValidationError: the question is blank or too long.
            StaleIndex: the index has not reached ``min_position``.
        """
        metrics.RAG_QUERIES.labels("question").inc()
        self._check(query.question)
        search = Search(
            context=query.context,
            text=query.question,
            filters=query.filters,
            top_k=self._settings.answer_passages,
            min_position=query.min_position,
        )
        guild_id = query.context.caller.guild_id
        if self._shards.whole:
            found = await self._hits(search)
            quotes = await self._library.ask(
                guild_id,
                lambda index: self._quotes(
                    index.terms, index.rarity(index.terms(query.question)), found.hits
                ),
            )
        else:
            found, rarity = await self._gathered(search, weigh=True)
            words = partial(terms.distinct, terms.analyzer())
            quotes = await self._library.run(lambda: self._quotes(words, rarity, found.hits))
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
            stale=found.stale,
            partial=found.partial,
            missing_shards=found.missing_shards,
        )

    async def status(self, query: GetIndexStatus) -> IndexStatus:
        """How far this member is, or all shards; answers while the index is being loaded."""
        if not self._shards.whole:
            return await self._status(query)
        if self._library.position is None:
            return IndexStatus(
                state="initializing",
                position=None,
                dense_position=None,
                sources=0,
                passages=0,
                dense_pending=0,
            )
        return await self._one.status(GetShardStatus(context=query.context, shard=0, shards=1))

    async def _hits(self, query: Search, given: Meaning | None = None) -> SearchHits:
        guild_id, dense_alone = query.context.caller.guild_id, query.mode is SearchMode.DENSE
        bringing_up = self._one.brought_up(
            guild_id, query.min_position, dense=query.dense_too, wait_s=query.wait_s
        )
        if given is not None or query.mode is SearchMode.LEXICAL:  # no need of the embedder
            meaning, left = given, await bringing_up
        else:
            model = self._library.model(guild_id)
            meaning, left = await together(self._meaning(query, None, model), bringing_up)
        selection = selection_of(query.filters, left.source_ids)
        position = self._library.position
        findings, pending = await self._library.ask(
            guild_id,
            lambda index: (
                index.search(
                    query.text,
                    self._one.fitting(guild_id, 0, meaning, needed=dense_alone),
                    selection=selection,
                    limit=query.top_k,
                    lexical=not dense_alone,
                    bias=self._library.weights.bias(guild_id),
                ),
                index.without_vector,
            ),
        )
        return SearchHits(
            hits=tuple(map(hit_of, findings.found)),
            position=position,
            dense_position=self._library.dense_position(guild_id),
            dense_pending=pending,
            dense_weight=findings.dense_weight,
            stale=not left.known,
        )

    async def _gathered(
        self, query: Search, given: Meaning | None = None, *, weigh: bool = False
    ) -> tuple[SearchHits, Mapping[str, float]]:
        """The best of all shards and, where asked for, how rare the text's terms are in them."""
        guild_id = query.context.caller.guild_id
        meaning = await self._meaning(query, given, self._library.model(guild_id))
        gathered = await self._gathering.proposals(query, meaning, weigh=weigh)
        parts, lexical = gathered.parts, query.mode is not SearchMode.DENSE
        dense = any(part.by_meaning for part in parts)
        bias = parts[0].bias  # each has reached the position that the query asks for
        candidates = max(query.top_k, self._settings.candidates)
        best, weight = merging.hits(
            parts,
            lambda legs: share_of_dense(legs, lexical, dense, bias=bias),
            query.top_k,
            candidates if lexical and dense else query.top_k,
        )
        hits = SearchHits(
            hits=best,
            position=merging.least(part.position for part in parts),
            dense_position=merging.least(part.dense_position for part in parts),
            dense_pending=sum(part.dense_pending for part in parts),
            dense_weight=weight,
            stale=any(part.stale for part in parts),
            partial=gathered.missing > 0,
            missing_shards=gathered.missing,
        )
        return hits, merging.rarity(parts)

    async def _evidence(
        self, query: FindEvidence, meaning: Meaning | None
    ) -> Gathered[ShardEvidence]:
        def message(shard: int) -> FindShardEvidence:
            return FindShardEvidence(
                context=query.context,
                find=query,
                meaning=sent(meaning),
                shard=shard,
                shards=self._shards.count,
            )

        return await self._shards.gather(
            query.context.caller.guild_id,
            lambda shard: self._one.find_evidence(message(shard)),
            message,
            self._gathering.patience_s(query.min_position),
        )

    async def _status(self, query: GetIndexStatus) -> IndexStatus:
        def message(shard: int) -> GetShardStatus:
            return GetShardStatus(context=query.context, shard=shard, shards=self._shards.count)

        parts: Sequence[IndexStatus] = ()
        try:
            gathered = await self._shards.gather(
                query.context.caller.guild_id,
                lambda shard: self._one.status(message(shard)),
                message,
            )
            parts = gathered.parts
        except DependencyUnavailable:  # nobody has loaded any of it yet
            parts = ()
        return merging.status(parts, self._shards.count)

    async def _exact(self, query: Search, given: Meaning | None) -> SearchHits:
        """From the database alone: everything that is committed, compared one by one."""
        guild_id = query.context.caller.guild_id
        model = await self._store.model(guild_id) or self._library.model(guild_id)
        meaning = await self._meaning(query, given, model)
        assert meaning is not None  # noqa: S101  # no vector is an error in this mode
        hits = await self._store.exact(
            guild_id, meaning.vector, query.filters, query.top_k, model=meaning.model
        )
        if not hits and (await self._store.model(guild_id) or model) != meaning.model:
            raise DependencyUnavailable("the model of the query, which the guild has left")
        return SearchHits(
            hits=tuple(hits),
            position=self._library.position,
            dense_position=self._library.dense_position(guild_id),
            dense_pending=0,
            dense_weight=1.0,
        )

    async def _meaning(
        self, query: Search, given: Meaning | None, model: ModelIdentity
    ) -> Meaning | None:
        """What the dense leg is asked with; None where it is left out.

        Raises:
            DependencyUnavailable: there is no embedder, and the words alone are no answer.
        """
        if given is not None or query.mode is SearchMode.LEXICAL:
            return given
        timeout_s = self._settings.query_embed_timeout_s
        meaning = await meaning_or_none(self._embedder, query.text, query.context, timeout_s, model)
        if meaning is None and query.mode is not SearchMode.HYBRID:
            raise DependencyUnavailable("the embedder")
        return meaning

    def _quotes(
        self,
        words: Callable[[str], Sequence[str]],
        rarity: Mapping[str, float],
        hits: Sequence[Hit],
    ) -> tuple[answers.Quote, ...]:
        coverage = answers.coverage_of(words, rarity)
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


def _given(sent: bytes, model: ModelIdentity) -> Meaning:
    """The caller's vector, of unit length.

    Raises:
        ValidationError: another dimension, no length, or not finite.
    """
    try:
        return Meaning(floats.unit(sent, model.dimension), model)
    except ValueError as error:
        raise ValidationError("vector", str(error)) from None
