"""Does an alert find its runbook? 383 real runbooks, alerts as Alertmanager sends them.

Runs chunking, embedder, index and evidence in this process, without cluster or database.
`--data` names the folder that holds `runbooks/`; without that data set nothing is measured.

easy   58 rendered alerts as they are, without their runbook link; 48 have a runbook in the set
hard   the same with every alert's name removed from alerts and runbooks: words and meaning alone
rules  110 alerting rules in the hard form, templates removed
"""

import argparse
import hashlib
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from actors import clock
from actors.embedding.identity import active
from actors.embedding.model import MiniLm
from actors.index.guild import GuildIndex
from actors.index.passage import Vector
from actors.rag import domain, evidence
from actors.rag.messages import FindEvidence, StoreDocument
from actors.runtime.message import Caller, Context, GuildId
from actors.settings import EmbeddingSettings, IndexSettings
from benchmarks.frame import Goal, Options, Report, Summary, main

_DATA = Path("../shared/data")
_LINES = 10
_SAVED_TOGETHER = 500  # texts; what an interrupted run loses at most
_CONTEXT = Context(
    caller=Caller(guild_id=GuildId("benchmark"), principal_id="benchmark"), correlation_id="1"
)
_SETTINGS = IndexSettings()
_MODEL = active(EmbeddingSettings())
_TEMPLATE = re.compile(r"\{\{.*?\}\}")

Hide = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Case:
    """An alert, and the runbooks that are right for it; none where the set has none."""

    query: FindEvidence
    right: frozenset[str]


class Vectors:
    """The model behind a cache on disk, by digest of the text: embedding takes minutes, once."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / f"{_MODEL.model_id}.npz"
        self._known: dict[str, Vector] = {}
        if self._file.exists():
            with np.load(self._file) as kept:
                self._known = dict(zip(kept["keys"].tolist(), kept["vectors"], strict=True))
        self._model: MiniLm | None = None
        self._unsaved = 0

    def of(self, texts: Sequence[str]) -> list[Vector]:
        """One vector a text."""
        keys = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}
        for start in range(0, len(new), _SAVED_TOGETHER):
            part = list(new)[start : start + _SAVED_TOGETHER]
            self._model = self._model or MiniLm()
            made = self._model.embed([new[key] for key in part])
            self._known.update(zip(part, made, strict=True))
            self._unsaved += len(part)
            if self._unsaved >= _SAVED_TOGETHER:
                self.save()
        return [self._known[key] for key in keys]

    def save(self) -> None:
        """Keeps what was made; a reader sees the whole file or the one before."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._file.with_suffix(f".{os.getpid()}.npz")
        np.savez(fresh, keys=np.array([*self._known]), vectors=np.stack([*self._known.values()]))
        fresh.replace(self._file)
        self._unsaved = 0


def names_hidden(data: Path) -> Hide:
    """A function that removes the name of every alert and runbook of the data set."""
    names = {path.stem for path in _pages(data)}
    names |= {rule["alert"] for rule in lines(data / "alerts.jsonl")}
    names |= {alert["alertname"] for alert in lines(data / "alerts_rendered.jsonl")}
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    return partial(re.compile("|".join(map(re.escape, longest_first))).sub, " ")


def build(data: Path, vectors: Vectors, hide: Hide | None = None) -> GuildIndex:
    """The index of the runbooks, as the RAG sage would build it; source id = path without .md."""
    index = GuildIndex(
        _MODEL.dimension, candidates=_SETTINGS.candidates, fold_rows=_SETTINGS.fold_rows
    )
    now = clock.now()
    for path in _pages(data):
        source_id = str(path.relative_to(data / "runbooks").with_suffix(""))
        content = path.read_text(encoding="utf-8")
        command = StoreDocument(
            context=_CONTEXT,
            command_id=source_id,
            content=hide(content) if hide else content,
            external_id=source_id if hide is None else None,
            kind="runbook",
        )
        insert(index, command, source_id, vectors, now)
    index.commit()
    return index


def insert(
    index: GuildIndex, command: StoreDocument, source_id: str, vectors: Vectors, now: datetime
) -> None:
    """Puts a document into the index, as the RAG sage would; the index is not committed."""
    filled = domain.parse(command, _SETTINGS.max_document_chars)
    source = domain.source_of(domain.store(None, filled, source_id, now))
    chunks = domain.chunks(source, _SETTINGS.chunk_max_words, now)
    made = vectors.of([chunk.to_embed for chunk in chunks])
    passages = [
        domain.passage_of(chunk, vector) for chunk, vector in zip(chunks, made, strict=True)
    ]
    index.replace(domain.searchable(source), passages)


def rendered(data: Path, hide: Hide | None = None) -> list[Case]:
    """The alerts as they arrive; with ``hide`` without any name."""
    cases = []
    for alert in lines(data / "alerts_rendered.jsonl"):
        notes = alert["annotations"]
        labels = {name: value for name, value in alert["labels"].items() if name != "alertname"}
        query = FindEvidence(
            context=_CONTEXT,
            incident_id=alert["_id"],
            title=_maybe(hide, notes.get("summary", "")),
            description=_maybe(hide, notes.get("description", "")),
            alert_names=() if hide else (alert["alertname"],),
            labels=labels,
            limit=_LINES,
        )
        cases.append(Case(query, frozenset({alert["runbook"]} if alert.get("runbook") else ())))
    return cases


def rules(data: Path, hide: Hide) -> list[Case]:
    """The alerting rules in the hard form."""
    return [
        Case(
            FindEvidence(
                context=_CONTEXT,
                incident_id=rule["_id"],
                title=hide(rule["summary_plain"]),
                description=hide(rule["description_plain"]),
                limit=_LINES,
            ),
            frozenset({rule["runbook"]}),
        )
        for rule in lines(data / "alerts.jsonl")
    ]


def judge(index: GuildIndex, cases: Iterable[Case], vectors: Vectors) -> Mapping[str, float]:
    """Shares over the cases that have a runbook, and false alarms over those that have none."""
    ranks: list[int] = []
    strong = false_strong = without = wrong = 0
    for case in cases:
        asked = evidence.question(case.query, _SETTINGS.max_query_chars)
        gathered = evidence.gather(index, asked, vectors.of([asked.meaning])[0], _LINES)
        found = [line.source_id for line in gathered.runbooks]
        best = gathered.runbook
        if not case.right:
            without += 1
            false_strong += best is not None
            continue
        ranks.append(next((n for n, one in enumerate(found, 1) if one in case.right), 0))
        strong += best is not None
        wrong += best is not None and not _same_page(best.source_id, case.right)
    count = len(ranks)
    gains = [1 / np.log2(rank + 1) for rank in ranks if rank]
    return {
        "alerts": count,
        "hit_at_1": sum(rank == 1 for rank in ranks) / count,
        "hit_at_3": sum(1 <= rank <= 3 for rank in ranks) / count,
        "ndcg_at_10": float(sum(gains)) / count,
        "strong_share": strong / count,
        "wrong_strong": wrong,
        "without_runbook": without,
        "false_strong": false_strong,
    }


def _same_page(found: str, right: frozenset[str]) -> bool:
    """Several vendors keep a page of the same name; either is an answer."""
    return found.rsplit("/", 1)[-1] in {one.rsplit("/", 1)[-1] for one in right}


def _pages(data: Path) -> list[Path]:
    return sorted((data / "runbooks").rglob("*.md"))


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _maybe(hide: Hide | None, text: str) -> str:
    return _TEMPLATE.sub(" ", hide(text) if hide else text)


async def run(data: Path, options: Options) -> Report:
    """Measures the three forms; ``--quick`` only the first."""
    vectors = Vectors(Path.home() / ".cache" / "elders-guild")
    found = {"easy": judge(build(data, vectors), rendered(data), vectors)}
    if not options.quick:
        hide = names_hidden(data)
        index = build(data, vectors, hide)
        found["hard"] = judge(index, rendered(data, hide), vectors)
        found["rules"] = judge(index, rules(data, hide), vectors)
    vectors.save()
    easy, hard_rules = found["easy"], found.get("rules", {})
    goals = [
        Goal(name="easy_hit_at_3", measured=easy["hit_at_3"], at_least=0.9),
        Goal(name="easy_false_strong", measured=easy["false_strong"], at_most=0),
    ]
    if hard_rules:  # an untuned half-and-half fusion of the same legs is the bar
        goals += [
            Goal(name="rules_hit_at_1", measured=hard_rules["hit_at_1"], at_least=0.736),
            Goal(name="rules_ndcg_at_10", measured=hard_rules["ndcg_at_10"], at_least=0.863),
        ]
    return Report(
        results={
            form: {metric: Summary.of([value]) for metric, value in metrics.items()}
            for form, metrics in found.items()
        },
        goals=tuple(goals),
        settings={"runbooks": len(_pages(data)), "model": _MODEL.model_id},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", type=Path, default=_DATA)
    own, rest = parser.parse_known_args()
    folder = own.data / "runbooks"
    if not (folder / "alerts.jsonl").exists():
        sys.stdout.write(f"data set not present: {folder}\n")
        raise SystemExit(0)
    raise SystemExit(main("runbooks", __doc__, partial(run, folder), rest))
