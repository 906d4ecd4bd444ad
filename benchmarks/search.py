"""Nearest passages over HTTP: ours, and what teams use instead. One machine, the same documents.

100,000 real sentences with real embeddings of 384 components; 1,000 others are the queries. The
top 10 with their texts, by 1 and 16 keep-alive clients (c1, c16), among all documents, among those
with a tag that a tenth has, and one that a hundredth has. Recall is against brute force.

ours      the whole stack, signed in: POST /api/v1/rag/search with the caller's vector
chroma    Chroma's own server, its default HNSW in cosine space
pgvector  HNSW in PostgreSQL by asyncpg, at most 8 connections, ef_search for a recall of .98
bare      the limit: FastAPI and FAISS in one process; no login, no filter, nothing is kept

`--data` names the evaluation data, default $GUILD_EVAL_DATA; without it nothing is measured. The
first run embeds for a quarter of an hour and keeps what it made in ~/.cache/elders-guild.
"""

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path

import uvloop

from benchmarks.frame import (
    Contender,
    Goal,
    Measurement,
    Options,
    Report,
    Results,
    Summary,
    interleave,
    main,
)
from benchmarks.search_peers import RECALL, TOP, Peer, Turn, Within, exact
from benchmarks.search_peers.bare import bare
from benchmarks.search_peers.chroma import chroma
from benchmarks.search_peers.guild import guild
from benchmarks.search_peers.hnsw import hnsw
from benchmarks.vectors.kept import DOCUMENTS, Sentences, load
from benchmarks.vectors.model import Flags
from benchmarks.vectors.sources import NoData

OURS, CHROMA, PGVECTOR, BARE = "ours", "chroma", "pgvector", "bare"
CLIENTS = (1, 16)
_VARIABLE = "GUILD_EVAL_DATA"
_QUICK_DOCUMENTS = 20_000
_REST_S = 0.3

Opened = Callable[[Sentences, Path], AbstractAsyncContextManager[Peer]]
CONTENDERS: Mapping[str, Opened] = {OURS: guild, CHROMA: chroma, PGVECTOR: hnsw, BARE: bare}


async def run(own: argparse.Namespace, options: Options) -> Report:
    """Starts all contenders with the same documents, then lets them take turns.

    Raises:
        NoData: the evaluation data is not where it was said to be.
    """
    data, only = own.data, own.only
    if data is None:
        raise NoData(f"name the evaluation data: --data DIR, or {_VARIABLE}")
    count, rounds, seconds = (_QUICK_DOCUMENTS, 1, 2.0) if options.quick else (DOCUMENTS, 5, 4.0)
    count = own.documents or count
    sentences = await asyncio.to_thread(load, data, count)
    right = {
        within: exact.best(sentences.vectors, sentences.queries, TOP, _allowed(sentences, within))
        for within in Within
    }
    async with AsyncExitStack() as opened:
        folder = opened.enter_context(_folder())
        peers = {
            name: await opened.enter_async_context(CONTENDERS[name](sentences, folder))
            for name in only
        }
        asked = {
            _row(name, within): (peer, within)
            for name, peer in peers.items()
            for within in peer.within
        }
        recalls = {
            row: Summary.of([exact.recall(await peer.found(within), right[within])])
            for row, (peer, within) in asked.items()
        }
        measured = await interleave(
            {row: _contender(peer, within, seconds) for row, (peer, within) in asked.items()},
            rounds,
        )
        told = {key: value for peer in peers.values() for key, value in peer.settings.items()}
    results = {row: {"recall": recalls[row], **measured[row]} for row in asked}
    return Report(
        results=results,
        goals=goals(results),
        notes=("rates are searches a second; the clients run in a process of their own",),
        settings={
            "documents": count,
            "queries": len(sentences.queries),
            "sentences_sha256": sentences.digest,
            "rounds": rounds,
            "seconds": seconds,
            "top": TOP,
            **told,
        },
    )


def goals(results: Results) -> tuple[Goal, ...]:
    """What ours promises: rates of 16 clients against the peers', recall, and the longest waits."""

    def of(peer: str, within: Within, metric: str) -> float | None:
        found = results.get(_row(peer, within), {}).get(metric)
        return None if found is None else found.median

    def over(peer: str, within: Within) -> float | None:
        ours, theirs = of(OURS, within, "c16_per_s"), of(peer, within, "c16_per_s")
        return ours / theirs if ours is not None and theirs else None

    recalls = tuple(
        Goal(name=f"{within}_recall", measured=of(OURS, within, "recall"), at_least=RECALL)
        for within in Within
    )
    longest = of(OURS, Within.ALL, "c16_ms_p99")
    return (
        *recalls,
        Goal(name="all_over_chroma", measured=over(CHROMA, Within.ALL), at_least=3),
        Goal(name="all_over_bare", measured=over(BARE, Within.ALL), at_least=0.8),
        Goal(name="tenth_over_chroma", measured=over(CHROMA, Within.TENTH), at_least=30),
        Goal(name="hundredth_over_chroma", measured=over(CHROMA, Within.HUNDREDTH), at_least=30),
        Goal(name="all_c16_ms_p99", measured=longest, at_most=50),
    )


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="guild-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # the account PostgreSQL runs as passes through
        yield folder


def _allowed(sentences: Sentences, within: Within) -> Flags | None:
    return None if within.tag is None else sentences.tags[within.tag]


def _row(peer: str, within: Within) -> str:
    return f"{peer}, {within}"


def _contender(peer: Peer, within: Within, seconds: float) -> Contender:
    async def turn() -> Measurement:
        found: dict[str, float] = {}
        for clients in CLIENTS:
            await asyncio.sleep(_REST_S)
            seen = await peer.measure(Turn(within=within, clients=clients, seconds=seconds))
            if seen["failed"] or seen["unanswered"]:
                raise RuntimeError(f"searches failed: {seen}")
            found[f"c{clients}_per_s"] = seen["rps"]
            found[f"c{clients}_ms_p50"] = seen["p50_ms"]
            found[f"c{clients}_ms_p99"] = seen["p99_ms"]
        return found

    return turn


def _arguments() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", type=Path, default=os.environ.get(_VARIABLE))
    parser.add_argument("--documents", type=int, metavar="N", help="instead of 100000")
    parser.add_argument("--only", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    return parser.parse_known_args()


if __name__ == "__main__":
    uvloop.install()
    own, rest = _arguments()
    try:
        raise SystemExit(main("search", __doc__, partial(run, own), rest))
    except NoData as error:
        sys.stderr.write(f"data set not present: {error}\n")
        raise SystemExit(2) from None
