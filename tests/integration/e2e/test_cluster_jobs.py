"""`guild job …` on a real cluster, and a backup of the stack that comes back as another one."""

import asyncio
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.local_stack import ROOT, clean_environment, started
from cluster.api import Api
from cluster.state import SECRETS_FILE, Stack
from tests.fixtures.services import service_folder
from tests.fixtures.stack import as_admin

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


def guild(stack: Stack, *arguments: str | Path, **more: str) -> "subprocess.CompletedProcess[str]":
    """The command as an operator of the stack gives it."""
    return subprocess.run(
        [sys.executable, "-m", "cluster.cli", *map(str, arguments)],
        cwd=ROOT,
        env=clean_environment({"GUILD_DATA_DIR": stack.folder, **more}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


async def _task_of(admin: Api, name: str) -> dict[str, Any]:
    """The newest one; they are listed oldest first."""
    shown: list[dict[str, Any]] = []
    cursor: dict[str, str | int] = {}
    for _ in range(50):
        page = (await admin.get("/tasks", limit=100, **cursor)).body
        shown += [one for one in page["items"] if one["labels"].get("job") == name]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    return shown[-1]


async def test_a_job_is_followed_to_its_end_and_shown_as_a_task(
    stack: Stack, admin: Api, tmp_path: Path
) -> None:
    (tmp_path / "a.md").write_text("# A page that a job of the cluster brings")

    done = guild(stack, "job", "ingest", tmp_path, "--prefix", "by-job")
    task = await _task_of(admin, "ingest")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 created, 0 updated" in done.stdout
    assert task["status"] == "completed"
    assert "1 created" in task["result"]


@pytest.mark.long
async def test_a_job_that_fails_ends_with_its_code_and_so_does_its_task(
    stack: Stack, admin: Api, tmp_path: Path
) -> None:
    (tmp_path / "b.pdf").write_bytes(b"no PDF at all")

    failed = guild(stack, "job", "ingest", tmp_path, "--prefix", "by-bad-job")
    task = await _task_of(admin, "ingest")
    newest = json.loads(guild(stack, "job", "list", "--json").stdout)[0]

    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert (newest["name"], newest["code"]) == ("ingest", 1)
    assert task["status"] == "failed"
    assert "1 failed" in task["error"]


@pytest.mark.long
def test_a_job_is_left_alone_looked_at_and_stopped(stack: Stack) -> None:
    job_id = guild(
        stack, "job", "load-test", "--detach", "--no-task", "--seconds", "120", "--rate", "2"
    ).stdout.strip()
    deadline = time.monotonic() + 60
    while json.loads(guild(stack, "job", "status", job_id).stdout)["status"] == "PENDING":
        assert time.monotonic() < deadline
        time.sleep(0.5)

    stopped = guild(stack, "job", "stop", job_id)
    status = guild(stack, "job", "status", job_id)
    unknown = guild(stack, "job", "logs", "nobody")

    assert stopped.stdout.split() == [job_id, "STOPPED"], stopped.stderr
    assert status.returncode != 0
    assert unknown.returncode == 2


@pytest.mark.long
def test_a_load_test_says_how_fast_and_leaves_nothing(stack: Stack) -> None:
    done = guild(stack, "load-test", "--seconds", "3", "--connections", "4", "--json")

    report = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert report["per_s"] > 0
    assert all(one["answered"] and not one["failed"] for one in report["kinds"].values())


@pytest.mark.long
async def test_a_stretch_of_the_log_is_replayed_to_a_subscription(stack: Stack, admin: Api) -> None:
    assert stack.admin is not None
    login = {"login": stack.admin.name, "password": stack.admin.secret}
    declared = {"filter": {"types": ["sage.task.*"]}, "sink": {"kind": "pull"}}
    async with httpx.AsyncClient(base_url=stack.api_url, timeout=30) as client:
        token = (await client.post("/oauth/login", json=login)).json()["access_token"]
        made = await client.put(
            "/api/v1/subscriptions/replayed",
            json=declared,
            headers={"Authorization": f"Bearer {token}"},
        )
    assert made.status_code == 201, made.text
    await admin.post("/tasks", {"name": "a task that is told of twice"})

    done = guild(stack, "replay", "replayed", "--from", "beginning", "--json")

    replay = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert replay["state"] == "completed"
    assert replay["delivered"] > 0


@pytest.mark.long
async def test_the_index_is_rebuilt_while_searches_go_on(stack: Stack, admin: Api) -> None:
    document = {"external_id": "rebuilt", "content": "# Quokkas\n\nLive on Rottnest."}
    position = (await admin.post("/rag/documents", document)).position
    search = {"query": "Quokkas", "mode": "lexical", "min_position": position}
    working = asyncio.create_task(asyncio.to_thread(guild, stack, "rebuild-index"))

    found, asked = 0, 0
    while not working.done() and asked < 2_000:
        hits = (await admin.post("/rag/search", search)).body["hits"]
        found += any(hit["external_id"] == "rebuilt" for hit in hits)
        asked += 1

    done = await working
    assert done.returncode == 0, done.stderr
    assert found == asked > 0


@pytest.mark.long
async def test_a_backup_of_the_stack_comes_back_as_a_stack_of_its_own(
    stack: Stack, admin: Api, tmp_path: Path
) -> None:
    made = (await admin.post("/tasks", {"name": "what must not be lost"})).body
    copy = tmp_path / "backup"

    taken = guild(stack, "job", "backup", copy)
    assert taken.returncode == 0, taken.stdout + taken.stderr
    with service_folder() as folder:
        data = folder / "data"
        data.mkdir()
        shutil.copyfile(Path(stack.folder) / SECRETS_FILE, data / SECRETS_FILE)
        restored = guild(stack, "restore", copy, "--json", GUILD_DATA_DIR=str(data))
        again = guild(stack, "restore", copy, "--json", GUILD_DATA_DIR=str(data))
        with started(data) as other:
            async with as_admin(other) as api:
                kept = (await api.get(f"/tasks/{made['task_id']}")).body
                new = await api.post("/tasks", {"name": "life goes on"})

    assert restored.returncode == 0, restored.stderr
    assert json.loads(restored.stdout)["epoch"] == 2
    assert again.returncode == 2
    assert "is not empty" in json.loads(again.stdout)["problem"]
    assert kept == made
    assert new.position is not None
    assert new.position.startswith("2-")
