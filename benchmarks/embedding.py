"""The embedder alone, in this process: one text, many texts, and a query beside many texts.

Each arithmetic of the local model takes its turn. With `--data`, or where `GUILD_EVAL_DATA` says,
the quality of its vectors alone is measured, too, on Cranfield and on the 2,000 functions of CoSQA
that hold every labelled one; that takes ten minutes.

ms_12, ms_40, ms_256   processor time of one run, by tokens
query_*                a query's wait in the service while the backlog runs, nothing remembered
cosine_min             against float32, over the passages of both sets
"""

import argparse
import asyncio
import hashlib
import os
import random
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from zipfile import BadZipFile

import numpy as np

from actors import clock
from actors.embedding.messages import Vectors
from actors.embedding.model import MiniLm
from actors.embedding.threads import ThreadedModel, background_threads
from actors.rag import domain
from actors.rag.messages import StoreDocument
from actors.runtime.message import Caller, Context, GuildId
from actors.settings import Arithmetic, EmbeddingSettings, IndexSettings, JobSettings
from benchmarks.frame import Goal, Measurement, Options, Report, Summary, main, percentile
from cluster.jobs.beir import CorpusDocument, Dataset, Judgements, relevant
from cluster.jobs.measures import measure

_SEED = 7
_TOKENS = (12, 40, 256)
_CLAIM = IndexSettings().embed_claim
_SETS = ("cranfield", "cosqa")
_COSQA = 2_000
_CONTEXT = Context(
    caller=Caller(guild_id=GuildId("benchmark"), principal_id="benchmark"), correlation_id="1"
)
_WORDS = ("disk", "queue", "order", "shop", "full", "node", "alert", "memory", "retry", "volume")


@dataclass(frozen=True, slots=True)
class Labelled:
    """A data set, cut as the RAG sage cuts it.

    Attributes:
        owners: document of each passage.
        passages: what the embedder reads.
        queries: their texts by id.
        labels: grade by document, of each query.
    """

    name: str
    owners: Sequence[str]
    passages: Sequence[str]
    queries: Mapping[str, str]
    labels: Judgements


async def run(data: Path | None, options: Options) -> Report:
    """Measures every arithmetic; the quality only with data, and not with ``--quick``."""
    sets = [] if data is None or options.quick else [load(data, name) for name in _SETS]
    found = {one.value: await _measured(one, quick=options.quick) for one in Arithmetic}
    results = {
        name: {metric: Summary.of([value]) for metric, value in metrics.items()}
        for name, metrics in found.items()
    }
    goals = [
        Goal(
            name="int8_texts_a_second_over_float32",
            measured=found["int8"]["texts_a_second"] / found["float32"]["texts_a_second"],
            at_least=1.1,
        )
    ]
    lost: float | None = None
    if sets:
        quality = {one.value: _quality(one, sets) for one in Arithmetic}
        lost = fmean(
            quality["float32"][f"ndcg_at_10_{one.name}"] - quality["int8"][f"ndcg_at_10_{one.name}"]
            for one in sets
        )
        for name, metrics in quality.items():
            results[f"{name}, quality"] = {
                metric: Summary.of([value]) for metric, value in metrics.items()
            }
    if not options.quick:
        goals.append(Goal(name="int8_ndcg_lost", measured=lost, at_most=0.003))
    return Report(
        results=results,
        goals=tuple(goals),
        settings={"background_threads": background_threads(EmbeddingSettings())},
    )


async def _measured(arithmetic: Arithmetic, *, quick: bool) -> Measurement:
    begun = time.perf_counter()
    model = MiniLm(arithmetic)
    found = {"load_s": time.perf_counter() - begun}
    dice = random.Random(_SEED)  # noqa: S311 - texts, not secrets
    for tokens in _TOKENS:
        found[f"ms_{tokens}"] = _least_ms(model, _text(dice, tokens - 2), 3 if quick else 20)
    messages = [
        [_text(dice, dice.randrange(40, 200)) for _ in range(4 if quick else _CLAIM)]
        for _ in range(4 if quick else 12)
    ]
    queries = [_text(dice, dice.randrange(5, 15)) for _ in range(20 if quick else 200)]
    threads = background_threads(EmbeddingSettings())
    for name, number in (("one_thread_", 1), ("", threads)):
        embedder = ThreadedModel(model, EmbeddingSettings(background_threads=number))
        found |= {
            f"{name}{metric}": one
            for metric, one in (await _backlog(embedder, messages, queries)).items()
        }
        await embedder.close()
    return found


async def _backlog(
    embedder: ThreadedModel, messages: Sequence[Sequence[str]], queries: Sequence[str]
) -> Measurement:
    """Texts a second without anybody else, then the waits of queries beside the same texts."""
    begun = time.perf_counter()
    await _all(embedder, messages)
    rate = sum(map(len, messages)) / (time.perf_counter() - begun)
    busy = asyncio.create_task(_all(embedder, messages))
    waits = []
    for query in queries:
        if busy.done():
            break
        asked = time.perf_counter()
        await embedder.embed([query], urgent=True)
        waits.append((time.perf_counter() - asked) * 1000)
        await asyncio.sleep(0.02)
    await busy
    return {
        "texts_a_second": rate,
        "query_ms_p50": percentile(waits, 0.5),
        "query_ms_p99": percentile(waits, 0.99),
    }


async def _all(embedder: ThreadedModel, messages: Sequence[Sequence[str]]) -> None:
    await asyncio.gather(*(embedder.embed(texts, urgent=False) for texts in messages))


def _least_ms(model: MiniLm, text: str, runs: int) -> float:
    found = []
    for _ in range(runs):
        begun = time.process_time()
        model.embed([text])
        found.append((time.process_time() - begun) * 1000)
    return min(found)


def _text(dice: random.Random, tokens: int) -> str:
    return " ".join(dice.choices(_WORDS, k=tokens))


def load(data: Path, name: str) -> Labelled:
    """One set of ``data/retrieval``; of CoSQA the labelled documents and others up to 2,000."""
    dataset = Dataset(data / "retrieval" / name, max_line_bytes=JobSettings().max_line_bytes)
    labels = dataset.judgements()
    documents = [one for one in dataset.corpus() if one.text.strip()]
    if name == "cosqa":
        wanted = {document for grades in labels.values() for document in grades}
        documents = sorted(documents, key=lambda one: one.document_id not in wanted)[:_COSQA]
    pairs = [(one.document_id, text) for one in documents for text in _passages(one)]
    return Labelled(
        name=name,
        owners=[owner for owner, _ in pairs],
        passages=[text for _, text in pairs],
        queries=dataset.queries(labels),
        labels=labels,
    )


def ndcg(labelled: Labelled, passages: Vectors, queries: Vectors) -> float:
    """Mean nDCG@10 when a document is as near as its nearest passage."""
    judged = relevant(labelled.labels)
    found: dict[str, list[str]] = {}
    for query, vector in zip(labelled.queries, queries, strict=True):
        if query not in judged:
            continue
        best: dict[str, float] = {}
        for owner, score in zip(labelled.owners, (passages @ vector).tolist(), strict=True):
            best[owner] = max(score, best.get(owner, -1.0))
        found[query] = sorted(best, key=lambda owner: -best[owner])[:10]
    return measure(judged, found)["ndcg@10"]


def _quality(arithmetic: Arithmetic, sets: Sequence[Labelled]) -> Measurement:
    found: dict[str, float] = {}
    for one in sets:
        passages, queries = _vectors(arithmetic, one)
        found[f"ndcg_at_10_{one.name}"] = ndcg(one, passages, queries)
        reference, _ = _vectors(Arithmetic.FLOAT32, one)
        found[f"cosine_min_{one.name}"] = float(np.sum(passages * reference, axis=1).min())
    return found


def _vectors(arithmetic: Arithmetic, labelled: Labelled) -> tuple[Vectors, Vectors]:
    """Of passages and queries; made once and kept outside the checkout."""
    model = MiniLm(arithmetic)
    folder = Path.home() / ".cache" / "elders-guild"
    file = folder / f"{model.identity.model_id}-{labelled.name}.npz"
    texts = [*labelled.passages, *labelled.queries.values()]
    digest = hashlib.sha256("\0".join(texts).encode()).hexdigest()
    vectors = kept(file, digest)
    if vectors is None:
        vectors = model.embed(texts)
        folder.mkdir(parents=True, exist_ok=True)
        fresh = file.with_suffix(f".{os.getpid()}.npz")  # who reads sees the former one, or this
        np.savez(fresh, digest=np.array(digest), vectors=vectors)
        fresh.replace(file)
    return vectors[: len(labelled.passages)], vectors[len(labelled.passages) :]


def kept(file: Path, digest: str) -> Vectors | None:
    """The vectors of just these texts, if they are there and whole."""
    if not file.exists():
        return None
    try:
        with np.load(file) as found:
            vectors: Vectors = found["vectors"]
            return vectors if found["digest"] == digest else None
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None  # the rest of a run that was killed while it wrote


def _passages(document: CorpusDocument) -> list[str]:
    settings, now = IndexSettings(), clock.now()
    command = StoreDocument(
        context=_CONTEXT,
        command_id=document.document_id,
        content=document.text,
        title=document.title[: domain.MAX_TITLE],
        external_id=document.document_id,
    )
    filled = domain.parse(command, settings.max_document_chars)
    source = domain.source_of(domain.store(None, filled, document.document_id, now))
    return [chunk.to_embed for chunk in domain.chunks(source, settings.chunk_max_words, now)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", type=Path, default=os.environ.get("GUILD_EVAL_DATA"))
    own, rest = parser.parse_known_args()
    if own.data is not None and not (own.data / "retrieval" / "cranfield").is_dir():
        sys.stderr.write(f"data set not present: {own.data}\n")
        raise SystemExit(2)
    raise SystemExit(main("embedding", __doc__, partial(run, own.data), rest))
