"""Until everything that was written is found, by its words and by its meaning."""

import asyncio
import time

from rich.console import Console

from actors.runtime.message import Position
from actors.settings import JobSettings
from cluster.api import Api, Json
from cluster.jobs.progress import Standing, shown
from cluster.problem import StackProblem


async def until_searchable(
    api: Api, position: Position | None, numbers: JobSettings, console: Console
) -> None:
    """Waits until the index has come to the position and no passage waits to be embedded.

    The passages that wait are those of the whole guild, whoever wrote them.

    Args:
        api: signed in.
        position: of the last write; None where nothing was written.
        numbers: how long, how often.
        console: for the progress.

    Raises:
        ApiProblem: the guild cannot be reached.
        StackProblem: it takes too long.
    """
    deadline = time.monotonic() + numbers.searchable_within_s
    index = (await api.get("/rag/index")).body
    most = index["dense_pending"]

    def standing() -> Standing:
        pending = index["dense_pending"]
        return Standing(done=most - pending, total=most, text=f"{index['passages']} passages")

    async with shown(console, "embedding", standing, every_s=numbers.progress_every_s):
        while not is_searchable(index, position):
            if time.monotonic() > deadline:
                raise StackProblem(
                    f"{index['dense_pending']} passages are not embedded after"
                    f" {numbers.searchable_within_s:g} s"
                )
            await asyncio.sleep(numbers.searchable_poll_s)
            index = (await api.get("/rag/index")).body
            most = max(most, index["dense_pending"])


def is_searchable(index: Json, position: Position | None) -> bool:
    """Whether an index, as `GET /rag/index` describes it, knows everything up to a position."""
    if index["state"] != "ready" or index["dense_pending"]:
        return False
    if position is None:
        return True
    if index["position"] is None:
        return False
    reached = Position.parse(index["position"])
    # After a move of the log the numbers start anew: what is ready there has read all of it.
    return reached.epoch != position.epoch or reached >= position
