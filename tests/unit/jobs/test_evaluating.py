"""A run of an evaluation: the corpus once, every question in each mode, the corpus gone after."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from actors.settings import GuildSettings, JobSettings
from cluster.jobs import asking
from cluster.jobs.beir import Dataset
from cluster.jobs.evaluating import Evaluation, Plan, evaluate
from cluster.jobs.report import Report
from cluster.problem import StackProblem
from tests.fixtures.documents_guild import DocumentsGuild
from tests.fixtures.labelled import write_parts

SILENT = Console(file=io.StringIO())
TEXTS = {"d1": "disk full", "d2": "disk", "d3": "pool", "d4": ""}
QUERIES = {"q1": "disk full", "q2": "pool"}
RIGHT = [("q1", "d2", 1), ("q2", "d3", 1), ("q2", "d4", 1)]


@pytest.fixture
def guild() -> DocumentsGuild:
    return DocumentsGuild()


@pytest.fixture
def config(tmp_path: Path) -> GuildSettings:
    return GuildSettings(jobs=JobSettings(state_dir=tmp_path / "state", batch_linger_s=0.01))


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    corpus, queries = (
        [{"_id": name, "text": text} for name, text in texts.items()] for texts in (TEXTS, QUERIES)
    )
    folder = write_parts(tmp_path / "set", corpus, queries, RIGHT)
    return Dataset(folder, max_line_bytes=1_000)


async def run(guild: DocumentsGuild, plan: Plan, config: GuildSettings) -> Evaluation:
    result = Evaluation(corpus=Report(errors_listed=10))
    async with guild.api() as api:
        await evaluate(plan, config, api, result, SILENT)
    return result


async def test_each_mode_is_measured_and_what_cannot_be_found_is_said(
    guild: DocumentsGuild, dataset: Dataset, config: GuildSettings
) -> None:
    result = await run(guild, Plan(dataset=dataset), config)

    row = {
        "ndcg@10": pytest.approx((0.63093 + 0.61315) / 2, abs=1e-4),
        "recall@100": 0.75,
        "mrr": 0.75,
    }
    assert result.measures == {"lexical": row, "dense": row, "hybrid": row}
    assert (result.corpus.created, result.corpus.skipped) == (3, 1)
    assert result.notes == [
        "1 documents have no text",
        "1 of 3 relevant documents are not in the guild: never found",
    ]


async def test_a_second_run_only_asks_and_cleans_when_it_is_told_to(
    guild: DocumentsGuild, dataset: Dataset, config: GuildSettings
) -> None:
    first = await run(guild, Plan(dataset=dataset), config)
    second = await run(guild, Plan(dataset=dataset, clean=True), config)

    assert second.measures == first.measures
    assert (second.corpus.created, second.corpus.unchanged) == (0, 3)
    assert len(guild.names()) == 3
    assert all(kept["deleted"] for kept in guild.documents.values())


@pytest.mark.parametrize(("forgotten", "counts"), [(True, (3, 0, 0)), (False, (0, 1, 2))])
async def test_what_the_guild_lost_is_noticed_and_sent_again(
    guild: DocumentsGuild,
    dataset: Dataset,
    config: GuildSettings,
    forgotten: bool,
    counts: tuple[int, int, int],
) -> None:
    first = await run(guild, Plan(dataset=dataset), config)
    if forgotten:
        guild.documents.clear()
    else:
        next(iter(guild.documents.values()))["deleted"] = True

    second = await run(guild, Plan(dataset=dataset), config)

    corpus = second.corpus
    assert second.measures == first.measures
    assert (corpus.created, corpus.updated, corpus.unchanged) == counts
    assert "the guild has lost what it had confirmed: all of it is sent again" in second.notes


async def test_all_is_sent_again_where_that_is_asked_for(
    guild: DocumentsGuild, dataset: Dataset, config: GuildSettings
) -> None:
    await run(guild, Plan(dataset=dataset), config)

    again = await run(guild, Plan(dataset=dataset, again=True), config)

    assert (again.corpus.created, again.corpus.unchanged) == (0, 3)
    assert len(guild.names()) == 6


async def test_a_sample_is_asked_in_each_mode_about_this_corpus_alone(
    guild: DocumentsGuild, dataset: Dataset, config: GuildSettings
) -> None:
    await run(guild, Plan(dataset=dataset, limit=1), config)

    (tags,) = {tuple(body["filters"]["tags"]) for body in guild.asked}
    assert [body["mode"] for body in guild.asked] == ["lexical", "dense", "hybrid"]
    assert {tuple(kept["body"]["tags"]) for kept in guild.documents.values()} == {tags}
    assert {body["top_k"] for body in guild.asked} == {100}


async def test_an_answer_without_vectors_is_asked_for_again_and_noted_in_the_end(
    guild: DocumentsGuild,
    dataset: Dataset,
    config: GuildSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(asking, "_PAUSE_S", 0.0)
    guild.without_vectors = 3
    patient = await run(guild, Plan(dataset=dataset), config)
    guild.without_vectors = 10_000
    hopeless = await run(guild, Plan(dataset=dataset), config)

    assert len(patient.notes) == 2
    assert "4 answers came without vectors" in hopeless.notes


async def test_a_document_that_is_refused_is_in_the_report(
    guild: DocumentsGuild, dataset: Dataset, config: GuildSettings
) -> None:
    tag = f"eval-{dataset.digest()[:16]}"
    guild.items = {f"evaluation/{tag}/d1": [422]}

    result = await run(guild, Plan(dataset=dataset), config)

    assert result.corpus.errors == [("d1", "refused 422")]
    assert result.corpus.complete


async def test_a_malformed_corpus_ends_the_run_with_its_line(
    guild: DocumentsGuild, dataset: Dataset, config: GuildSettings
) -> None:
    with (dataset.folder / "corpus.jsonl").open("a") as lines:
        lines.write("\n{")

    with pytest.raises(StackProblem, match=r"corpus\.jsonl:5: no JSON"):
        await run(guild, Plan(dataset=dataset), config)
