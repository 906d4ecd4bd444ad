"""How fast texts come to be found by their meaning, over HTTP, beside what the embedder can do.

Real abstracts, each one passage, by turns: embedded in this process as a member embeds its backlog,
and stored over HTTP without vectors until a search by meaning at the last position is answered.
The stack runs all the while, so that what it takes when nobody asks is taken from both.

embedder   passages a second, the model alone, on as many threads as the pool has
guild      the same number, stored, embedded and searchable by their meaning

`--data` names the evaluation data, default $GUILD_EVAL_DATA; without it nothing is measured.
"""

import argparse
import asyncio
import itertools
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from actors.embedding.model import MiniLm
from actors.embedding.threads import ThreadedModel
from actors.settings import EmbeddingSettings, IndexSettings
from benchmarks import local_stack
from benchmarks.embedding import load
from benchmarks.frame import Goal, Measurement, Options, Report, interleave, main
from cluster.api import Api

SHARE = 0.9
_SET = "cranfield"
_CLAIM = IndexSettings().embed_claim
_BATCH = 64
_PATIENCE_S = 600.0


class Texts:
    """Passages that nobody has embedded: what is known by its digest is not embedded again."""

    def __init__(self, passages: Sequence[str]) -> None:
        self._passages = itertools.cycle(passages)
        self._numbers = itertools.count()

    def take(self, count: int) -> list[str]:
        """So many, each another one."""
        return [f"{next(self._numbers)}. {next(self._passages)}" for _ in range(count)]


async def run(data: Path, options: Options) -> Report:
    """Both by turns, on one stack."""
    count, rounds = (64, 1) if options.quick else (256, 5)
    texts = Texts((await asyncio.to_thread(load, data, _SET)).passages)
    embedder = ThreadedModel(await asyncio.to_thread(MiniLm), EmbeddingSettings())
    with tempfile.TemporaryDirectory(prefix="guild-bench-") as name:
        await asyncio.to_thread(Path(name).chmod, 0o755)
        with local_stack.started(Path(name) / "guild") as stack:
            async with local_stack.signed_in(stack, patience_s=_PATIENCE_S) as api:
                await stored(api, texts.take(_CLAIM))  # first requests look actors up
                await alone(embedder, texts.take(_CLAIM))
                results = await interleave(
                    {
                        "embedder": lambda: alone(embedder, texts.take(count)),
                        "guild": lambda: stored(api, texts.take(count)),
                    },
                    rounds,
                )
    await embedder.close()
    rates = {name: results[name]["passages_a_second"].median for name in results}
    return Report(
        results=results,
        goals=(
            Goal(
                name="guild_over_embedder",
                measured=rates["guild"] / rates["embedder"],
                at_least=SHARE,
            ),
        ),
        settings={"passages": count, "rounds": rounds, "set": _SET, "batch": _BATCH},
    )


async def alone(embedder: ThreadedModel, texts: Sequence[str]) -> Measurement:
    """The model's own rate, by claims as the backlog makes them."""
    begun = time.perf_counter()
    await asyncio.gather(
        *(embedder.embed(part, urgent=False) for part in parts(texts, _CLAIM)),
    )
    return {"passages_a_second": len(texts) / (time.perf_counter() - begun)}


async def stored(api: Api, texts: Sequence[str]) -> Measurement:
    """From the first request to the answer of a search by meaning that knows all of them."""
    begun = time.perf_counter()
    passages, position = 0, None
    for part in parts(texts, _BATCH):
        documents = [{"content": text, "content_type": "text/plain"} for text in part]
        reply = await api.post("/rag/documents:batch", {"documents": documents})
        if reply.body["failed"]:
            raise RuntimeError(f"documents were refused: {reply.body}")
        passages += sum(item["document"]["chunk_count"] for item in reply.body["items"])
        position = reply.position
    consistency = {"min_position": position, "legs": ["dense"], "timeout_ms": 10_000}
    await api.post(
        "/rag/search",
        {"query": texts[-1][:200], "mode": "dense", "top_k": 1, "consistency": consistency},
    )
    return {"passages_a_second": passages / (time.perf_counter() - begun)}


def parts(texts: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    """In order, each of at most ``size``."""
    return (texts[begin : begin + size] for begin in range(0, len(texts), size))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", type=Path, default=os.environ.get("GUILD_EVAL_DATA"))
    own, rest = parser.parse_known_args()
    if own.data is None or not (own.data / "retrieval" / _SET).is_dir():
        sys.stderr.write(f"data set not present: {own.data}\n")
        raise SystemExit(2)
    raise SystemExit(main("texts", __doc__, partial(run, own.data), rest))
