"""A bar for people, lines for logs."""

import asyncio
import io

from rich.console import Console

from cluster.jobs.progress import Standing, shown


async def said(*, terminal: bool) -> str:
    output, asked = io.StringIO(), asyncio.Event()
    console = Console(file=output, force_terminal=terminal, width=120)

    def standing() -> Standing:
        asked.set()
        return Standing(done=3, total=7, text="new")

    async with asyncio.timeout(10), shown(console, "ingesting", standing, every_s=0.001):
        await asked.wait()
    return output.getvalue()


async def test_a_log_gets_plain_lines() -> None:
    assert (await said(terminal=False)).splitlines()[0] == "ingesting: 3 of 7  new"


async def test_a_terminal_gets_a_bar() -> None:
    assert "3/7" in await said(terminal=True)
