"""`python -m cluster.doctor`, also as `guild doctor`: what listens where, and what is open."""

import asyncio
import json
import stat
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import asyncpg
import httpx
import typer
from prometheus_client.parser import text_string_to_metric_families

from actors.settings import Environment, GuildSettings
from actors.storage.migrate import pending
from cluster.condition import PoolSeen, of_parts, of_pools, pools_in
from cluster.diagnosis import (
    Finding,
    Level,
    of_doors,
    of_front,
    of_migrations,
    of_secrets,
    of_urls,
    verdict,
)
from cluster.preflight import read_settings
from cluster.probing import doors, guarded, listeners
from cluster.problem import StackProblem
from cluster.state import SECRETS_FILE, STATE_FILE, Stack, read_private

app = typer.Typer(help="What listens where, and what is open.")
_METRICS_TIMEOUT_S = 3.0
_SHOWN = {Level.OK: "ok     ", Level.WARNING: "warning", Level.BAD: "BAD    "}


@app.command("doctor")
def doctor_command(
    data_dir: Annotated[
        Path | None, typer.Option(help="of the stack to look at; default GUILD_DATA_DIR")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON, on standard output")] = False,
) -> None:
    """Says what listens where on this machine, what each door asks for, and what is open.

    Looks at the secrets, the migrations and what stands before the API, too; of a running stack it
    tells which parts stay down and which pools lack members. It changes nothing and prints no
    secret. Ends with 0 when all is well, 1 with warnings, 2 when something is open that must not
    be, or missing.

    Example: guild doctor --data-dir /var/lib/guild --json
    """
    try:
        findings = asyncio.run(examine(data_dir))
    except StackProblem as problem:
        findings = [Finding(level=Level.BAD, about="settings", text=str(problem))]
    status = verdict(findings)
    if as_json:
        shown = {"status": status, "findings": [asdict(one) for one in findings]}
        typer.echo(json.dumps(shown, indent=1))
    else:
        for one in findings:
            typer.echo(f"{_SHOWN[one.level]}  {one.about}: {one.text}")
    raise typer.Exit(status)


async def examine(data_dir: Path | None) -> list[Finding]:
    """Everything that there is to say of this machine.

    Raises:
        StackProblem: the settings cannot be read.
    """
    config = read_settings()
    production = config.env is Environment.PRODUCTION
    folder = data_dir or config.data_dir
    stack = _stack(folder)
    pids = listeners()
    seen = await asyncio.gather(
        *(guarded(one, pids) for one in doors(stack.ports if stack else {}))
    )
    urls = _urls(config, stack)
    return [
        *of_doors(seen),
        *of_front(seen, production=production),
        *of_secrets(_secrets(config, stack, folder), production=production),
        *of_urls(urls),
        *_of_files(folder),
        of_migrations(await _pending(urls["GUILD_MIGRATION_DATABASE_URL"])),
        *(await _of_stack(stack, config) if stack is not None else []),
    ]


async def _of_stack(stack: Stack, config: GuildSettings) -> list[Finding]:
    pools = await _pools(stack.api_url, config.metrics_token.get_secret_value())
    return [*of_parts(stack.down), *of_pools(pools)]


async def _pools(api_url: str, token: str) -> dict[str, PoolSeen] | None:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        async with httpx.AsyncClient(timeout=_METRICS_TIMEOUT_S, trust_env=False) as client:
            reply = await client.get(f"{api_url}/metrics", headers=headers)
            reply.raise_for_status()
            families = tuple(text_string_to_metric_families(reply.text))
    except (httpx.HTTPError, ValueError):
        return None
    return pools_in(
        (sample.name, sample.labels, sample.value)
        for family in families
        for sample in family.samples
    )


def _stack(folder: Path) -> Stack | None:
    try:
        stack = Stack.load(folder)
    except (ValueError, TypeError, OSError):
        return None
    return stack if stack is not None and stack.running else None


def _urls(config: GuildSettings, stack: Stack | None) -> dict[str, str]:
    found = {
        "DATABASE_URL": config.database_url.get_secret_value(),
        "GUILD_LOG_DATABASE_URL": config.log_database_url.get_secret_value(),
        "GUILD_MIGRATION_DATABASE_URL": config.migration_database_url.get_secret_value(),
        "REDIS_URL": config.redis_url.get_secret_value(),
    }
    if stack is None:
        return found
    own = {
        "DATABASE_URL": stack.database_url,
        "GUILD_LOG_DATABASE_URL": stack.log_database_url,
        "GUILD_MIGRATION_DATABASE_URL": stack.migration_database_url,
        "REDIS_URL": stack.redis_url,
    }
    return {name: found[name] or own[name] for name in found}


def _secrets(config: GuildSettings, stack: Stack | None, folder: Path) -> dict[str, str]:
    kept: Mapping[str, object] = {}
    if stack is not None:
        try:
            kept = read_private(folder / SECRETS_FILE) or {}
        except (ValueError, OSError):
            kept = {}
    found = {
        "JWT_SECRET": config.jwt_secret.get_secret_value() or str(kept.get("jwt_secret", "")),
        "SECRET_KEY": config.secret_key.get_secret_value() or str(kept.get("secret_key", "")),
    }
    if stack is not None:
        found["RAY_AUTH_TOKEN"] = stack.ray_token
    for name, url in _urls(config, stack).items():
        found[f"the password of {name}"] = urlsplit(url).password or ""
    return {part: value for name, text in found.items() for part, value in _keys(name, text)}


def _keys(name: str, text: str) -> list[tuple[str, str]]:
    """A ring of keys as the keys that it holds."""
    try:
        ring = json.loads(text) if text.lstrip().startswith("[") else None
        return [(f"{name}, key {one['kid']}", str(one["key"])) for one in ring or ()] or [
            (name, text)
        ]
    except (ValueError, TypeError, KeyError):
        return [(name, text)]


def _of_files(folder: Path) -> list[Finding]:
    found = []
    for name in (STATE_FILE, SECRETS_FILE):
        try:
            mode = stat.S_IMODE((folder / name).stat().st_mode)
        except OSError:
            continue
        if mode & 0o077:
            text = "holds secrets and others may read it: chmod 600"
            found.append(Finding(level=Level.BAD, about=name, text=text))
        else:
            found.append(Finding(level=Level.OK, about=name, text="only its owner may read it"))
    return found


async def _pending(owner_url: str) -> list[str] | None:
    if not owner_url:
        return None
    try:
        return await pending(owner_url)
    except (OSError, TimeoutError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return None


if __name__ == "__main__":
    app()
