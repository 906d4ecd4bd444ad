"""`python -m cluster.jobs.evaluate --dataset DIR`: how well a search finds what is right."""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from actors.settings import GuildSettings, settings
from cluster.api import ApiProblem
from cluster.jobs.access import open_api
from cluster.jobs.beir import Dataset
from cluster.jobs.evaluating import Evaluation, Plan, evaluate
from cluster.jobs.measures import NAMES
from cluster.jobs.report import Report
from cluster.jobs.telling import printable, tell
from cluster.problem import StackProblem

app = typer.Typer(help="How well a guild's search finds what is right.")


@app.command("evaluate")
def evaluate_command(
    dataset: Annotated[Path, typer.Option(help="corpus.jsonl, queries.jsonl, qrels/*.tsv")],
    split: Annotated[
        str | None, typer.Option(help="a file of qrels; default: test if there is one, else all")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="a sample of so many queries")] = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="the texts are Markdown")] = False,
    again: Annotated[bool, typer.Option("--again", help="send also what is confirmed")] = False,
    clean: Annotated[
        bool, typer.Option("--clean/--keep", help="delete the corpus afterwards, or leave it")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="in place of the table")] = False,
) -> None:
    """Measures a guild's search on questions whose right answers are known.

    Stores the corpus, waits until it is embedded, asks every question in each mode and prints
    nDCG@10, recall@100 and MRR. A second run sends nothing again, unless the guild lost it. Ends
    with 0 when all is well, 1 when some documents could not be stored, 2 when the run could not be
    finished.

    Example: guild evaluate --dataset sets/ours --limit 200 --json
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    config = settings()
    result = Evaluation(corpus=Report(errors_listed=config.jobs.errors_listed))
    began = time.monotonic()
    status = 0
    try:
        labels = Dataset(dataset, max_line_bytes=config.jobs.max_line_bytes, split=split)
        plan = Plan(dataset=labels, markdown=markdown, limit=limit, again=again, clean=clean)
        asyncio.run(_with_api(plan, config, result, console))
    except (StackProblem, ApiProblem, OSError) as problem:
        result.notes.append(str(problem))
        status = 2
    except KeyboardInterrupt:
        result.notes.append("stopped; the same command goes on from here")
        status = 130
    result.corpus.seconds = time.monotonic() - began
    for name, reason in result.corpus.errors:
        tell(console, f"{name}: {reason}", "red")
    for note in result.notes:
        tell(console, note, "yellow")
    if as_json:
        json.dump(result.as_json(dataset), sys.stdout, indent=1)
        print()
    elif result.measures:
        Console(highlight=False).print(_table(result, dataset.name))
    raise typer.Exit(status or (1 if result.corpus.failed else 0))


async def _with_api(
    plan: Plan, config: GuildSettings, result: Evaluation, console: Console
) -> None:
    async with open_api(config) as api:
        await evaluate(plan, config, api, result, console)


def _table(result: Evaluation, title: str) -> Table:
    sizes = f"{result.queries} queries, {result.corpus.seen} documents"
    table = Table(title=Text(printable(f"{title}: {sizes}")))
    table.add_column("mode")
    for name in NAMES.values():
        table.add_column(name, justify="right")
    table.add_column("queries/s", justify="right")
    for mode, row in result.measures.items():
        rate = result.queries / max(result.seconds[mode], 1e-9)
        table.add_row(mode, *(f"{row[name]:.4f}" for name in NAMES.values()), f"{rate:.1f}")
    return table


if __name__ == "__main__":
    app()
