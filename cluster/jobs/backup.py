"""`python -m cluster.jobs.backup PATH`, also as `guild backup PATH`: a copy of the database."""

import asyncio
import json
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from actors.key_ring import BadKeyRing, KeyRing
from actors.settings import GuildSettings, settings
from cluster.api import Json
from cluster.backup import places
from cluster.backup.dumping import dump
from cluster.backup.manifest import Damaged, Manifest
from cluster.backup.restoring import load, whole
from cluster.jobs.telling import tell
from cluster.plan import DATABASE
from cluster.problem import StackProblem

_TAKE = "take"


class _TakeUnlessNamed(TyperGroup):
    """`backup PATH` means `backup take PATH`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own = {"--help", *ctx.help_option_names}
        if args and args[0] not in self.commands and args[0] not in own:
            args = [_TAKE, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_TakeUnlessNamed,
    help="A copy of the guild's database, taken while it works.\n\n"
    "Example: guild backup /backups/2026-11-27\n\n"
    "Example: guild backup verify /backups/2026-11-27",
    no_args_is_help=True,
)


@app.command(_TAKE)
def backup_command(
    path: Annotated[Path, typer.Argument(help="a new folder; its parent must have the space")],
    database: Annotated[str, typer.Option(help="of GUILD_ADMIN_DATABASE_URL")] = DATABASE,
    as_json: Annotated[bool, typer.Option("--json", help="the report, on standard output")] = False,
) -> None:
    """Takes a backup: PATH becomes a folder with PostgreSQL's dump and a manifest.

    All of it is of one moment; everybody goes on writing. The database is that of
    GUILD_ADMIN_DATABASE_URL (a superuser, or a role with BYPASSRLS and pg_read_all_data), else of
    the local stack in GUILD_DATA_DIR. A run that was killed is begun anew by the same command.
    Secrets are not in it: keep SECRET_KEY elsewhere, with every key of its ring, for without it
    nobody reads what is sealed. Ends with 0 when all is well, else with 2.

    Example: guild backup /backups/2026-11-27
    """

    async def take(config: GuildSettings, console: Console) -> Manifest:
        url = places.source(config, database)
        return await dump(url, path.absolute(), config.jobs, console)

    raise typer.Exit(run("saved", take, as_json=as_json))


@app.command("verify")
def verify_command(
    path: Annotated[Path, typer.Argument(help="a backup")],
    files_only: Annotated[
        bool, typer.Option("--files-only", help="compare the files, restore nothing")
    ] = False,
    scratch: Annotated[
        Path | None, typer.Option(help="a folder with space for the database; default: temporary")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, max=32, help="that restore at a time")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="the report, on standard output")] = False,
) -> None:
    """Restores a backup into a server of its own that is thrown away, and compares all of it.

    Needs the extra `local`. Ends with 0 when it is equal, 1 when it is damaged, 2 when it could
    not be tried.

    Example: guild backup verify /backups/2026-11-27 --scratch /var/tmp
    """

    async def verify(config: GuildSettings, console: Console) -> Manifest:
        manifest = await whole(path, config.jobs, console)
        if not files_only:
            async with places.scratch(scratch) as url:
                await load(manifest, path, url, config.jobs, console, processes=processes)
        return manifest

    raise typer.Exit(run("verified", verify, as_json=as_json))


def run(
    verb: str,
    work: Callable[[GuildSettings, Console], Coroutine[Any, Any, Manifest]],
    *,
    as_json: bool,
    more: Callable[[], Json] = dict,
) -> int:
    """Does it and tells what came of it; 0, 1 where something is damaged, 2, or 130.

    Args:
        verb: what was done with what the manifest names.
        work: does it.
        as_json: the report, on standard output.
        more: what else is to be reported.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    config = settings()
    began, status = time.monotonic(), 0
    report: Json = {}
    try:
        manifest = asyncio.run(work(config, console))
        report = {**_report(manifest), **more()}
        tell(console, f"{verb}: {_line(manifest)}, in {time.monotonic() - began:.1f} s")
        for note in notes(manifest, config.secret_key.get_secret_value()):
            tell(console, note, "yellow")
    except (StackProblem, OSError) as problem:
        report["problem"] = str(problem)
        tell(console, str(problem), "red")
        status = 1 if isinstance(problem, Damaged) else 2
    except KeyboardInterrupt:
        report["problem"] = "stopped"
        tell(console, "stopped; the same command begins anew", "yellow")
        status = 130
    report["seconds"] = round(time.monotonic() - began, 3)
    if as_json:
        json.dump(report, sys.stdout, indent=1)
        print()
    return status


def notes(manifest: Manifest, secret_key: str) -> list[str]:
    """What must be kept beside a backup, by the ids of the keys."""
    if not manifest.key_ids:
        return []
    needed = ", ".join(manifest.key_ids)
    if not secret_key:
        return [f"keep SECRET_KEY beside it: what is sealed needs its keys {needed}"]
    try:
        ring = KeyRing.parse(secret_key)
        for key_id in manifest.key_ids:
            ring.derive(key_id, "presence")
    except BadKeyRing as problem:
        return [f"{problem}: what is sealed under it cannot be read"]
    return [f"keep SECRET_KEY beside it, which has the keys it needs: {needed}"]


def _line(manifest: Manifest) -> str:
    size = sum(file.bytes for file in manifest.files.values())
    return (
        f"{manifest.events} events up to {manifest.position or 'the beginning'},"
        f" {manifest.rows} rows of {len(manifest.tables)} tables, {size / (1 << 20):.1f} MiB"
    )


def _report(manifest: Manifest) -> Json:
    return {
        "made_at": manifest.made_at.isoformat(),
        "position": manifest.position,
        "events": manifest.events,
        "rows": manifest.rows,
        "tables": len(manifest.tables),
        "bytes": sum(file.bytes for file in manifest.files.values()),
        "key_ids": manifest.key_ids,
    }


if __name__ == "__main__":
    app()
