"""Draws what `benchmarks.growth` wrote: `python -m benchmarks.index_growth.plot JSON SVG`."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import orjson
from matplotlib.axes import Axes
from matplotlib.figure import Figure

PANELS: Mapping[str, Sequence[tuple[str, str]]] = {
    "search, ms": [
        (kind, metric)
        for kind in ("dense", "hundredth", "hybrid")
        for metric in ("ms_p50", "ms_p99")
    ],
    "memory, MiB": [("documents", "memory_mib")],
    "rebuild, s": [("documents", "build_s")],
}
_COLOURS = {"dense": "C0", "hundredth": "C1", "hybrid": "C2", "documents": "C3"}


def points(written: Mapping[str, Any], kind: str, metric: str) -> tuple[list[int], list[float]]:
    """Sizes and medians of one metric, the smallest first; sizes without it are left out."""
    found = sorted(
        (int(row.split()[0]), metrics[metric]["median"])
        for row, metrics in written["results"].items()
        if row.split()[1] == kind and metric in metrics
    )
    return [size for size, _ in found], [value for _, value in found]


def draw(written: Mapping[str, Any]) -> Figure:
    """Three panels over the number of documents, both axes logarithmic."""
    figure = Figure(figsize=(13, 4.2), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, len(PANELS))
    for axes, (title, metrics) in zip(panels, PANELS.items(), strict=True):
        for kind, metric in metrics:
            sizes, values = points(written, kind, metric)
            style = "--" if metric.endswith("p99") else "-"
            label = f"{kind} {metric}"
            axes.plot(sizes, values, style, marker="o", color=_COLOURS[kind], label=label)
        axes.set(title=title, xlabel="documents", xscale="log", yscale="log")
        axes.grid(visible=True, which="both", alpha=0.25)
        axes.legend(fontsize=8)
    machine = written["machine"]
    figure.suptitle(
        f"One index, one thread; {machine['cpu']}, load {machine['load_1m']}, "
        f"commit {written['commit'][:12]}; "
        f"beyond {written['settings']['real']} the documents are perturbed copies",
        fontsize=9,
    )
    return figure


def main(argv: Sequence[str] | None = None) -> int:
    """Reads the result and writes the plot; the same result gives the same file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.index_growth.plot")
    parser.add_argument("json", type=Path)
    parser.add_argument("svg", type=Path)
    told = parser.parse_args(argv)
    mpl.rcParams["svg.hashsalt"] = "growth"
    told.svg.parent.mkdir(parents=True, exist_ok=True)
    figure = draw(orjson.loads(told.json.read_bytes()))
    figure.savefig(told.svg, format="svg", metadata={"Date": None})
    return 0


if __name__ == "__main__":
    sys.exit(main())
