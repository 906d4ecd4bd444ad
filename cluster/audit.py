"""`guild audit`: checks the audit log from the host itself.

Whoever can run this has the database's passwords. What it prints belongs somewhere else than in
that database: an anchor that is kept there tells nobody that the end of the log was cut off.
"""

import asyncio
from typing import Annotated

import typer

from actors.audit import Anchor, BrokenChain
from actors.errors import ElderGuildError
from actors.runtime.message import GuildId
from actors.settings import GuildSettings, settings
from actors.storage import audit_log
from actors.storage.database import Database
from cluster.guilds import all_guilds, check_guild

app = typer.Typer(help="The audit log.", no_args_is_help=True)


@app.callback()
def _commands() -> None:
    """Also what needs a name of its own where there is one command only."""


@app.command("verify")
def verify_command(
    guild: Annotated[str, typer.Option(help="Id of one guild; without it: all of them.")] = "",
    anchor: Annotated[
        str, typer.Option(help="NUMBER:HASH, printed by an earlier run; needs --guild.")
    ] = "",
) -> None:
    """Checks every entry's hash and that none is missing; prints where each guild's log ends.

    Exits with 1 and the number of the first entry that is wrong, with 2 for a guild that is none.
    """
    if anchor and not guild:
        raise typer.BadParameter("an anchor is of one guild: name it with --guild")
    try:
        kept = Anchor.parse(anchor) if anchor else None
        whole = asyncio.run(verify_all(settings(), GuildId(guild), kept))
    except (ElderGuildError, ValueError, OSError) as problem:
        typer.echo(str(problem), err=True)
        raise typer.Exit(2) from None
    if not whole:
        raise typer.Exit(1)


async def verify_all(config: GuildSettings, guild_id: GuildId, anchor: Anchor | None) -> bool:
    """Says of each guild how its log is; answers whether all of them are whole.

    Raises:
        NotFound: the guild that is named is none.
    """
    guilds = [guild_id] if guild_id else await all_guilds(config)
    database = await Database.open(
        config.database_url.get_secret_value(), config.database, connections=1
    )
    whole = True
    try:
        if guild_id:
            await check_guild(database, guild_id)
        for one in guilds:
            try:
                head = await audit_log.verify(database, one, config.audit.verify_rows, anchor)
            except BrokenChain as broken:
                typer.echo(f"{one} is broken: {broken}", err=True)
                whole = False
            else:
                typer.echo(f"{one} {head}")
    finally:
        await database.close()
    return whole
