"""Does a search rank well? Four public collections and the runbooks, labels by others.

Runs chunking, analysis, embedder, index and fusion in this process, without cluster or database,
with the default settings. `--data` names the folder that holds `retrieval/` (each set in BEIR's
form) and `runbooks/`; it is GUILD_EVAL_DATA where that is set. Without data nothing is measured.

Per set and leg: nDCG@10 (linear gain), recall@100, MRR, and for the hybrid ranking the mean share
of the dense leg. A document counts with its best passage. `--quick` measures the runbooks
only. Vectors are made once, about half an hour of one core, and kept in ~/.cache/elders-guild.
"""

import argparse
import csv
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

import numpy as np

from actors import clock
from actors.embedding.identity import SHIPPED
from actors.index.guild import GuildIndex
from actors.index.passage import Selection, Vector
from actors.rag import evidence
from actors.rag.messages import StoreDocument
from actors.runtime.message import Caller, Context, GuildId
from actors.settings import IndexSettings
from benchmarks import runbooks
from benchmarks.frame import Goal, Options, Report, Summary, main
from benchmarks.runbooks import Vectors

LEGS = ("lexical", "dense", "hybrid")
GOALS = {"runbooks": 0.87, "cosqa": 0.58, "nl2bash-tldr": 0.41, "cranfield": 0.43, "scifact": 0.72}

_CONTEXT = Context(
    caller=Caller(guild_id=GuildId("benchmark"), principal_id="benchmark"), correlation_id="1"
)
_SETTINGS = IndexSettings()
_DEPTH = 100  # documents that recall looks at
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


def beir(folder: Path, vectors: Vectors) -> Collection:
    """A set of BEIR's form: corpus.jsonl, queries.jsonl, qrels/*.tsv."""
    index = GuildIndex(
        SHIPPED.dimension, candidates=_SETTINGS.candidates, fold_rows=_SETTINGS.fold_rows
    )
    now = clock.now()
    for line in runbooks.lines(folder / "corpus.jsonl"):
        if not (line["title"].strip() or line["text"].strip()):
            continue
        command = StoreDocument(
            context=_CONTEXT,
            command_id=line["_id"],
            content=line["text"] or line["title"],
            title=line["title"],
            external_id=line["_id"],
        )
        runbooks.insert(index, command, line["_id"], vectors, now)
    index.commit()
    relevant: dict[str, dict[str, int]] = {}
    for path in sorted((folder / "qrels").glob("*.tsv")):
        with path.open(encoding="utf-8", newline="") as rows:
            for row in csv.DictReader(rows, delimiter="\t"):
                if int(row["score"]) > 0:
                    relevant.setdefault(row["query-id"], {})[row["corpus-id"]] = int(row["score"])
    asked = [line for line in runbooks.lines(folder / "queries.jsonl") if line["_id"] in relevant]
    return Collection(
        folder.name,
        index,
        [(line["text"], line["text"]) for line in asked],
        [relevant[line["_id"]] for line in asked],
    )


def rules(folder: Path, vectors: Vectors) -> Collection:
    """The runbooks and the alerting rules, with every alert's name removed from both."""
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


def ndcg(found: Sequence[str], grades: Mapping[str, int], depth: int = 10) -> float:
    """Normalised discounted cumulative gain, linear in the grade as in trec_eval."""
    discounts = 1 / np.log2(np.arange(2, depth + 2))
    gains = np.array([grades.get(one, 0) for one in found[:depth]], dtype=float)
    best = np.array(sorted(grades.values(), reverse=True)[:depth], dtype=float)
    return float(gains @ discounts[: len(gains)] / (best @ discounts[: len(best)]))


def measure(collection: Collection, vectors: Vectors) -> dict[str, dict[str, float]]:
    """Each leg's figures."""
    asked = list(zip(collection.questions, collection.relevant, strict=True))
    meanings = vectors.of([meaning for (_, meaning), _ in asked])
    figures: dict[str, dict[str, float]] = {}
    for leg in LEGS:
        rows = [
            (*ranked(collection.index, leg, words, vector), grades)
            for ((words, _), grades), vector in zip(asked, meanings, strict=True)
        ]
        figures[leg] = {
            "ndcg_at_10": fmean(ndcg(found, grades) for found, _, grades in rows),
            "recall_at_100": fmean(
                len(grades.keys() & set(found)) / len(grades) for found, _, grades in rows
            ),
            "mrr": fmean(_reciprocal_rank(found, grades) for found, _, grades in rows),
            "dense_weight": fmean(weight for _, weight, _ in rows),
        }
    return figures


def goals(found: Mapping[str, Mapping[str, Mapping[str, float]]]) -> Iterator[Goal]:
    """The bar of each known set; nowhere much below a single leg, and above it on average."""
    margins: list[float] = []
    for name, figures in found.items():
        score = {leg: figures[leg]["ndcg_at_10"] for leg in LEGS}
        margins.append(score["hybrid"] - max(score["lexical"], score["dense"]))
        if name in GOALS:
            yield Goal(name=f"{name}_ndcg_at_10", measured=score["hybrid"], at_least=GOALS[name])
        yield Goal(name=f"{name}_over_legs", measured=margins[-1], at_least=-_TOLERANCE)
    yield Goal(name="mean_over_legs", measured=fmean(margins), at_least=0)


def loaders(data: Path) -> list[Callable[[Vectors], Collection]]:
    """One for each collection that is present."""
    found: list[Callable[[Vectors], Collection]] = [
        partial(beir, corpus.parent) for corpus in sorted(data.glob("retrieval/*/corpus.jsonl"))
    ]
    if (data / "runbooks" / "alerts.jsonl").exists():
        found.append(partial(rules, data / "runbooks"))
    return found


def _reciprocal_rank(found: Sequence[str], grades: Mapping[str, int]) -> float:
    return next((1 / rank for rank, one in enumerate(found, start=1) if one in grades), 0.0)


async def run(data: Path, options: Options) -> Report:
    """Measures one collection after another; only one is in memory."""
    vectors = Vectors(Path.home() / ".cache" / "elders-guild")
    found: dict[str, dict[str, dict[str, float]]] = {}
    sizes: dict[str, int] = {}
    for load in loaders(data)[-1:] if options.quick else loaders(data):
        collection = load(vectors)
        found[collection.name] = measure(collection, vectors)
        sizes[collection.name] = collection.index.passages
        vectors.save()
    return Report(
        results={
            f"{name} {leg}": {metric: Summary.of([value]) for metric, value in metrics.items()}
            for name, figures in found.items()
            for leg, metrics in figures.items()
        },
        goals=tuple(goals(found)),
        settings={"model": SHIPPED.model_id, "passages": sizes},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("GUILD_EVAL_DATA") or "../shared/data")
    )
    own, rest = parser.parse_known_args()
    if not any(own.data.glob("retrieval/*/corpus.jsonl")):
        sys.stdout.write(f"data set not present: {own.data / 'retrieval'}\n")
        raise SystemExit(1)
    raise SystemExit(main("retrieval", __doc__, partial(run, own.data), rest))
