"""How far a job has come: a bar on a terminal, a line now and then elsewhere. On standard error."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_REFRESH_S = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a job stands.

    Attributes:
        total: None while nobody knows.
        text: what stands beside the numbers.
    """

    done: int
    total: int | None
    text: str = ""


@asynccontextmanager
async def shown(
    console: Console, name: str, standing: Callable[[], Standing], *, every_s: float
) -> AsyncIterator[None]:
    """Shows a job's standing while the block runs.

    Args:
        console: of standard error.
        name: of what is being done.
        standing: asked again and again.
        every_s: between two lines where there is no terminal.
    """
    show = _bar if console.is_terminal else _lines
    task = asyncio.create_task(show(console, name, standing, every_s))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _bar(
    console: Console, name: str, standing: Callable[[], Standing], _every_s: float
) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim]{task.fields[text]}"),
    )
    with Progress(*columns, console=console, transient=True, auto_refresh=False) as progress:
        row = progress.add_task(name, total=None, text="")
        while True:
            now = standing()
            progress.update(row, completed=now.done, total=now.total, text=now.text, refresh=True)
            await asyncio.sleep(_REFRESH_S)


async def _lines(
    console: Console, name: str, standing: Callable[[], Standing], every_s: float
) -> None:
    while True:
        await asyncio.sleep(every_s)
        now = standing()
        of = "" if now.total is None else f" of {now.total}"
        console.print(f"{name}: {now.done}{of}  {now.text}".rstrip(), markup=False)
