"""`guild pools`: how large the pools may be."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from actors.errors import DependencyUnavailable, ElderGuildError, NotFound
from actors.runtime.desired import PoolState
from actors.settings import GuildSettings, settings
from actors.storage.database import Database
from actors.storage.desired import DesiredInPostgres

app = typer.Typer(help="How large the pools may be.", no_args_is_help=True)
_TRIES = 3
_LARGEST = 64
_T = TypeVar("_T")


@app.command("list")
def list_command() -> None:
    """Prints each pool with its size and its bounds. Needs GUILD_LOG_DATABASE_URL.

    Example: guild pools list
    """

    async def work(desired: DesiredInPostgres) -> list[PoolState]:
        return sorted((await desired.load()).values(), key=lambda pool: pool.name)

    for pool in _done(work):
        typer.echo(_line(pool))


@app.command("resize")
def resize_command(
    name: Annotated[str, typer.Argument(help="of the pool, such as task")],
    smallest: Annotated[int, typer.Option("--min", min=1, max=_LARGEST, help="members at least")],
    largest: Annotated[int, typer.Option("--max", min=1, max=_LARGEST, help="members at most")],
) -> None:
    """Sets the bounds of a pool; the supervisor follows within seconds and sizes it within them.

    A member that is to go finishes what it has first. Needs GUILD_LOG_DATABASE_URL.

    Example: guild pools resize task --min 2 --max 8
    """
    if smallest > largest:
        raise typer.BadParameter("--min is above --max")
    period_s = settings().runtime.health_period_s

    async def work(desired: DesiredInPostgres) -> PoolState:
        for _ in range(_TRIES):
            await desired.bound(name, min_size=smallest, max_size=largest)
            await asyncio.sleep(period_s)  # the supervisor may have written at the same moment
            pool = (await desired.load())[name]
            if (pool.min_size, pool.max_size) == (smallest, largest):
                return pool
        raise DependencyUnavailable("supervisor")

    typer.echo(_line(_done(work)))


def _line(pool: PoolState) -> str:
    return (
        f"{pool.name}: {pool.size} members wanted, {pool.min_size} to {pool.max_size},"
        f" generation {pool.generation}"
    )


def _done(work: Callable[[DesiredInPostgres], Awaitable[_T]]) -> _T:
    """What the work answers; a known trouble is one sentence and exit status 2."""
    try:
        return asyncio.run(_with_desired(settings(), work))
    except NotFound as missing:
        typer.echo(f"{missing}: {missing.key}", err=True)
        raise typer.Exit(2) from None
    except (ElderGuildError, ValueError, OSError) as problem:
        typer.echo(str(problem), err=True)
        raise typer.Exit(2) from None


async def _with_desired(
    config: GuildSettings, work: Callable[[DesiredInPostgres], Awaitable[_T]]
) -> _T:
    async def connect() -> Database:
        url = config.log_database_url.get_secret_value()
        return await Database.open(url, config.database, connections=1)

    desired = DesiredInPostgres(connect)
    try:
        return await work(desired)
    finally:
        await desired.close()
