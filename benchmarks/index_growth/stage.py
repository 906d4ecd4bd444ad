"""One size, measured in a process of its own: `python -m benchmarks.index_growth.stage`.

Reads one JSON object (data, real, documents, queries) and prints one with the figures. How far it
is stands on standard error.
"""

import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from actors.index.guild import Findings, GuildIndex
from actors.index.passage import Passage, Selection, Source
from benchmarks.frame import percentile
from benchmarks.index_growth.grown import BLOCK, Block, Nearest, blocks
from benchmarks.progress import Step, shown
from benchmarks.search_peers import TOP, exact
from benchmarks.vectors.kept import Sentences, load
from benchmarks.vectors.model import DIMENSION

_TAG = "hundredth"
_WARM = 20
_STATUS = re.compile(r"^(RssAnon|VmHWM):\s+(\d+) kB$", re.MULTILINE)


def measure(
    real: Sentences, documents: int, queries: int, step: Step
) -> dict[str, dict[str, float]]:
    """Builds the index from nothing, then searches it from one thread; figures by kind.

    Memory is what the process has more than before, without files that are only mapped. Brute
    force for the recall runs between the additions and is not counted.
    """
    nearest = Nearest(real.queries[:queries], TOP)
    tagged = Nearest(real.queries[:queries], TOP)
    before = memory_mib()["RssAnon"]
    index = GuildIndex(DIMENSION)
    spent = 0.0
    step.begin(f"{documents} documents, thousands indexed", -(-documents // BLOCK))
    for block in step.counted(blocks(real, documents)):
        begun = time.perf_counter()
        _add(index, block)
        spent += time.perf_counter() - begun
        nearest.show(block.begin, block.vectors)
        for row in block.tagged.nonzero()[0].tolist():
            tagged.show(block.begin + row, block.vectors[row : row + 1])
    used = memory_mib()["RssAnon"] - before
    everything, selected = Selection(), Selection(tags=frozenset({_TAG}))
    step.begin(f"{documents} documents, searches", 3 * queries)
    searches = {
        "dense": _asked(real, queries, _search(index, everything, lexical=False), nearest, step),
        "hundredth": _asked(real, queries, _search(index, selected, lexical=False), tagged, step),
        "hybrid": _asked(real, queries, _search(index, everything, lexical=True), None, step),
    }
    whole = {
        "build_s": spent,
        "built_per_s": documents / spent,
        "memory_mib": used,
        "memory_mib_per_100k": used / documents * 100_000,
        "peak_gib": memory_mib()["VmHWM"] / 1024,
    }
    return {"documents": whole, **searches}


def memory_mib() -> dict[str, float]:
    """``RssAnon``: what is held in memory now; ``VmHWM``: the most that ever was."""
    told = Path("/proc/self/status").read_text(encoding="ascii")
    return {name: int(kib) / 1024 for name, kib in _STATUS.findall(told)}


Ask = Callable[[Sentences, int], Findings]


def _search(index: GuildIndex, selection: Selection, *, lexical: bool) -> Ask:
    def ask(real: Sentences, row: int) -> Findings:
        text, vector = real.asked[row], real.queries[row]
        return index.search(text, vector, selection=selection, limit=TOP, lexical=lexical)

    return ask


def _asked(
    real: Sentences, queries: int, ask: Ask, right: Nearest | None, step: Step
) -> dict[str, float]:
    for row in range(min(_WARM, queries)):
        ask(real, row)
    waits, rows = [], []
    for row in step.counted(range(queries)):
        begun = time.perf_counter()
        findings = ask(real, row)
        waits.append((time.perf_counter() - begun) * 1000)
        rows.append([int(one.source.source_id) for one in findings.found])
    found = {"ms_p50": percentile(waits, 0.5), "ms_p99": percentile(waits, 0.99)}
    return found if right is None else {**found, "recall": exact.recall(rows, right.rows)}


def _add(index: GuildIndex, block: Block) -> None:
    for place, text in enumerate(block.texts):
        number = str(block.begin + place)
        source = Source(
            source_id=number,
            type="document",
            version=1,
            title="",
            tags=(_TAG,) if block.tagged[place] else (),
        )
        passage = Passage(
            chunk_id=f"chk_{number}",
            position=0,
            heading="",
            text=text.encode().decode(),  # a copy: a document of a guild is nobody else's
            char_start=0,
            char_end=len(text),
            vector=block.vectors[place],
        )
        index.replace(source, [passage])
    index.commit()
    index.compress_at_once()  # as a member does, beside its searches


def main() -> int:
    """Measures what standard input describes and prints the figures."""
    told = orjson.loads(sys.stdin.buffer.read())
    step = Step(f"{told['documents']} documents, reading sentences")
    with shown(lambda: step):
        real = load(Path(told["data"]), min(told["documents"], told["real"]))
        found = measure(real, told["documents"], told["queries"], step)
    sys.stdout.buffer.write(orjson.dumps(found) + b"\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
