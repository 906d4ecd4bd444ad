"""What counts as evidence for an incident, and what is only a hint."""

from dataclasses import replace
from typing import Any

import pytest

from actors.index.guild import GuildIndex
from actors.rag import domain, evidence
from actors.rag.domain import Indexed
from actors.rag.evidence import Lines
from actors.rag.messages import FindEvidence
from tests.fixtures.rag_builders import NOON, context
from tests.fixtures.rag_memory import word_vector


def indexed(source_id: str, **fields: Any) -> Indexed:
    made = Indexed(
        source_id=source_id,
        type="document",
        version=1,
        title="Notes",
        body="Something about something else.",
        kind="runbook",
        status="active",
    )
    return replace(made, **fields)


def index_of(*sources: Indexed) -> GuildIndex:
    index = GuildIndex(384)
    for source in sources:
        chunks = domain.chunks(source, 180, NOON)
        passages = [domain.passage_of(chunk, word_vector(chunk.to_embed)) for chunk in chunks]
        index.replace(domain.searchable(source), passages)
    index.commit()
    return index


def ask(index: GuildIndex, **fields: Any) -> Lines:
    query = FindEvidence(
        context=context(),
        incident_id="inc_1",
        title="The data volume of the store is nearly full",
        alert_names=("DiskFull",),
    )
    asked = evidence.question(replace(query, **fields), 4_000)
    return evidence.gather(index, asked, word_vector(asked.meaning), 5)


def test_the_alerts_own_name_is_strong_evidence() -> None:
    index = index_of(indexed("doc_1", title="Disk Full"), indexed("doc_2"))

    lines = ask(index)

    assert lines.runbook is not None
    assert lines.runbook.source_id == "doc_1"
    assert "it carries the alert's name" in lines.runbook.reasons


@pytest.mark.parametrize(
    "fields",
    [
        {"urls": ("https://wiki.example.org/pages/17",)},
        {"external_id": "ops/17"},
    ],
)
def test_what_the_alert_links_to_is_strong_evidence(fields: dict[str, Any]) -> None:
    index = index_of(indexed("doc_1", **fields), indexed("doc_2", title="Other"))

    lines = ask(index, alert_names=(), runbook_urls=("https://wiki.example.org/pages/17/",))

    assert lines.runbook is not None
    assert lines.runbook.source_id == "doc_1"


def test_the_page_of_a_sibling_alert_is_a_hint_however_alike_it_reads() -> None:
    text = "The data volume of the store is nearly full"
    index = index_of(indexed("doc_1", title="DiskSlow", body=text))

    lines = ask(index)

    assert [line.source_id for line in lines.runbooks] == ["doc_1"]
    assert lines.runbook is None


def test_a_page_in_prose_is_strong_where_both_legs_agree() -> None:
    text = "DiskFull The data volume of the store is nearly full"
    index = index_of(indexed("doc_1", title="When space runs out", body=text), indexed("doc_2"))

    lines = ask(index)

    assert lines.runbook is not None
    assert lines.runbook.source_id == "doc_1"


def test_without_vectors_words_alone_are_no_strong_evidence() -> None:
    text = "The data volume of the store is nearly full"
    index = index_of(indexed("doc_1", title="When space runs out", body=text))
    asked = evidence.question(
        FindEvidence(context=context(), incident_id="inc_1", title=text), 4_000
    )

    lines = evidence.gather(index, asked, None, 5)

    assert [line.strong for line in lines.runbooks] == [False]


def test_an_incident_is_not_similar_to_itself() -> None:
    incident = {"type": "incident", "kind": "incident", "names": ("DiskFull",)}
    index = index_of(indexed("inc_1", **incident), indexed("inc_2", **incident))

    assert [line.source_id for line in ask(index).similar] == ["inc_2"]


def test_a_review_of_the_same_alert_stands_before_many_like_incidents() -> None:
    text = "The data volume of the store is nearly full"
    incidents = [
        indexed(f"inc_{n}", type="incident", kind="incident", names=("DiskFull",), body=text)
        for n in range(2, 12)
    ]
    learned = indexed("know_1", type="knowledge", kind="troubleshooting", names=("DiskFull",))
    index = index_of(*incidents, learned)

    lines = ask(index)

    assert lines.similar[0].source_id == "know_1"
    assert len(lines.similar) == 5


def test_the_same_labels_decide_between_reviews_of_one_alert() -> None:
    fields: dict[str, Any] = {"type": "knowledge", "kind": "review", "names": ("DiskFull",)}
    index = index_of(
        indexed("know_1", labels={"service": "queue"}, **fields),
        indexed("know_2", labels={"service": "store"}, **fields),
    )

    lines = ask(index, labels={"service": "store", "instance": "db-1"})

    assert [line.source_id for line in lines.similar] == ["know_2", "know_1"]
    assert "same service=store" in lines.similar[0].reasons


@pytest.mark.parametrize("status", ["completed", "cancelled"])
def test_finished_work_is_not_open_work(status: str) -> None:
    text = "Grow the data volume of the store"
    index = index_of(
        indexed("task_1", type="task", kind="task", status="pending", body=text),
        indexed("task_2", type="task", kind="task", status=status, body=text),
    )

    assert [line.source_id for line in ask(index).open_work] == ["task_1"]


def test_an_empty_guild_knows_nothing() -> None:
    assert ask(GuildIndex(384)) == Lines((), (), ())


def test_scores_fall_and_stay_between_zero_and_one() -> None:
    index = index_of(
        indexed("doc_1", title="DiskFull"),
        indexed("doc_2", title="DiskSlow", body="The volume is nearly full"),
        indexed("doc_3", title="Other", body="volume of the store"),
    )

    scores = [line.score for line in ask(index).runbooks]

    assert scores == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
