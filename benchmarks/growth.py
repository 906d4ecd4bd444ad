"""What a guild's index costs as it grows: 10,000, 100,000 and 1,000,000 documents, one thread.

Each size is built from nothing in a process of its own, one behind the other. The first 100,000
documents are real sentences with real embeddings; the others are made by perturbing them.

dense      by meaning alone, the top 10
hundredth  the same among documents with a tag that one in a hundred has
hybrid     by words and by meaning

`--data` names the evaluation data, default $GUILD_EVAL_DATA; without it nothing is measured.
`--sizes` names other sizes, `--real` how many of the documents are real at most.
"""

import argparse
import asyncio
import os
import sys
from functools import partial
from pathlib import Path

import orjson

from benchmarks.frame import Goal, Options, Report, Summary, main
from benchmarks.index_growth.grown import NOISE
from benchmarks.vectors.kept import DOCUMENTS
from benchmarks.vectors.sources import NoData, corpora

SIZES = (10_000, 100_000, 1_000_000)
MILLION_GIB = 24
_QUICK_SIZES = (2_000, 10_000)
_VARIABLE = "GUILD_EVAL_DATA"
_STAGE_S = 7_200.0


async def run(own: argparse.Namespace, options: Options) -> Report:
    """Measures one size behind the other, so that none takes memory from another.

    Raises:
        NoData: the evaluation data is not where it was said to be.
    """
    if own.data is None:
        raise NoData(f"name the evaluation data: --data DIR, or {_VARIABLE}")
    corpora(own.data)
    queries = 100 if options.quick else 1_000
    sizes = own.sizes or (_QUICK_SIZES if options.quick else SIZES)
    found = {size: await _stage(own.data, own.real, size, queries) for size in sizes}
    largest = found.get(SIZES[-1])
    return Report(
        results={
            f"{size} {kind}": {name: Summary.of([value]) for name, value in metrics.items()}
            for size, kinds in found.items()
            for kind, metrics in kinds.items()
        },
        goals=(
            Goal(
                name="million_gib",
                measured=largest["documents"]["peak_gib"] if largest else None,
                at_most=MILLION_GIB,
            ),
        ),
        notes=(f"documents beyond {own.real} are perturbed copies of the real ones",),
        settings={"queries": queries, "noise": NOISE, "real": own.real},
    )


async def _stage(
    data: Path, real: int, documents: int, queries: int
) -> dict[str, dict[str, float]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "benchmarks.index_growth.stage",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    spec = {"data": str(data), "real": real, "documents": documents, "queries": queries}
    try:
        async with asyncio.timeout(_STAGE_S):
            output, _ = await process.communicate(orjson.dumps(spec))
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise RuntimeError(f"{documents} documents: the process ended with {process.returncode}")
    figures: dict[str, dict[str, float]] = orjson.loads(output)
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--data", type=Path, default=os.environ.get(_VARIABLE))
    parser.add_argument("--sizes", type=int, nargs="+", metavar="N")
    parser.add_argument("--real", type=int, default=DOCUMENTS, metavar="N")
    told, rest = parser.parse_known_args()
    try:
        raise SystemExit(main("growth", __doc__, partial(run, told), rest))
    except NoData as error:
        sys.stderr.write(f"data set not present: {error}\n")
        raise SystemExit(2) from None
