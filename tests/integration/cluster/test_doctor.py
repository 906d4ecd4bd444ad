"""The doctor before real doors."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from actors.storage.migrate import pending
from cluster.cli import app
from cluster.diagnosis import Door
from cluster.probing import doors, guarded, listeners
from tests.fixtures.services import PreparedDatabase, RunningValkey
from tests.integration.cluster.seen_by_doctor import INSIDE, OPEN

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[3]


def in_a_network_of_its_own(module: str) -> str:
    """What a module prints where nobody else listens; skips without the right to make one."""
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("a network namespace needs root, unshare and ip")
    made = subprocess.run(["unshare", "--net", "true"], check=False, capture_output=True)  # noqa: S607 - found above
    if made.returncode != 0:
        pytest.skip("this kernel lets us make no network namespace")
    command = f'ip link set lo up && exec "{sys.executable}" -m {module}'
    return subprocess.run(
        ["unshare", "--net", "sh", "-c", command],  # noqa: S607 - found above
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    ).stdout


def test_a_door_that_lets_everybody_in_is_found_and_one_on_loopback_is_no_worry() -> None:
    said = json.loads(in_a_network_of_its_own("tests.integration.cluster.seen_by_doctor"))

    assert said["status"] == 2
    assert [(one["level"], one["about"]) for one in said["findings"]] == [
        ("bad", f"Valkey on 0.0.0.0:{OPEN}"),
        ("ok", f"Valkey of Ray on 127.0.0.1:{INSIDE}"),
    ]


async def test_our_own_servers_ask_for_a_password(
    postgres: PreparedDatabase, valkey: RunningValkey
) -> None:
    ports = {
        "postgres": urlsplit(postgres.app_url).port or 0,
        "valkey": urlsplit(valkey.url).port or 0,
    }

    pids = listeners()
    seen = [await guarded(one, pids) for one in doors(ports) if one.port in ports.values()]

    assert {one.part: (one.guard, one.is_open) for one in seen} == {
        "PostgreSQL": ("a password", False),
        "Valkey": ("a password", False),
    }


@pytest.mark.parametrize(
    ("answer", "guard"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\n", "a token"),
        (b"HTTP/1.1 200 OK\r\n", ""),
        (b"HTTP/1.1\r\n", ""),
        (b"\0\0\x18\x04", ""),
        (b"x" * 10_000, ""),
        (None, None),
    ],
    ids=["refuses", "lets in", "no status", "another protocol", "without end", "silent"],
)
async def test_a_door_is_asked_whatever_it_answers(answer: bytes | None, guard: str | None) -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        if answer is None:
            await ended.wait()
        else:
            writer.write(answer)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        door = Door(port=port, address="127.0.0.1", program="python", part="Ray's dashboard")
        seen = await guarded(door, {port: os.getpid()})
        ended.set()

    assert seen.guard == guard


async def test_a_fresh_database_has_nothing_pending(fresh_database: PreparedDatabase) -> None:
    assert await pending(fresh_database.owner_url) == []


def test_the_command_tells_no_secret_and_ends_with_its_verdict(
    postgres: PreparedDatabase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = "canary-4f1d0f6b8a2c4e6f9b7d5c3a1e0f2d4b"
    monkeypatch.setenv("JWT_SECRET", canary)
    monkeypatch.setenv("SECRET_KEY", f'[{{"kid": "2026", "key": "{canary}"}}]')
    monkeypatch.setenv("GUILD_MIGRATION_DATABASE_URL", postgres.owner_url)

    as_json = CliRunner().invoke(app, ["doctor", "--json", "--data-dir", str(tmp_path)])
    as_text = CliRunner().invoke(app, ["doctor", "--data-dir", str(tmp_path)])
    help_ = CliRunner().invoke(app, ["doctor", "--help"])

    said = json.loads(as_json.output)
    levels = {one["about"]: one["level"] for one in said["findings"]}
    assert as_json.exit_code == said["status"]
    assert (levels["JWT_SECRET"], levels["SECRET_KEY, key 2026"]) == ("ok", "ok")
    assert levels["migrations"] == "ok"
    assert canary not in as_json.output + as_text.output
    assert "Example: guild doctor" in help_.output
