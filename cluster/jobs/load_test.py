"""`python -m cluster.jobs.load_test`, also as `guild load-test`: rates and latencies."""

import asyncio
import json
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from actors.settings import GuildSettings, settings
from cluster.api import ApiProblem, Json
from cluster.jobs.access import open_api
from cluster.jobs.loading import Load, Loading
from cluster.jobs.progress import Standing, shown
from cluster.jobs.telling import tell
from cluster.problem import StackProblem

app = typer.Typer(help="Rates and latencies under a mixed load.")
_PATIENCE_S = 0.0  # one attempt each: what is refused is counted and not repeated


@app.command("load-test")
def load_test_command(
    seconds: Annotated[float, typer.Option(min=1, max=3_600, help="of sending")] = 30.0,
    connections: Annotated[int, typer.Option(min=1, max=256, help="at a time")] = 8,
    rate: Annotated[
        float, typer.Option(min=0, max=10_000, help="requests a second; 0: as fast as answered")
    ] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="the same seed sends the same")] = 1,
    keep: Annotated[
        bool, typer.Option("--keep", help="leave documents and tasks, tagged load-test")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="in place of the table")] = False,
) -> None:
    """Sends searches, documents and tasks (50, 30 and 20 of a hundred) and says how it went.

    Use a guild of its own, or one that bears it: what was written is deleted afterwards, its events
    stay in the log. Refused (429, 503, 504) is what overload looks like and is no failure. Ends
    with 0, with 1 when a request failed, with 2 when the guild cannot be reached.

    Example: guild load-test --seconds 60 --connections 16 --seed 7
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    load = Load(seed=seed, seconds=seconds, connections=connections, rate=rate)
    try:
        report = asyncio.run(_measured(settings(), load, keep, console))
    except (StackProblem, ApiProblem) as problem:
        tell(console, str(problem), "red")
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        tell(console, "stopped; documents and tasks tagged load-test are left", "yellow")
        raise typer.Exit(130) from None
    if as_json:
        json.dump(report, sys.stdout, indent=1)
        print()
    else:
        Console(highlight=False).print(_table(report))
    raise typer.Exit(1 if any(one["failed"] for one in report["kinds"].values()) else 0)


async def _measured(config: GuildSettings, load: Load, keep: bool, console: Console) -> Json:
    async with open_api(config) as patient:
        await patient.guild_id()  # signed in, or there is no sense in beginning
        once = config.model_copy(
            update={"api": config.api.model_copy(update={"patience_s": _PATIENCE_S})}
        )
        async with open_api(once) as api:
            loading = Loading(api, load)
            every_s = config.jobs.progress_every_s

            def standing() -> Standing:
                return Standing(done=loading.sent, total=None, text="requests sent")

            async with shown(console, "load-test", standing, every_s=every_s):
                await loading.run()
        if not keep:
            try:
                await loading.clean(patient)
            except ApiProblem as problem:
                tell(console, f"{problem}: what is left is tagged load-test", "yellow")
    kinds = {kind: seen.figures(loading.seconds) for kind, seen in loading.seen.items()}
    return {
        "seed": load.seed,
        "connections": load.connections,
        "rate": load.rate,
        "seconds": round(loading.seconds, 3),
        "per_s": round(sum(one["per_s"] for one in kinds.values()), 2),
        "kinds": kinds,
    }


def _table(report: Json) -> Table:
    names = ("answered", "refused", "failed", "per_s", "p50_ms", "p95_ms", "p99_ms")
    table = Table("kind", *names, title=f"{report['per_s']} a second for {report['seconds']} s")
    for kind, figures in report["kinds"].items():
        shown_ = ("-" if figures[name] is None else str(figures[name]) for name in names)
        table.add_row(kind, *shown_)
    return table


if __name__ == "__main__":
    app()
