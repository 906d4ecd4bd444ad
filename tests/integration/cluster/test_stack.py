"""One stack, killed piece by piece. The tests run in this order: the last one ends it."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import httpx
import pytest
import redis

from cluster import marker
from cluster.process import free_ports
from cluster.state import Stack
from tests.fixtures.services import PreparedDatabase, RunningValkey, run_now, service_folder
from tests.integration.cluster.stack_process import (
    clean_environment,
    eventually,
    refused,
    running,
)

pytestmark = pytest.mark.integration

_READY_S = 240.0  # on two busy cores
_COUNTER = """
import sys, ray
ray.init(namespace="test", log_to_driver=False)

@ray.remote(num_cpus=0.01, max_restarts=-1)
class Counter:
    def __init__(self):
        self.value = 0
    def add(self):
        self.value += 1
        return self.value

options = dict(name="counter", lifetime="detached", get_if_exists=True)
print(ray.get(Counter.options(**options).remote().add.remote(), timeout=120))
"""


class RunningStack:
    """What the tests share: the child and where it keeps its state."""

    def __init__(self, folder: Path, port: int, process: subprocess.Popen[bytes]) -> None:
        self.folder = folder
        self.port = port
        self.process = process

    @property
    def state(self) -> Stack:
        stack = Stack.load(self.folder)
        assert stack is not None
        return stack

    def answers(self) -> bool:
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    def kill(self, part: str) -> int:
        """Kills one part; returns its pid."""
        pid = self.state.pids[part]
        os.kill(pid, signal.SIGKILL)
        return pid

    def count(self) -> int:
        """Calls one detached actor, from a driver of its own."""
        done = subprocess.run(
            [sys.executable, "-c", _COUNTER],
            env=clean_environment() | self.state.client_environment(),
            capture_output=True,
            text=True,
            timeout=180,
            check=True,
        )
        return int(done.stdout.split()[-1])


@pytest.fixture(scope="module")
def stack() -> Iterator[RunningStack]:
    port = free_ports(1)[0]
    with service_folder() as base, running(base / "g", port, clean_environment()) as process:
        started = RunningStack(base / "g", port, process)

        def ready() -> bool:
            assert process.poll() is None, (base / "g.up.log").read_text()
            found = Stack.load(base / "g")
            return found is not None and found.ready

        eventually(ready, timeout_s=_READY_S, what="the stack is ready")
        yield started


def test_the_stack_answers_and_keeps_its_secrets_to_itself(stack: RunningStack) -> None:
    modes = {
        name: (stack.folder / name).stat().st_mode & 0o777
        for name in ("stack.json", "secrets.json", "valkey/valkey.conf")
    }

    assert stack.answers()
    assert set(modes.values()) == {0o600}
    assert stack.state.running


def test_ray_asks_for_its_token(stack: RunningStack) -> None:
    url = f"{stack.state.dashboard_url}/api/serve/applications/"
    token = {"Authorization": f"Bearer {stack.state.ray_token}"}

    without, with_token = httpx.get(url), httpx.get(url, headers=token)

    assert (without.status_code, with_token.status_code) == (401, 200)


def test_a_second_start_names_the_first(stack: RunningStack) -> None:
    sentence = refused(stack.folder, free_ports(1)[0])

    assert sentence.startswith(
        f"a stack already runs on {stack.folder}"
        f" (pid {stack.process.pid}, http://127.0.0.1:{stack.port})"
    )


def test_a_killed_postgres_comes_back_with_its_data(stack: RunningStack) -> None:
    async def guilds() -> int:
        connection = await asyncpg.connect(stack.state.log_database_url, timeout=5)
        try:
            return int(await connection.fetchval("SELECT count(*) FROM guilds"))
        finally:
            await connection.close()

    before = run_now(guilds())
    dead = stack.kill("postgres")
    eventually(lambda: stack.state.pids["postgres"] != dead, timeout_s=30, what="PostgreSQL")

    assert before == 1
    assert run_now(guilds()) == 1


def test_a_killed_valkey_comes_back_with_its_keys(stack: RunningStack) -> None:
    client = redis.Redis.from_url(stack.state.redis_url)
    client.set("kept", "yes")
    client.bgrewriteaof()

    dead = stack.kill("valkey")
    eventually(lambda: stack.state.pids["valkey"] != dead, timeout_s=30, what="Valkey")

    assert client.get("kept") == b"yes"


def test_a_killed_gcs_is_executed_again_and_actors_keep_their_state(stack: RunningStack) -> None:
    first = stack.count()

    dead = stack.kill("gcs_server")
    eventually(lambda: stack.state.pids["gcs_server"] != dead, timeout_s=15, what="the GCS")

    assert stack.count() == first + 1
    assert stack.answers()


def test_a_killed_raylet_means_a_new_ray_and_the_app_returns(stack: RunningStack) -> None:
    dead = stack.kill("raylet")

    eventually(
        lambda: stack.state.pids["raylet"] != dead and stack.answers(),
        timeout_s=_READY_S,
        what="Ray and the app",
    )

    assert stack.count() == 1


def test_a_killed_watchdog_is_replaced(stack: RunningStack) -> None:
    dead = stack.kill("watchdog")

    eventually(lambda: stack.state.pids["watchdog"] != dead, timeout_s=10, what="the watchdog")


def test_nothing_outlives_an_owner_that_is_killed(stack: RunningStack) -> None:
    stack_id = stack.state.stack_id
    programs = {process.program for process in marker.find(stack_id)}

    stack.process.kill()
    stack.process.wait()

    eventually(lambda: not marker.find(stack_id), timeout_s=25, what="all of it has ended")
    assert {"postgres", "valkey-server", "raylet", "gcs_server", "haproxy"} <= programs


def test_given_servers_are_used_and_ours_do_not_start(
    postgres: PreparedDatabase, valkey: RunningValkey
) -> None:
    environment = clean_environment(
        DATABASE_URL=postgres.app_url,
        GUILD_LOG_DATABASE_URL=postgres.log_url,
        GUILD_MIGRATION_DATABASE_URL=postgres.owner_url,
        REDIS_URL=valkey.url,
    )
    with service_folder() as base, running(base / "g", free_ports(1)[0], environment) as process:
        log = base / "g.up.log"

        eventually(
            lambda: "the database is up" in log.read_text(), timeout_s=120, what="migrations"
        )
        found = Stack.load(base / "g")
        assert found is not None
        programs = [one.program for one in marker.find(found.stack_id)]
        process.send_signal(signal.SIGINT)  # in the middle of Ray's start
        status = process.wait(60)

        assert "postgres" not in programs
        assert programs.count("valkey-server") <= 1  # the GCS's own
        assert status == 0
        assert not marker.find(found.stack_id)
        assert found.database_url == postgres.app_url
