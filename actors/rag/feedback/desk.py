"""The learning half of the RAG sage: feedback in, what is learnt out."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from actors import clock, metrics
from actors.errors import NotFound
from actors.events import DeliverEvent, FeedbackForgotten, FeedbackRecorded, IncidentResolved
from actors.index import fusion, learning
from actors.index.guild import share_of_dense
from actors.index.learning import Judgement
from actors.rag.domain import Indexed
from actors.rag.feedback import outcomes
from actors.rag.feedback.store import Feedback, FeedbackStore
from actors.rag.finder import Finder
from actors.rag.messages import (
    ForgetFeedback,
    GetLearntWeight,
    GiveFeedback,
    LearntWeight,
    Search,
)
from actors.rag.store import RagStore
from actors.runtime.message import GuildId, Handlers
from actors.settings import IndexSettings


class FeedbackDesk:
    """Asks again what was asked, and keeps how well the source would have stood.

    What is kept is enough to learn from: no search has to be remembered.

    Args:
        store: what was said.
        sources: what it was said of.
        finder: asks.
        settings: bounds.
        now: clock.
    """

    def __init__(
        self,
        store: FeedbackStore,
        sources: RagStore,
        finder: Finder,
        settings: IndexSettings,
        now: clock.Now = clock.now,
    ) -> None:
        self._store = store
        self._sources = sources
        self._finder = finder
        self._settings = settings
        self._now = now

    def handlers(self) -> Handlers:
        """Which method answers which message."""
        return {
            GiveFeedback: self.give,
            GetLearntWeight: self.weight,
            ForgetFeedback: self.forget,
        }

    async def give(self, command: GiveFeedback) -> LearntWeight:
        """Keeps what was said of a source.

        Raises:
            ValidationError: the query is blank or too long.
            NotFound: search knows no such source.
            DependencyUnavailable: not everything can be asked, by words and by meaning.
        """
        guild_id, most = command.context.caller.guild_id, self._settings.feedback_kept
        source = await self._source(guild_id, command.source_id)
        if source is None:
            raise NotFound("source", command.source_id)
        search = Search(context=command.context, text=command.query, filters=command.filters)
        given = await self._feedback(search, source.source_id, command.relevant)
        reply = _weight(_with([given], await self._store.kept(guild_id), most))
        await self._store.record(command, reply, [given], _event([given]), most)
        metrics.RAG_FEEDBACK.labels("person").inc()
        return reply

    async def weight(self, query: GetLearntWeight) -> LearntWeight:
        """What the guild has learnt, as its rows say."""
        return _weight(await self._store.kept(query.context.caller.guild_id))

    async def forget(self, command: ForgetFeedback) -> LearntWeight:
        """Forgets all of it."""
        kept = await self._store.kept(command.context.caller.guild_id)
        reply = _weight([])
        await self._store.forget(command, reply, FeedbackForgotten(feedbacks=len(kept)))
        return reply

    async def hear(self, command: DeliverEvent) -> None:
        """What helped to resolve an incident answers the question that the incident was.

        Raises:
            DependencyUnavailable: as `give`.
        """
        resolved = command.event.payload
        given: list[Feedback] = []
        if isinstance(resolved, IncidentResolved) and resolved.helped:
            given = await self._outcome(command, resolved)
        event = _event(given, command.event.aggregate_id) if given else None
        await self._store.record(command, None, given, event, self._settings.feedback_kept)
        metrics.RAG_FEEDBACK.labels("outcome").inc(len(given))

    async def _outcome(self, command: DeliverEvent, resolved: IncidentResolved) -> list[Feedback]:
        guild_id = command.event.guild_id
        incident = await self._sources.source(guild_id, resolved.incident_id)
        text = outcomes.question(resolved, incident, self._settings.max_query_chars)
        given: list[Feedback] = []
        for source_id in resolved.helped:
            source = await self._source(guild_id, source_id)
            if source is not None:
                filters = outcomes.filters(resolved.incident_id, source)
                search = Search(context=command.context, text=text, filters=filters)
                given.append(await self._feedback(search, source_id, relevant=True))
        return given

    async def _source(self, guild_id: GuildId, source_id: str) -> Indexed | None:
        found = await self._sources.source(guild_id, source_id)
        return None if found is None or found.removed else found

    async def _feedback(self, search: Search, source_id: str, relevant: bool) -> Feedback:
        """How well the source would stand for the query at each bias."""
        proposals = await self._finder.proposals(replace(search, top_k=learning.DEPTH))
        share = share_of_dense(proposals.pool.legs, lexical=True, dense=True)
        places = proposals.pool.of(source_id)
        return Feedback(
            judgement=Judgement(
                query=_digest(search.text),
                curve=learning.curve(proposals.pool.legs, places, share),
                relevant=relevant,
            ),
            source_id=source_id,
            model=proposals.model,
            given_at=self._now(),
        )


def _digest(text: str) -> bytes:
    """Of a query, however it is spaced and written."""
    return hashlib.sha256(" ".join(text.casefold().split()).encode()).digest()


def _event(given: Sequence[Feedback], incident_id: str | None = None) -> FeedbackRecorded:
    first = given[0].judgement
    return FeedbackRecorded(
        query_sha256=first.query.hex(),
        source_ids=tuple(one.source_id for one in given),
        relevant=first.relevant,
        incident_id=incident_id,
    )


def _with(given: Sequence[Feedback], kept: Sequence[Feedback], most: int) -> Sequence[Feedback]:
    """What will be kept, newest first."""
    new = {one.key for one in given}
    return [*given, *(one for one in kept if one.key not in new)][:most]


def _weight(kept: Sequence[Feedback]) -> LearntWeight:
    bias = learning.learnt(one.judgement for one in kept)
    return LearntWeight(
        bias=bias,
        even_share=round(fusion.biased(0.5, bias), 4),
        feedbacks=len(kept),
        since=min((one.given_at for one in kept), default=None),
    )
