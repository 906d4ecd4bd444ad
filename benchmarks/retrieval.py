"""Does a search rank well? Four public collections and the runbooks, labels by others.

Runs chunking, analysis, embedder, index and fusion in this process, without cluster or database,
with the default settings. `--data` names the folder that holds `retrieval/` (each set in BEIR's
form) and `runbooks/`; it is GUILD_EVAL_DATA where that is set. Without data nothing is
measured and the exit status is 2.

Per set and leg: nDCG@10 (linear gain), recall@100, MRR, and for the hybrid ranking the mean share
of the dense leg. A document counts with its best passage. `--quick` measures the runbooks
only. Vectors are made once, about half an hour of one core, and kept in ~/.cache/elders-guild.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

from actors import clock
from actors.embedding.identity import SHIPPED
from actors.index.guild import GuildIndex
from actors.index.passage import Selection, Vector
from actors.rag import evidence
from actors.rag.messages import StoreDocument
from actors.runtime.message import Caller, Context, GuildId
from actors.settings import IndexSettings, JobSettings
from benchmarks import runbooks
from benchmarks.frame import Goal, Options, Report, Summary, main
from benchmarks.progress import Step, shown
from benchmarks.runbooks import Vectors
from cluster.jobs import measures
from cluster.jobs.beir import Dataset, relevant

LEGS = ("lexical", "dense", "hybrid")
GOALS = {"runbooks": 0.87, "cosqa": 0.58, "nl2bash-tldr": 0.41, "cranfield": 0.43, "scifact": 0.72}

_CONTEXT = Context(
    caller=Caller(guild_id=GuildId("benchmark"), principal_id="benchmark"), correlation_id="1"
)
_SETTINGS = IndexSettings()
_DEPTH = 100  # documents that recall looks at
_MAX_LINE_BYTES = JobSettings().max_line_bytes
_TOLERANCE = 0.01  # by which the hybrid ranking may be below the better leg of a set


@dataclass(frozen=True, slots=True, eq=False)
class Collection:
    """A corpus in the index, and what is asked of it.

    Attributes:
        questions: words and text to embed of each query.
        relevant: grades of the documents that answer it, by id; in the order of the questions.
    """

    name: str
    index: GuildIndex
    questions: Sequence[tuple[str, str]]
    relevant: Sequence[Mapping[str, int]]


def beir(folder: Path, vectors: Vectors, step: Step) -> Collection:
    """A set of BEIR's form: corpus.jsonl, queries.jsonl, qrels/*.tsv."""
    step.begin(f"{folder.name}, documents")
    index = GuildIndex(
        SHIPPED.dimension, candidates=_SETTINGS.candidates, fold_rows=_SETTINGS.fold_rows
    )
    now = clock.now()
    dataset = Dataset(folder, max_line_bytes=_MAX_LINE_BYTES)
    for document in step.counted(dataset.corpus()):
        if not (document.title.strip() or document.text.strip()):
            continue
        command = StoreDocument(
            context=_CONTEXT,
            command_id=document.document_id,
            content=document.text or document.title,
            title=document.title,
            external_id=document.document_id,
        )
        runbooks.insert(index, command, document.document_id, vectors, now)
    index.commit()
    judged = relevant(dataset.judgements())
    asked = dataset.queries(judged)
    return Collection(
        folder.name,
        index,
        [(text, text) for text in asked.values()],
        [judged[query_id] for query_id in asked],
    )


def rules(folder: Path, vectors: Vectors, step: Step) -> Collection:
    """The runbooks and the alerting rules, with every alert's name removed from both."""
    step.begin("runbooks, rules")
    hide = runbooks.names_hidden(folder)
    cases = runbooks.rules(folder, hide)
    asked = [evidence.question(case.query, _SETTINGS.max_query_chars) for case in cases]
    return Collection(
        "runbooks",
        runbooks.build(folder, vectors, hide),
        [(one.words, one.meaning) for one in asked],
        [dict.fromkeys(case.right, 1) for case in cases],
    )


def ranked(index: GuildIndex, leg: str, words: str, vector: Vector) -> tuple[list[str], float]:
    """Documents by their best passage, best first, and the share of the dense leg."""
    findings = index.search(
        words,
        None if leg == "lexical" else vector,
        selection=Selection(),
        limit=2 * _SETTINGS.candidates,
        lexical=leg != "dense",
    )
    found = dict.fromkeys(hit.source.source_id for hit in findings.found)
    return list(found)[:_DEPTH], findings.dense_weight


def measure(collection: Collection, vectors: Vectors, step: Step) -> dict[str, dict[str, float]]:
    """Each leg's figures."""
    step.begin(f"{collection.name}, meanings of questions", len(collection.questions))
    asked = list(zip(collection.questions, collection.relevant, strict=True))
    meanings = vectors.of([meaning for (_, meaning), _ in asked])
    judged = {str(number): grades for number, (_, grades) in enumerate(asked)}
    figures: dict[str, dict[str, float]] = {}
    for leg in LEGS:
        step.begin(f"{collection.name}, questions, {leg}", len(asked))
        rows = [
            ranked(collection.index, leg, words, vector)
            for ((words, _), _), vector in step.counted(zip(asked, meanings, strict=True))
        ]
        means = measures.measure(judged, {str(at): found for at, (found, _) in enumerate(rows)})
        figures[leg] = {
            "ndcg_at_10": means["ndcg@10"],
            "recall_at_100": means["recall@100"],
            "mrr": means["mrr"],
            "dense_weight": fmean(weight for _, weight in rows),
        }
    return figures


def goals(
    found: Mapping[str, Mapping[str, Mapping[str, float]]], expected: Iterable[str] = ()
) -> Iterator[Goal]:
    """The bar of each known set; nowhere much below a single leg, and above it on average.

    Args:
        found: the figures of each leg of each set.
        expected: sets that were to be measured; of one that was not, the goals are not met.
    """
    for name in expected:
        if name not in found:
            yield Goal(name=f"{name}_ndcg_at_10", measured=None, at_least=GOALS[name])
            yield Goal(name=f"{name}_over_legs", measured=None, at_least=-_TOLERANCE)
    margins: list[float] = []
    for name, figures in found.items():
        score = {leg: figures[leg]["ndcg_at_10"] for leg in LEGS}
        margins.append(score["hybrid"] - max(score["lexical"], score["dense"]))
        if name in GOALS:
            yield Goal(name=f"{name}_ndcg_at_10", measured=score["hybrid"], at_least=GOALS[name])
        yield Goal(name=f"{name}_over_legs", measured=margins[-1], at_least=-_TOLERANCE)
    yield Goal(name="mean_over_legs", measured=fmean(margins) if margins else None, at_least=0)


def loaders(data: Path) -> list[Callable[[Vectors, Step], Collection]]:
    """One for each collection that is present."""
    found: list[Callable[[Vectors, Step], Collection]] = [
        partial(beir, corpus.parent) for corpus in sorted(data.glob("retrieval/*/corpus.jsonl"))
    ]
    if (data / "runbooks" / "alerts.jsonl").exists():
        found.append(partial(rules, data / "runbooks"))
    return found


async def run(data: Path, options: Options) -> Report:
    """Measures one collection after another; only one is in memory."""
    vectors = Vectors(Path.home() / ".cache" / "elders-guild")
    found: dict[str, dict[str, dict[str, float]]] = {}
    sizes: dict[str, int] = {}
    step = Step("starting")
    with shown(lambda: step):
        for load in loaders(data)[-1:] if options.quick else loaders(data):
            collection = load(vectors, step)
            found[collection.name] = measure(collection, vectors, step)
            sizes[collection.name] = collection.index.passages
            vectors.save()
    return Report(
        results={
            f"{name} {leg}": {metric: Summary.of([value]) for metric, value in metrics.items()}
            for name, figures in found.items()
            for leg, metrics in figures.items()
        },
        goals=tuple(goals(found, () if options.quick else GOALS)),
        settings={"model": SHIPPED.model_id, "passages": sizes},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("GUILD_EVAL_DATA") or "../shared/data")
    )
    own, rest = parser.parse_known_args()
    if not any(own.data.glob("retrieval/*/corpus.jsonl")):
        sys.stderr.write(f"data set not present: {own.data / 'retrieval'}\n")
        raise SystemExit(2)
    raise SystemExit(main("retrieval", __doc__, partial(run, own.data), rest))
