"""`python -m cluster.jobs.reembed`, also as `guild reembed`: guilds to another embedding model."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, NamedTuple

import asyncpg
import typer
from rich.console import Console

from actors.embedding.actor import embedder_of
from actors.embedding.identity import ModelIdentity, active
from actors.embedding.messages import Vectors
from actors.embedding.model import EmbedderBroken
from actors.embedding.service import Embedder
from actors.errors import ElderGuildError
from actors.rag.reembedding.postgres import PostgresNextStore
from actors.rag.reembedding.work import Bounds, Moved, Reembedding
from actors.runtime import logs
from actors.runtime.message import GuildId
from actors.settings import DatabaseSettings, EmbeddingSettings, GuildSettings, settings
from actors.storage.database import Database
from cluster.api import Json
from cluster.jobs.progress import Standing, shown
from cluster.jobs.telling import tell
from cluster.problem import StackProblem
from cluster.state import Stack

app = typer.Typer(help="Guilds to another embedding model.")


class Plan(NamedTuple):
    """What is asked for; without guilds: all of them."""

    guilds: tuple[GuildId, ...]
    dry_run: bool


@app.command("reembed")
def reembed_command(
    guild: Annotated[
        list[str] | None, typer.Option(help="id; several times for several; default all")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="look only, change nothing")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the report, on standard output")] = False,
) -> None:
    """Makes all vectors of guilds anew in another model, then switches to them at one stroke.

    The model is the one of GUILD_EMBEDDING_NEXT__…, else of GUILD_EMBEDDING__…. It is loaded here:
    searches go on beside it, in the former model. A run that was killed goes on where it was.
    Ends with 0 when all is well, 1 when a guild could not be moved, 2 when the run could not go on.

    Example: GUILD_EMBEDDING_NEXT__ARITHMETIC=int8 guild reembed --guild guild_01ARZ…
    """
    plan = Plan(tuple(GuildId(one) for one in guild or ()), dry_run)
    raise typer.Exit(run(plan, as_json=as_json))


def run(plan: Plan, *, as_json: bool) -> int:
    """0 when all is well, 1 when a guild could not be moved, 2 when the run could not go on."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    config = settings()
    logs.configure(config.log_level)
    target = active(_chosen(config))
    moved: dict[GuildId, Moved] = {}
    problems: dict[str, str] = {}
    began, status = time.monotonic(), 0
    try:
        asyncio.run(_all(plan, config, target, moved, problems, console))
    except asyncpg.PostgresError as problem:
        problems[""] = f"the database refuses: {problem}"
        status = 2
    except (StackProblem, ElderGuildError, OSError) as problem:
        problems[""] = str(problem)
        status = 2
    except KeyboardInterrupt:
        problems[""] = "stopped; the same command goes on from here"
        status = 130
    seconds = time.monotonic() - began
    for guild_id, one in moved.items():
        tell(console, _line(guild_id, one, target, dry_run=plan.dry_run))
    for name, reason in problems.items():
        tell(console, f"{name}: {reason}".lstrip(": "), "red")
    if as_json:
        json.dump(_report(target, moved, problems, seconds), sys.stdout, indent=1)
        print()
    return status or (1 if problems else 0)


async def _all(
    plan: Plan,
    config: GuildSettings,
    target: ModelIdentity,
    moved: dict[GuildId, Moved],
    problems: dict[str, str],
    console: Console,
) -> None:
    async with _store(config) as store, _embedder(config, load=not plan.dry_run) as embedder:

        async def embed(texts: Sequence[str]) -> Vectors:
            assert embedder is not None  # noqa: S101  # a dry run embeds nothing
            return await embedder.embed(texts, urgent=False)

        work = Reembedding(store, target, embed, _bounds(config))
        known = await store.guilds()
        for guild_id in plan.guilds or known:
            if guild_id not in known:
                problems[guild_id] = "there is no such guild"
                continue
            moved[guild_id] = await work.look(guild_id)
            if not plan.dry_run:
                await _moved(work, guild_id, moved[guild_id], problems, config, console)


async def _moved(
    work: Reembedding,
    guild_id: GuildId,
    moved: Moved,
    problems: dict[str, str],
    config: GuildSettings,
    console: Console,
) -> None:
    def standing() -> Standing:
        return Standing(done=moved.ready, total=moved.passages, text=f"round {moved.rounds}")

    try:
        async with shown(console, guild_id, standing, every_s=config.jobs.progress_every_s):
            await work.move(guild_id, moved)
    except ElderGuildError as problem:
        problems[guild_id] = f"{problem}; the same command goes on from here"
        return
    if not moved.switched:
        problems[guild_id] = "its passages change faster than they are embedded; run it again"


@asynccontextmanager
async def _store(config: GuildSettings) -> AsyncIterator[PostgresNextStore]:
    app_url, log_url = _urls(config)
    patient = config.database.model_copy(update={"command_timeout_s": config.jobs.switch_timeout_s})
    database = await _opened(app_url, patient, config.index.embed_claims)
    try:
        log = await _opened(log_url, config.database, 1)
        try:
            yield PostgresNextStore(database, log)
        finally:
            await log.close()
    finally:
        await database.close()


async def _opened(url: str, numbers: DatabaseSettings, connections: int) -> Database:
    try:
        return await Database.open(url, numbers, connections=connections)
    except (ValueError, RuntimeError) as error:  # no such URL; a role or a server that is no good
        raise StackProblem(f"the database cannot be used: {error}") from error


@asynccontextmanager
async def _embedder(config: GuildSettings, *, load: bool) -> AsyncIterator[Embedder | None]:
    if not load:
        yield None
        return
    try:
        embedder = await embedder_of(config, _chosen(config))
    except EmbedderBroken as error:
        raise StackProblem(f"the model cannot be used: {error}") from error
    try:
        yield embedder
    finally:
        await embedder.close()


def _urls(config: GuildSettings) -> tuple[str, str]:
    """Of the application's and the log's role: as set, or of the local stack.

    Raises:
        StackProblem: neither is there, or one URL alone.
    """
    if url := config.database_url.get_secret_value():
        if log_url := config.log_database_url.get_secret_value():
            return url, log_url
        raise StackProblem("DATABASE_URL is set: set GUILD_LOG_DATABASE_URL, too")
    folder = config.data_dir.resolve()
    stack = Stack.load(folder)
    if stack is None or not stack.running:
        raise StackProblem(
            f"no stack runs in {folder}: start one, name its folder in GUILD_DATA_DIR, or set"
            " DATABASE_URL and GUILD_LOG_DATABASE_URL"
        )
    return stack.database_url, stack.log_database_url


def _chosen(config: GuildSettings) -> EmbeddingSettings:
    return config.embedding_next or config.embedding


def _bounds(config: GuildSettings) -> Bounds:
    return Bounds(
        batch=config.index.embed_claim,
        batches=config.index.embed_claims,
        rounds=config.jobs.reembed_rounds,
        cleared=config.jobs.reembed_cleared,
    )


def _line(guild_id: GuildId, moved: Moved, target: ModelIdentity, *, dry_run: bool) -> str:
    if moved.switched and not moved.rounds:
        return f"{guild_id}: is in {target}"
    former = "no vector" if moved.former is None else str(moved.former)
    if dry_run or not moved.switched:
        return f"{guild_id}: {former} to {target}, {moved.ready} of {moved.passages} passages ready"
    return (
        f"{guild_id}: {former} to {target}, {moved.passages} passages,"
        f" {moved.embedded} embedded in {moved.rounds} rounds"
    )


def _report(
    target: ModelIdentity,
    moved: dict[GuildId, Moved],
    problems: dict[str, str],
    seconds: float,
) -> Json:
    return {
        "model_id": target.model_id,
        "dimension": target.dimension,
        "seconds": round(seconds, 3),
        "guilds": {
            guild_id: {
                "former_model_id": None if one.former is None else one.former.model_id,
                "former_dimension": None if one.former is None else one.former.dimension,
                "passages": one.passages,
                "ready": one.ready,
                "embedded": one.embedded,
                "rounds": one.rounds,
                "switched": one.switched,
            }
            for guild_id, one in moved.items()
        },
        "problems": [{"guild_id": name, "reason": reason} for name, reason in problems.items()],
    }


if __name__ == "__main__":
    app()
