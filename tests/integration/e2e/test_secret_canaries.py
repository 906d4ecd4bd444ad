"""The whole stack with secrets that can be found: they are where they must be, and nowhere else."""

import asyncio
import contextlib
import json
import os
import secrets
import signal
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import asyncpg
import httpx
import pytest

from benchmarks.local_stack import started
from cluster import marker
from cluster.credentials import Credentials
from cluster.state import SECRETS_FILE, STATE_FILE, Stack
from tests.fixtures.gateway import key
from tests.fixtures.services import service_folder

pytestmark = [pytest.mark.integration, pytest.mark.timeout(600)]

PROVIDER = f"canary-provider-{secrets.token_hex(16)}"
PRIVATE_FILES = {SECRETS_FILE, STATE_FILE, "valkey.conf"}
"""Closed to others, and what the programs learn their own passwords from."""


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with service_folder() as folder:
        yield folder / "data"


@pytest.fixture(scope="module")
def stack(folder: Path) -> Iterator[Stack]:
    with started(folder, GUILD_EMBEDDING__API_KEY=PROVIDER, LOG_LEVEL="DEBUG") as running:
        yield running


async def test_no_secret_is_in_a_log_a_metric_redis_a_snapshot_or_a_command_line(
    stack: Stack, folder: Path
) -> None:
    kept = asdict(Credentials(**json.loads((folder / SECRETS_FILE).read_text())))
    assert stack.admin is not None
    async with httpx.AsyncClient(base_url=stack.api_url, timeout=60) as client:
        login = {"login": stack.admin.name, "password": stack.admin.secret}
        token = (await client.post("/oauth/login", json=login)).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        hook = {"sink": {"kind": "webhook", "url": "https://hooks.example.test/guild"}}
        made = await client.put("/api/v1/subscriptions/canary", json=hook, headers=key())
        document = {"source": {"id": "canary"}, "content": "# A document\n\nof the canaries."}
        await client.post("/api/v1/rag/documents", json=document, headers=key())
        found = {**kept, "token": token, "provider": PROVIDER}
        if made.status_code < 300:
            found["webhook"] = made.json()["secret"]
        await misused(client, found)
        metrics = (await client.get("/metrics")).text
    crashed = await crash(stack)
    await checkpoint(stack)

    hits = {
        (where, name)
        for where, text in [*files(folder), *command_lines(stack), ("metrics", metrics.encode())]
        for name, secret in found.items()
        if secret.encode() in text
    }
    assert {hit for hit in hits if not excepted(*hit)} == set()
    assert crashed
    assert "http_request_duration_seconds" in metrics
    assert len(list(command_lines(stack))) > 5
    names = {name for name, _ in files(folder)}
    for part in ("/pg_wal/", "appendonly", "/logs/", ".log"):
        assert any(part in name for name in names), part


def excepted(where: str, name: str) -> bool:
    """Two that are known: the first start shows the administrator's password to whoever starts it,
    and Ray gives its own parts the password of its own store as an argument.
    """
    shown_once = where.endswith(".up.log") and name == "admin_password"
    return shown_once or (where.startswith("command line") and name == "gcs_store")


async def misused(client: httpx.AsyncClient, found: dict[str, str]) -> None:
    """Each secret where it does not belong: answers are 4xx."""
    for secret in found.values():
        wrong = [
            client.post("/oauth/login", json={"login": "admin", "password": f"{secret}x"}),
            client.post("/oauth/login", json={"login": secret, secret: secret}),
            client.post("/oauth/token", data={"grant_type": secret, "client_secret": secret}),
            client.get(f"/{secret}"),
            client.get(f"/api/v1/tasks/{secret}?cursor={secret}"),
            client.get("/api/v1/tasks", headers={"Authorization": f"Bearer {secret}x"}),
        ]
        for answer in await asyncio.gather(*wrong):
            assert 400 <= answer.status_code < 600


async def crash(stack: Stack) -> bool:
    """Ends workers as a bug in a library would, with whatever they print then."""
    victims = [
        process.pid
        for process in marker.find(stack.stack_id)
        if b"Member" in command_line(process.pid)
    ]
    for pid in victims[:2]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGABRT)
    await asyncio.sleep(2)
    return bool(victims)


async def checkpoint(stack: Stack) -> None:
    """What PostgreSQL still has in memory goes into its files."""
    kept = Credentials.load_or_make(Path(stack.folder))
    connection = await asyncpg.connect(
        host="127.0.0.1",
        port=int(stack.ports["postgres"]),
        user="postgres",
        password=kept.postgres_admin,
        database="postgres",
    )
    await connection.execute("CHECKPOINT")
    await connection.close()


def files(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Everything below the data folder, and what the stack printed."""
    for path in (*folder.rglob("*"), folder.with_name(f"{folder.name}.up.log")):
        if path.is_file() and not path.is_symlink() and path.name not in PRIVATE_FILES:
            with contextlib.suppress(OSError):  # it went meanwhile
                yield str(path), path.read_bytes()


def command_lines(stack: Stack) -> Iterator[tuple[str, bytes]]:
    for process in marker.find(stack.stack_id):
        yield f"command line of {process.pid}", command_line(process.pid)


def command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
