"""`python -m cluster.jobs.restore PATH`, also as `guild restore PATH`: a backup comes back."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from actors.settings import GuildSettings
from cluster.api import Json
from cluster.backup import places
from cluster.backup.manifest import Manifest
from cluster.backup.restoring import load, put_in_order, whole
from cluster.jobs.backup import run
from cluster.plan import DATABASE

app = typer.Typer(help="A backup into an empty database.")


@app.command("restore")
def restore_command(
    path: Annotated[Path, typer.Argument(help="a backup")],
    database: Annotated[str, typer.Option(help="of GUILD_ADMIN_DATABASE_URL")] = DATABASE,
    processes: Annotated[
        int, typer.Option(min=1, max=32, help="faster; but what is stopped leaves a part")
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="the report, on standard output")] = False,
) -> None:
    """Restores a backup into an empty database and compares all of it with the manifest.

    The database is the one of GUILD_ADMIN_DATABASE_URL that `python -m cluster.bootstrap` has
    prepared, else a new one in GUILD_DATA_DIR, where no stack may run. Nobody else may be
    connected. The log then begins a new epoch: positions that clients remember are answered by
    410. Erasures since the backup must be repeated. Ends with 0
    when all is equal, 1 when something is damaged, 2 when it could not be restored.

    Example: GUILD_DATA_DIR=.guild-new guild restore /backups/2026-11-27
    """
    epoch = 0

    async def restore(config: GuildSettings, console: Console) -> Manifest:
        nonlocal epoch
        manifest = await whole(path, config.jobs, console)
        async with places.target(config, database) as url:
            await load(manifest, path, url, config.jobs, console, processes=processes)
            epoch = await put_in_order(url, config.jobs)
        return manifest

    def more() -> Json:
        return {"epoch": epoch}

    raise typer.Exit(run("restored", restore, as_json=as_json, more=more))


if __name__ == "__main__":
    app()
