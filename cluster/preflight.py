"""What must be right before anything starts: each problem is one sentence."""

import fcntl
import os
import platform
import sys
from pathlib import Path
from typing import IO

import asyncpg
import pydantic
import redis.asyncio
import redis.exceptions

from actors.embedding.endpoint import EndpointFailed, require_address
from actors.settings import EmbeddingProvider, GuildSettings
from cluster.problem import StackProblem
from cluster.state import Stack

_CONNECT_TIMEOUT_S = 10.0


def require_platform() -> None:
    """Linux on x86-64 is where the wheels' servers run."""
    machine = platform.machine()
    if sys.platform != "linux" or machine not in ("x86_64", "AMD64"):
        raise StackProblem(
            f"the local stack runs on Linux x86-64 only, this is {sys.platform} {machine}:"
            " use a virtual machine or a container"
        )


def read_settings() -> GuildSettings:
    """The environment's settings.

    Raises:
        StackProblem: a variable is missing or wrong; never repeats its value.
    """
    try:
        found = GuildSettings()
    except pydantic.ValidationError as error:
        parts = []
        for problem in error.errors(include_input=False, include_url=False):
            place = "__".join(str(part) for part in problem["loc"])
            text = problem["msg"].removeprefix("Value error, ")
            parts.append(f"{place}: {text}" if place else text)
        raise StackProblem("; ".join(parts)) from None
    _require_all_urls(found)
    _require_addresses(found)
    return found


def _require_all_urls(settings: GuildSettings) -> None:
    if not settings.database_url.get_secret_value():
        return
    others = {
        "GUILD_LOG_DATABASE_URL": settings.log_database_url,
        "GUILD_MIGRATION_DATABASE_URL": settings.migration_database_url,
    }
    missing = [name for name, value in others.items() if not value.get_secret_value()]
    if missing:
        raise StackProblem(
            f"DATABASE_URL is given, so {' and '.join(missing)} must be too:"
            " `python -m cluster.bootstrap` prints all three"
        )


def _require_addresses(settings: GuildSettings) -> None:
    chosen = {"embedding": settings.embedding, "embedding_next": settings.embedding_next}
    for place, section in chosen.items():
        if section is None or section.provider is not EmbeddingProvider.OPENAI:
            continue
        try:
            require_address(section, settings.outbound)
        except EndpointFailed as refused:
            raise StackProblem(f"{place}: {refused.reason}") from None


def open_folder(folder: Path) -> None:
    """Makes the data folder.

    Raises:
        StackProblem: it cannot be made, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # As root, PostgreSQL runs under another account, which must get through to its own part.
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
        (folder / "logs").mkdir(mode=0o700, exist_ok=True)
        probe = folder / f".probe.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise StackProblem(
            f"the data folder {folder} cannot be written ({error.strerror}):"
            " set GUILD_DATA_DIR to one that can"
        ) from error


def lock_folder(folder: Path) -> IO[str]:
    """Takes the folder for this process; keep what is returned open.

    Raises:
        StackProblem: another stack runs on it.
    """
    lock = (folder / "lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StackProblem(f"{_who_runs(folder)}: stop it, or choose another --data-dir") from None
    return lock


def _who_runs(folder: Path) -> str:
    try:
        stack = Stack.load(folder)
    except (ValueError, TypeError, OSError):
        stack = None
    if stack is None or not stack.running:
        return f"another stack is starting on {folder}"
    return f"a stack already runs on {folder} (pid {stack.pid}, {stack.api_url})"


async def require_database(owner_url: str, app_url: str, log_url: str) -> None:
    """A server that was given: every role gets in, and the extension is there.

    Raises:
        StackProblem: one sentence that says what to do.
    """
    for variable, url in (
        ("GUILD_MIGRATION_DATABASE_URL", owner_url),
        ("DATABASE_URL", app_url),
        ("GUILD_LOG_DATABASE_URL", log_url),
    ):
        try:
            connection = await asyncpg.connect(url, timeout=_CONNECT_TIMEOUT_S)
        except (OSError, TimeoutError, asyncpg.PostgresError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise StackProblem(f"the database of {variable} cannot be reached: {reason}") from error
        try:
            known = "SELECT count(*) FROM pg_extension WHERE extname = 'vector'"
            if not await connection.fetchval(known):
                raise StackProblem(
                    f"the database of {variable} has no `vector` extension:"
                    " run `python -m cluster.bootstrap` on its server"
                )
        finally:
            await connection.close()


async def require_redis(url: str) -> None:
    """A server that was given answers.

    Raises:
        StackProblem: it does not.
    """
    try:
        client = redis.asyncio.Redis.from_url(url, socket_connect_timeout=_CONNECT_TIMEOUT_S)
        try:
            await client.ping()
        finally:
            await client.aclose()
    except (OSError, ValueError, redis.exceptions.RedisError) as error:
        raise StackProblem(f"the server of REDIS_URL cannot be reached: {error}") from error
