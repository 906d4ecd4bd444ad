"""The index alone, in this process: how long a search takes in 100,000 passages, by filter.

Vectors are made: points around 2,000 centres, because real text clusters, too. Words are left out.
`exact` looks at every vector; `compressed` is what a guild of this size gets.
"""

import asyncio
import time

import numpy as np

from actors.index.guild import GuildIndex
from actors.index.passage import Passage, Selection, Source, Vector
from benchmarks.frame import (
    Contender,
    Goal,
    Measurement,
    Options,
    Report,
    interleave,
    main,
    percentile,
)

DIMENSION = 384
SEED = 7
FILTERS = {
    "all": Selection(),
    "tenth": Selection(tags=frozenset({"tenth"})),
    "hundredth": Selection(tags=frozenset({"hundredth"})),
}
_TOP = 10
_CENTRES = 2_000
_NEVER = 1 << 40


async def run(options: Options) -> Report:
    """Builds one index of each kind and asks both the same."""
    count, asked = (20_000, 30) if options.quick else (100_000, 100)
    random = np.random.default_rng(SEED)
    vectors, queries = _made(random, count), _made(random, asked)
    indexes = {
        "exact": await asyncio.to_thread(_built, vectors, _NEVER),
        "compressed": await asyncio.to_thread(_built, vectors, 10_000),
    }
    best = {
        name: [_ids(indexes["exact"], query, selection) for query in queries]
        for name, selection in FILTERS.items()
    }

    def contender(index: GuildIndex) -> Contender:
        async def turn() -> Measurement:
            found: dict[str, float] = {}
            for name, selection in FILTERS.items():
                waits, hits = [], 0
                for query, wanted in zip(queries, best[name], strict=True):
                    begun = time.perf_counter()
                    ids = _ids(index, query, selection)
                    waits.append((time.perf_counter() - begun) * 1000)
                    hits += len(set(ids) & set(wanted))
                found[f"{name}_ms_p50"] = percentile(waits, 0.5)
                found[f"{name}_ms_p99"] = percentile(waits, 0.99)
                found[f"{name}_recall"] = hits / sum(map(len, best[name]))
            return found

        return turn

    results = await interleave(
        {name: contender(index) for name, index in indexes.items()}, 1 if options.quick else 3
    )
    ours = results["compressed"]
    recalls = tuple(
        Goal(name=f"{name}_recall", measured=ours[f"{name}_recall"].median, at_least=0.98)
        for name in FILTERS
    )
    return Report(
        results=results,
        goals=recalls,
        notes=("made vectors; one thread; the dense leg and the answer, without words",),
        settings={"passages": count, "queries": asked, "seed": SEED, "top": _TOP},
    )


def _made(random: np.random.Generator, count: int) -> Vector:
    centres = np.random.default_rng(SEED + 1).normal(size=(_CENTRES, DIMENSION))
    points = centres[random.integers(0, _CENTRES, count)]
    points = points + 0.8 * random.normal(size=points.shape)
    made: Vector = (points / np.linalg.norm(points, axis=1, keepdims=True)).astype(np.float32)
    return made


def _built(vectors: Vector, compress_rows: int) -> GuildIndex:
    index = GuildIndex(DIMENSION, compress_rows=compress_rows)
    for number, vector in enumerate(vectors):
        tags = [name for name, every in (("tenth", 10), ("hundredth", 100)) if number % every == 0]
        source = Source(
            source_id=f"doc_{number}",
            type="document",
            version=1,
            title="",
            tags=tuple(tags),
        )
        passage = Passage(
            chunk_id=f"chk_{number}",
            position=0,
            heading="",
            text="",
            char_start=0,
            char_end=0,
            vector=vector,
        )
        index.replace(source, [passage])
    index.commit()
    if (compression := index.compression()) is not None:
        index.compress(compression.build())
    return index


def _ids(index: GuildIndex, query: Vector, selection: Selection) -> list[str]:
    found = index.search("", query, selection=selection, limit=_TOP, lexical=False)
    return [one.source.source_id for one in found.found]


if __name__ == "__main__":
    raise SystemExit(main("index", __doc__, run))
