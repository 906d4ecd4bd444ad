"""`python -m cluster.jobs.replay SUBSCRIPTION`, also as `guild replay`: events once more."""

import asyncio
import json
import re
import sys
import time
from typing import Annotated

import typer
from rich.console import Console

from actors.settings import GuildSettings, settings
from cluster.api import Api, ApiProblem, Json
from cluster.jobs.access import open_api
from cluster.jobs.progress import Standing, shown
from cluster.jobs.telling import tell
from cluster.problem import StackProblem

app = typer.Typer(help="Events once more, for one subscription.")
_POSITION = re.compile(r"[0-9]+-[0-9]+-[0-9]+")
_RUNNING = "running"


@app.command("replay")
def replay_command(
    subscription: Annotated[str, typer.Argument(help="its name")],
    begin: Annotated[
        str, typer.Option("--from", help="beginning, a position, or a time of RFC 3339")
    ] = "beginning",
    end: Annotated[str, typer.Option("--to", help="end, a position, or a time")] = "end",
    speed: Annotated[float, typer.Option(min=0, help="1: as it happened, 0: at once")] = 0.0,
    replay_id: Annotated[
        str | None, typer.Option("--resume", help="follow this one, begin none")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="the replay, on standard output")] = False,
) -> None:
    """Delivers a stretch of the log again to one subscription, and to nobody else.

    The guild does it: a run that is killed leaves the replay running, and --resume follows it
    again. Ends with 0 when all is delivered, 1 when it was cancelled, 2 when it could not be begun
    or followed.

    Example: guild replay billing --from 2026-03-01T12:00:00Z --to 2026-03-02T00:00:00Z
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    body: Json = {"begin": place(begin), "end": place(end), "speed": speed}
    status, replay = 2, {}
    try:
        replay = asyncio.run(_replayed(settings(), subscription, body, replay_id, console))
        status = 0 if replay["state"] == "completed" else 1
        tell(console, f"{replay['state']}: {replay['delivered']} events to {subscription}")
    except (StackProblem, ApiProblem) as problem:
        tell(console, str(problem), "red")
    except KeyboardInterrupt:
        tell(console, "not followed any more; the replay goes on", "yellow")
        status = 130
    if as_json:
        json.dump(replay, sys.stdout, indent=1)
        print()
    raise typer.Exit(status)


async def _replayed(
    config: GuildSettings, subscription: str, body: Json, replay_id: str | None, console: Console
) -> Json:
    async with open_api(config) as api:
        if replay_id is None:
            begun = (await api.post(f"/subscriptions/{subscription}:replay", body)).body
        else:
            begun = (await api.get(f"/replays/{replay_id}")).body
        tell(console, f"{begun['replay_id']}: behind {begun['begin']} up to {begun['end']}")
        return await follow(api, begun, config, console)


async def follow(api: Api, replay: Json, config: GuildSettings, console: Console) -> Json:
    """The replay as it is when it has ended.

    Raises:
        ApiProblem: the guild cannot be reached.
        StackProblem: it takes too long.
    """
    numbers = config.jobs
    deadline = time.monotonic() + numbers.replay_within_s

    def standing() -> Standing:
        return Standing(done=replay["delivered"], total=None, text="events delivered")

    async with shown(console, "replay", standing, every_s=numbers.progress_every_s):
        while replay["state"] == _RUNNING:
            if time.monotonic() > deadline:
                raise StackProblem(
                    f"{replay['replay_id']} still runs after {numbers.replay_within_s:g} s:"
                    " --resume follows it"
                )
            await asyncio.sleep(numbers.replay_poll_s)
            replay = (await api.get(f"/replays/{replay['replay_id']}")).body
    return replay


def place(text: str) -> str | Json:
    """A place of the log as the API takes it."""
    if text in {"beginning", "end"}:
        return text
    return {"position": text} if _POSITION.fullmatch(text) else {"time": text}


if __name__ == "__main__":
    app()
