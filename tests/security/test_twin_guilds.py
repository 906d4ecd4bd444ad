"""Two guilds that hold nearly the same: nothing of one is in any answer of the other."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from actors.errors import NotFound
from actors.rag.feedback.desk import FeedbackDesk
from actors.rag.finder import Finder
from actors.rag.library import Library
from actors.rag.messages import (
    Ask,
    DeleteDocument,
    FindEvidence,
    GetDocument,
    GetIndexStatus,
    GetLearntWeight,
    GiveFeedback,
    SearchMode,
)
from actors.rag.sage import RagSage
from actors.runtime.local import LocalPool
from actors.settings import IndexSettings
from tests.fixtures.feedback_memory import MemoryFeedbackStore
from tests.fixtures.rag_builders import GUILD, OTHER_GUILD, context, number
from tests.fixtures.rag_memory import MemoryRagStore, WordEmbedder
from tests.fixtures.twins import Guild, foreign, searches, settled

SETTINGS = IndexSettings(max_results=200, candidates=50)
DOCUMENTS = 40
SEARCHES = {  # of both guilds together: 10,000
    SearchMode.LEXICAL: 3_000,
    SearchMode.DENSE: 3_000,
    SearchMode.HYBRID: 3_600,
    SearchMode.EXACT: 400,  # each compares everything, in Python
}


@dataclass(frozen=True, slots=True)
class Twins:
    pool: LocalPool
    finder: Finder
    guilds: tuple[Guild, Guild]

    @property
    def each(self) -> tuple[tuple[Guild, Guild], ...]:
        """Each guild with the other."""
        one, other = self.guilds
        return (one, other), (other, one)


@pytest.fixture
async def twins() -> AsyncIterator[Twins]:
    store = MemoryRagStore()
    library = Library(store, store.log, SETTINGS)
    await library.load()
    finder = Finder(store, library, WordEmbedder(), SETTINGS)
    feedback = FeedbackDesk(MemoryFeedbackStore(store), store, finder, SETTINGS)
    pool = LocalPool(RagSage(store, finder, SETTINGS, feedback).handlers())
    guilds = await settled(pool, GUILD, DOCUMENTS), await settled(pool, OTHER_GUILD, DOCUMENTS)
    while await library.catch_up():
        pass
    yield Twins(pool, finder, guilds)
    await library.close()


def test_there_are_10_000_searches() -> None:
    assert sum(SEARCHES.values()) == 10_000


async def test_the_guilds_are_twins(twins: Twins) -> None:
    ours, theirs = twins.guilds

    apart = np.abs(np.stack(ours.vectors) - np.stack(theirs.vectors)).max()

    assert 0 < apart < 1e-6
    assert not set(ours.document_ids) & set(theirs.document_ids)


@pytest.mark.parametrize("mode", SearchMode)
async def test_no_search_finds_anything_of_the_twin(twins: Twins, mode: SearchMode) -> None:
    found, strange = 0, []

    for ours, theirs in twins.each:
        for query in searches(ours, theirs, mode, SEARCHES[mode] // 2):
            answer = await twins.finder.search(query)
            found += len(answer.hits)
            strange += foreign(answer, ours)
            assert len(answer.hits) <= len(ours.document_ids)

    assert strange == []
    assert found > SEARCHES[mode]  # or nothing was tried


async def test_a_search_that_leaves_nothing_out_finds_each_of_ours_once(twins: Twins) -> None:
    for ours, theirs in twins.each:
        [query, *_] = searches(ours, theirs, SearchMode.DENSE, 1)
        everything = replace(
            query,
            vector=theirs.vectors[0].astype("<f4").tobytes(),
            filters=replace(query.filters.__class__(), exclude=frozenset(theirs.document_ids)),
            top_k=200,
        )

        answer = await twins.finder.search(everything)

        assert sorted(hit.id for hit in answer.hits) == sorted(ours.document_ids)


async def test_counts_and_what_is_learnt_are_of_the_own_guild(twins: Twins) -> None:
    ours, theirs = twins.guilds
    judged = GiveFeedback(
        context=context(ours.guild_id),
        command_id=f"cmd_{number()}",
        query="restarted page",
        source_id=ours.document_ids[0],
        relevant=True,
    )
    await twins.pool.ask(judged)

    status = await twins.pool.ask(GetIndexStatus(context=context(theirs.guild_id)))
    learnt = await twins.pool.ask(GetLearntWeight(context=context(theirs.guild_id)))

    assert (status.sources, status.passages) == (DOCUMENTS, DOCUMENTS)
    assert (learnt.feedbacks, learnt.since) == (0, None)


async def test_an_id_of_the_twin_is_as_one_that_nobody_has(twins: Twins) -> None:
    for ours, theirs in twins.each:
        by = context(ours.guild_id)
        for source_id in (*theirs.document_ids[:5], f"doc_{'0' * 26}"):
            judged = GiveFeedback(
                context=by,
                command_id=f"cmd_{number()}",
                query="page",
                source_id=source_id,
                relevant=True,
            )
            gone = DeleteDocument(context=by, command_id=f"cmd_{number()}", document_id=source_id)
            for message in (GetDocument(context=by, document_id=source_id), judged, gone):
                with pytest.raises(NotFound):
                    await twins.pool.ask(message)  # type: ignore[misc]  # of three reply types


async def test_answers_and_dossiers_quote_the_own_guild(twins: Twins) -> None:
    for ours, theirs in twins.each:
        by = context(ours.guild_id)
        for place in range(20):
            text = f"{theirs.mark} {ours.mark} page {place} was restarted"
            answer = await twins.pool.ask(Ask(context=by, question=text))
            find = FindEvidence(context=by, incident_id="inc_1", title=text, limit=50)
            evidence = await twins.pool.ask(find)

            lines = (*evidence.similar, *evidence.runbooks, *evidence.open_work)
            assert foreign(answer, ours) == []
            assert {cited.source_id for cited in answer.citations} <= set(ours.document_ids)
            assert {line.source_id for line in lines} <= set(ours.document_ids)
            assert theirs.mark not in repr(lines)
