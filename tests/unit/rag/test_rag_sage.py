"""The RAG sage on its in-memory store: documents in, hits and dossiers out."""

from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pytest

from actors.errors import (
    DependencyUnavailable,
    NotFound,
    StaleIndex,
    ValidationError,
    VersionConflict,
)
from actors.events import CustomEvent, KnowledgeUpdated
from actors.rag.backlog import Backlog
from actors.rag.finder import Finder
from actors.rag.library import Library
from actors.rag.messages import (
    Ask,
    DeleteDocument,
    FindEvidence,
    GetDocument,
    GetIndexStatus,
    Search,
    SearchMode,
)
from actors.rag.sage import RagSage
from actors.runtime.local import LocalPool
from actors.runtime.message import Position
from actors.settings import IndexSettings
from tests.fixtures.rag_builders import (
    DISK,
    GUILD,
    OTHER_GUILD,
    QUEUE,
    context,
    delivery,
    event,
    incident_created,
    number,
    review,
    store_document,
    task_created,
)
from tests.fixtures.rag_memory import (
    MemoryLog,
    MemoryRagStore,
    WordEmbedder,
    kinds_of,
    word_vector,
)

SETTINGS = IndexSettings(
    chunk_max_words=20, position_wait_s=0.01, max_document_chars=5_000, max_removals=9
)


@dataclass(frozen=True, slots=True)
class Rag:
    log: MemoryLog
    store: MemoryRagStore
    library: Library
    embedder: WordEmbedder
    backlog: Backlog
    pool: LocalPool

    async def settle(self) -> None:
        """The log is read and every passage embedded."""
        while await self.library.catch_up():
            pass
        while await self.backlog.embed_some(GUILD):
            await self.library.catch_up()


@pytest.fixture
async def rag() -> AsyncIterator[Rag]:
    log = MemoryLog()
    store = MemoryRagStore(log)
    library = Library(store, log, SETTINGS)
    embedder = WordEmbedder()
    await library.load()
    finder = Finder(store, library, embedder, SETTINGS)
    yield Rag(
        log,
        store,
        library,
        embedder,
        Backlog(store, library, embedder, SETTINGS),
        LocalPool(RagSage(store, finder, SETTINGS).handlers()),
    )
    await library.close()


def search(text: str, **fields: object) -> Search:
    return Search(context=context(), text=text, **fields)  # type: ignore[arg-type]


def delete(document_id: str, version: int | None = None) -> DeleteDocument:
    return DeleteDocument(
        context=context(),
        command_id=f"cmd_{number()}",
        document_id=document_id,
        expected_version=version,
    )


async def test_front_matter_fills_in_what_the_command_leaves_empty(rag: Rag) -> None:
    stored = await rag.pool.ask(store_document(DISK))

    document = await rag.pool.ask(GetDocument(context=context(), document_id=stored.document_id))
    assert document.title == "Disk is filling up"
    assert (document.kind, document.tags, document.alert_names) == (
        "runbook",
        ("storage",),
        ("DiskFull",),
    )


async def test_storing_the_same_again_writes_nothing(rag: Rag) -> None:
    first = await rag.pool.ask(store_document(DISK))

    again = await rag.pool.ask(store_document(DISK))

    assert (first.changed, again.changed, again.version) == (True, False, 1)
    assert again.document_id == first.document_id
    assert kinds_of(rag.log) == ["indexed:lexical"]


async def test_other_text_under_the_same_external_id_is_the_next_version(rag: Rag) -> None:
    first = await rag.pool.ask(store_document(DISK))

    second = await rag.pool.ask(store_document(QUEUE))

    assert (second.document_id, second.version) == (first.document_id, 2)
    old = await rag.pool.ask(
        GetDocument(context=context(), document_id=first.document_id, version=1)
    )
    assert old.content == DISK


async def test_a_document_without_a_name_is_stored_once(rag: Rag) -> None:
    first = await rag.pool.ask(store_document(QUEUE, external_id=None))

    again = await rag.pool.ask(store_document(QUEUE, external_id=None))

    assert again.document_id == first.document_id
    assert not again.changed


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "  \n"},
        {"content": "a\x00b"},
        {"content": "lone \ud800"},
        {"content": "x" * 5_001},
        {"title": "   "},
        {"title": "t" * 501},
        {"tags": tuple(f"t{n}" for n in range(11))},
        {"labels": {"a": "\x00"}},
        {"metadata": {"a": ["\x00"]}},
        {"metadata": {"a": "x" * 16_001}},
    ],
)
async def test_an_impossible_document_is_refused_and_nothing_written(
    rag: Rag, fields: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError):
        await rag.pool.ask(store_document(**({"content": QUEUE} | fields)))

    assert rag.log.events == []


async def test_a_deleted_document_is_not_found_but_readable(rag: Rag) -> None:
    stored = await rag.pool.ask(store_document(QUEUE))
    await rag.pool.ask(delete(stored.document_id))
    await rag.pool.ask(delete(stored.document_id))
    await rag.settle()

    hits = await rag.pool.ask(search("order queue"))

    document = await rag.pool.ask(GetDocument(context=context(), document_id=stored.document_id))
    assert hits.hits == ()
    assert document.status == "deleted"
    assert kinds_of(rag.log) == ["indexed:lexical", "deleted"]


async def test_deleting_another_version_than_expected_is_refused(rag: Rag) -> None:
    stored = await rag.pool.ask(store_document(QUEUE))

    with pytest.raises(VersionConflict):
        await rag.pool.ask(delete(stored.document_id, version=7))


async def test_deleting_nothing_is_refused(rag: Rag) -> None:
    with pytest.raises(NotFound):
        await rag.pool.ask(delete("doc_unknown"))


async def test_words_find_a_document_before_it_is_embedded(rag: Rag) -> None:
    rag.embedder.away = True
    await rag.pool.ask(store_document(QUEUE))
    await rag.library.catch_up()

    hits = await rag.pool.ask(search("order queue consumer"))

    assert hits.hits[0].external_id == "ops/DiskFull"
    assert (hits.dense_weight, hits.dense_pending > 0) == (0.0, True)


async def test_meaning_finds_it_afterwards(rag: Rag) -> None:
    await rag.pool.ask(store_document(QUEUE))
    await rag.settle()

    hits = await rag.pool.ask(search("order queue", mode=SearchMode.DENSE))

    assert hits.hits
    assert hits.dense_pending == 0
    assert set(hits.hits[0].legs) == {"dense"}
    assert kinds_of(rag.log) == ["indexed:lexical", "indexed:dense"]


async def test_a_hit_says_where_it_stands(rag: Rag) -> None:
    await rag.pool.ask(store_document(QUEUE))
    await rag.settle()

    hits = await rag.pool.ask(search("consumer"))

    for hit in hits.hits:
        assert QUEUE[hit.char_start : hit.char_end] == hit.text


async def test_a_dense_search_without_embedder_says_so(rag: Rag) -> None:
    rag.embedder.away = True

    with pytest.raises(DependencyUnavailable):
        await rag.pool.ask(search("anything", mode=SearchMode.DENSE))


@pytest.mark.parametrize(("text", "top_k"), [("", 5), ("  ", 5), ("a" * 4_001, 5), ("a", 101)])
async def test_an_impossible_search_is_refused(rag: Rag, text: str, top_k: int) -> None:
    with pytest.raises(ValidationError):
        await rag.pool.ask(search(text, top_k=top_k))


async def test_a_vector_finds_what_its_text_would(rag: Rag) -> None:
    await rag.pool.ask(store_document(DISK))
    await rag.pool.ask(store_document(QUEUE))
    await rag.settle()
    vector = word_vector("order queue consumer") * 3  # any length will do

    found = [
        await rag.pool.ask(search("", vector=vector.tobytes(), mode=mode, top_k=2))
        for mode in (SearchMode.DENSE, SearchMode.EXACT)
    ]

    by_text = await rag.pool.ask(search("order queue consumer", mode=SearchMode.DENSE, top_k=2))
    wanted = [hit.chunk_id for hit in by_text.hits]
    assert [[hit.chunk_id for hit in hits.hits] for hits in found] == [wanted, wanted]
    assert [hits.dense_weight for hits in found] == [1.0, 1.0]


@pytest.mark.parametrize(
    "vector", [b"", b"\x00" * 4 * 384, np.full(384, np.nan, "<f4").tobytes(), b"\x01" * 7]
)
async def test_an_impossible_vector_is_refused(rag: Rag, vector: bytes) -> None:
    with pytest.raises(ValidationError, match="vector"):
        await rag.pool.ask(search("", vector=vector, mode=SearchMode.DENSE))


async def test_an_exact_search_without_embedder_says_so(rag: Rag) -> None:
    rag.embedder.away = True

    with pytest.raises(DependencyUnavailable):
        await rag.pool.ask(search("disk", mode=SearchMode.EXACT))


async def test_what_was_deleted_is_not_found_before_the_index_has_read_of_it(rag: Rag) -> None:
    stored = await rag.pool.ask(store_document(DISK))
    await rag.settle()
    await rag.pool.ask(delete(stored.document_id))

    hits = await rag.pool.ask(search("rotated log files"))
    evidence = await rag.pool.ask(
        FindEvidence(context=context(), incident_id="inc_1", title="", alert_names=("DiskFull",))
    )
    answer = await rag.pool.ask(Ask(context=context(), question="Which log files are removed?"))

    assert (hits.hits, hits.stale) == ((), False)
    assert evidence.runbooks == ()
    assert answer.retrieved == ()


async def test_without_the_log_a_search_says_that_it_may_be_stale(rag: Rag) -> None:
    await rag.pool.ask(store_document(DISK))
    await rag.settle()
    rag.log.away = True

    hits = await rag.pool.ask(search("rotated log files"))
    evidence = await rag.pool.ask(
        FindEvidence(context=context(), incident_id="inc_1", title="", alert_names=("DiskFull",))
    )
    answer = await rag.pool.ask(Ask(context=context(), question="Which log files are removed?"))

    assert hits.hits
    assert evidence.runbooks
    assert (hits.stale, evidence.stale, answer.stale) == (True, True, True)


@pytest.mark.parametrize(
    ("access_level", "found"), [("protected", 1), ("private", 0), ("restricted", 0)]
)
async def test_knowledge_that_was_closed_is_hidden_before_the_index_has_read_of_it(
    rag: Rag, access_level: str, found: int
) -> None:
    await rag.pool.ask(delivery(event(review(), "know_1", 1)))
    await rag.settle()
    closed = KnowledgeUpdated(**asdict(review(access_level=access_level)))
    rag.log.append(GUILD, "know_1", 2, closed)

    hits = (await rag.pool.ask(search("rotation upgrade", mode=SearchMode.LEXICAL))).hits
    answer = await rag.pool.ask(Ask(context=context(), question="Why was log rotation off?"))

    assert len(hits) == found
    assert len({hit.id for hit in answer.retrieved}) == found


async def test_an_index_that_has_missed_too_many_removals_says_so(rag: Rag) -> None:
    for number_ in range(SETTINGS.max_removals):
        stored = await rag.pool.ask(store_document(f"{DISK}{number_}"))
        await rag.pool.ask(delete(stored.document_id))

    hits = await rag.pool.ask(search("rotated log files"))

    assert hits.stale


async def test_a_searcher_who_needs_the_meaning_waits_for_the_vectors(rag: Rag) -> None:
    await rag.pool.ask(store_document(DISK))
    await rag.library.catch_up()
    position = await rag.log.end()

    await rag.pool.ask(search("log files", min_position=position))
    with pytest.raises(StaleIndex):
        await rag.pool.ask(search("log files", min_position=position, dense_too=True))
    await rag.settle()
    hits = await rag.pool.ask(search("log files", min_position=position, dense_too=True))

    assert hits.dense_position is not None
    assert hits.dense_position >= position


async def test_what_others_wrote_in_between_does_not_hold_a_write_back(rag: Rag) -> None:
    for note in range(700):  # more than one batch of the tail
        rag.log.append(OTHER_GUILD, f"custom_{note}", 1, CustomEvent(name="custom.note", data="{}"))
    stored = await rag.pool.ask(store_document(DISK))
    position = await rag.log.end()

    hits = await rag.pool.ask(search("rotated log files", min_position=position))

    assert {hit.id for hit in hits.hits} == {stored.document_id}
    assert hits.position is not None
    assert hits.position < position


async def test_too_much_of_its_own_is_stale_and_not_half_found(rag: Rag) -> None:
    for note in range(SETTINGS.tail_batch):
        rag.log.append(GUILD, f"custom_{note}", 1, CustomEvent(name="custom.note", data="{}"))
    await rag.pool.ask(store_document(DISK))

    with pytest.raises(StaleIndex):
        await rag.pool.ask(search("log files", min_position=await rag.log.end()))


async def test_a_search_ahead_of_the_log_is_stale(rag: Rag) -> None:
    with pytest.raises(StaleIndex):
        await rag.pool.ask(search("anything", min_position=Position(9, 9)))


async def test_the_others_events_are_found_at_their_position(rag: Rag) -> None:
    rag.log.append(GUILD, "task_1", 1, task_created())
    await rag.library.catch_up()

    hits = await rag.pool.ask(search("grow the volume", min_position=Position(1, 1)))

    assert [hit.id for hit in hits.hits] == ["task_1"]


async def test_what_was_applied_early_stays_when_it_is_stored(rag: Rag) -> None:
    rag.log.append(GUILD, "task_1", 1, task_created())
    await rag.library.catch_up()
    stored = rag.log.events[0]

    await rag.pool.ask(delivery(stored))
    await rag.pool.ask(delivery(event(task_created(), "task_1", 1)))
    await rag.settle()

    status = await rag.pool.ask(GetIndexStatus(context=context()))
    assert (status.sources, status.passages, status.dense_pending) == (1, 1, 0)


async def test_the_dossier_ranks_review_and_runbook_and_gives_the_steps(rag: Rag) -> None:
    await rag.pool.ask(store_document(DISK))
    await rag.pool.ask(delivery(event(review(), "know_1", 1)))
    await rag.pool.ask(delivery(event(task_created(), "task_1", 1)))
    await rag.pool.ask(delivery(event(incident_created(), "inc_1", 1)))
    await rag.settle()

    found = await rag.pool.ask(
        FindEvidence(
            context=context(),
            incident_id="inc_1",
            title="The store's disk is nearly full",
            alert_names=("DiskFull",),
            labels={"service": "store"},
        )
    )

    assert [line.source_id for line in found.similar] == ["know_1"]
    assert [line.source_id for line in found.open_work] == ["task_1"]
    assert found.runbook is not None
    assert found.runbook.external_id == "ops/DiskFull"
    assert len(found.steps) == 2


async def test_an_answer_is_made_of_verbatim_quotes(rag: Rag) -> None:
    await rag.pool.ask(store_document(QUEUE))
    await rag.settle()

    answer = await rag.pool.ask(
        Ask(context=context(), question="Restart the consumer of the order queue.")
    )

    assert not answer.abstained
    for citation in answer.citations:
        assert QUEUE[citation.char_start : citation.char_end] == citation.quote
        assert citation.verified


async def test_a_question_nobody_wrote_about_is_not_answered(rag: Rag) -> None:
    await rag.pool.ask(store_document(QUEUE))
    await rag.settle()

    answer = await rag.pool.ask(Ask(context=context(), question="Who painted the ceiling?"))

    assert (answer.abstained, answer.text, answer.citations) == (True, "", ())


async def test_an_index_that_is_not_loaded_says_so(rag: Rag) -> None:
    library = Library(rag.store, rag.log, SETTINGS)
    finder = Finder(rag.store, library, rag.embedder, SETTINGS)
    pool = LocalPool(RagSage(rag.store, finder, SETTINGS).handlers())

    status = await pool.ask(GetIndexStatus(context=context()))

    assert status.state == "initializing"
    with pytest.raises(DependencyUnavailable):
        await pool.ask(search("anything"))


async def test_what_waited_for_its_vector_at_a_start_is_waited_for_at_every_position(
    rag: Rag,
) -> None:
    stored = await rag.pool.ask_outcome(store_document(QUEUE))
    assert stored.position is not None
    await rag.pool.ask(store_document(DISK, external_id="later"))
    late = Library(rag.store, rag.log, SETTINGS)
    await late.load()
    reached = late.dense_position(GUILD)

    await late.reach(GUILD, stored.position)
    with pytest.raises(StaleIndex):
        await late.reach(GUILD, stored.position, dense=True, timeout_s=0.0)
    await rag.settle()
    while await late.catch_up():
        pass
    await late.reach(GUILD, stored.position, dense=True, timeout_s=0.0)

    assert reached == Position(0, 0)
    assert late.dense_position(GUILD) == late.position
    await late.close()


async def test_what_could_not_be_embedded_is_tried_again_at_once(rag: Rag) -> None:
    await rag.pool.ask(store_document(QUEUE))
    await rag.library.catch_up()
    rag.embedder.away = True
    with pytest.raises(DependencyUnavailable):
        await rag.backlog.embed_some(GUILD)
    rag.embedder.away = False

    worked = await rag.backlog.embed_some(GUILD)

    assert worked


async def test_the_backlog_stops_asking_when_nothing_waits(rag: Rag) -> None:
    await rag.pool.ask(store_document(QUEUE))
    await rag.settle()
    asked = len(rag.embedder.asked)

    worked = await rag.backlog.embed_some(GUILD)

    assert not worked
    assert len(rag.embedder.asked) == asked


async def test_what_was_written_twice_before_it_is_read_waits_since_the_first(rag: Rag) -> None:
    first = await rag.pool.ask_outcome(store_document(DISK))
    await rag.pool.ask(store_document(QUEUE))

    while await rag.library.catch_up():
        pass

    reached = rag.library.dense_position(GUILD)
    assert first.position is not None
    assert reached is not None
    assert reached < first.position
