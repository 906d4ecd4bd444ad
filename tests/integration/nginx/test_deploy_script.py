"""`scripts/deploy.sh` with two whole generations: nothing fails and nothing is lost on the way."""

import re
import secrets
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from cluster.generations import Rollout
from cluster.process import free_ports
from cluster.state import Stack
from tests.fixtures.require import require_service
from tests.fixtures.services import PreparedDatabase, RunningValkey, service_folder
from tests.integration.cluster.stack_process import ROOT, clean_environment
from tests.integration.nginx.nodes import Front, front, front_files

pytestmark = [pytest.mark.integration, pytest.mark.long, pytest.mark.timeout(900)]


class Machine:
    """One with nginx on it, and the two generations that the script starts."""

    def __init__(self, nginx: Front, folder: Path, environment: Path) -> None:
        self.nginx = nginx
        self.folder = folder
        self._environment = environment

    def script(self, *arguments: str, **more: str) -> str:
        """What it printed; it must have gone well."""
        done = subprocess.run(
            [ROOT / "scripts" / "deploy.sh", *arguments],
            env=clean_environment(GUILD_ENV_FILE=str(self._environment), **more),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def end(self) -> None:
        """Ends what lives."""
        for generation in Rollout.load(self.folder).generations.values():
            try:
                process = psutil.Process(generation.pid)
                process.terminate()
                process.wait(60)
            except psutil.Error:
                continue


@pytest.fixture
def machine(
    fresh_database: PreparedDatabase, valkey: RunningValkey, tmp_path: Path
) -> Iterator[Machine]:
    program = require_service("nginx")
    port, blue, green = free_ports(3)
    config = front_files(tmp_path / "nginx", port=port, nodes=[blue])
    with service_folder() as folder, front(program, config, port=port) as nginx:
        lines = {
            "DATABASE_URL": fresh_database.app_url,
            "GUILD_LOG_DATABASE_URL": fresh_database.log_url,
            "GUILD_MIGRATION_DATABASE_URL": fresh_database.owner_url,
            "REDIS_URL": valkey.url,
            "JWT_SECRET": secrets.token_urlsafe(48),
            "SECRET_KEY": secrets.token_urlsafe(48),
            "GUILD_DATA_DIR": folder,
            "GUILD_GATEWAY__ISSUER": nginx.url,
            "GUILD_GATEWAY__TRUSTED_PROXIES": '["127.0.0.0/8"]',
            "GUILD_ROLLOUT__PORTS": f"[{blue},{green}]",
            "GUILD_ROLLOUT__NGINX_CONFIG": config,
            "GUILD_ROLLOUT__DRAIN_S": "5",
            "SSL_CERT_FILE": nginx.certificate,
        }
        file = tmp_path / "staging.env"
        file.write_text("".join(f"{name}='{value}'\n" for name, value in lines.items()))
        machine = Machine(nginx, folder, file)
        try:
            yield machine
        finally:
            machine.end()


class Caller(threading.Thread):
    """Publishes an event and reads, again and again; remembers what was acknowledged.

    A request is repeated by nginx alone: what fails here has failed.
    """

    def __init__(self, client: httpx.Client, kind: str, number: int) -> None:
        super().__init__()
        self.asked = 0
        self.acknowledged: set[str] = set()
        self.failed: list[str] = []
        self.over = threading.Event()
        self._client, self._kind, self._number = client, kind, number

    def run(self) -> None:
        while not self.over.is_set():
            self._take_turn(f"{self._number}-{self.asked}")
            time.sleep(0.05)

    def _take_turn(self, name: str) -> None:
        if self._well(lambda: self._publish(name)):
            self.acknowledged.add(name)
        self._well(lambda: self._client.get("/api/v1/events", params={"limit": 1}))

    def _well(self, ask: Callable[[], httpx.Response]) -> bool:
        self.asked += 1
        try:
            answer = ask()
        except httpx.HTTPError as error:
            self.failed.append(repr(error))
            return False
        if not answer.is_success:
            self.failed.append(f"{answer.status_code} {answer.text[:200]}")
        return answer.is_success

    def _publish(self, name: str) -> httpx.Response:
        event = {"specversion": "1.0", "id": name, "source": f"/{self._kind}", "type": self._kind}
        headers = {
            "Content-Type": "application/cloudevents+json",
            "Idempotency-Key": f"{self._kind}-{name}",
        }
        return self._client.post("/api/v1/events", json=event, headers=headers)


def test_two_generations_change_places_under_requests(
    machine: Machine, fresh_database: PreparedDatabase, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    first = machine.script("deploy", "staging")
    kind = f"custom.rollout.{uuid.uuid4().hex[:8]}"
    began = time.monotonic()
    with signed_in(machine) as client:
        callers = [Caller(client, kind, number) for number in range(3)]
        for caller in callers:
            caller.start()
        try:
            second = machine.script("deploy", "staging")
            status = machine.script("status", "staging")
            verified = machine.script("verify", "staging")
            machine.script(
                *("backup", str(copy), "staging", "--database", fresh_database.name),
                GUILD_ADMIN_DATABASE_URL=fresh_database.admin_url,
            )
            back = machine.script("rollback", "staging")
        finally:
            for caller in callers:
                caller.over.set()
            for caller in callers:
                caller.join()
    lasted_s = time.monotonic() - began
    acknowledged = set().union(*(caller.acknowledged for caller in callers))
    asked = sum(caller.asked for caller in callers)
    print(f"{asked} requests, {len(acknowledged)} writes acknowledged, in {lasted_s:.0f} s")

    assert "blue answers" in first
    assert "green answers" in second
    assert re.search(r"blue: waits .*alive", status)
    assert re.search(r"green: answers .*alive", status)
    assert verified.strip().endswith("all is well")
    assert (copy / "manifest.json").exists()
    assert "blue answers again" in back
    assert [failure for caller in callers for failure in caller.failed] == []
    assert len(acknowledged) > 50
    assert published(machine, kind) == sorted(acknowledged)
    assert "blue: answers" in machine.script("status", "staging")


@contextmanager
def signed_in(machine: Machine) -> Iterator[httpx.Client]:
    """Speaks to nginx as the administrator, whom the first generation made."""
    stack = Stack.load(machine.folder / "blue")
    assert stack is not None
    assert stack.admin is not None
    login = {"login": stack.admin.name, "password": stack.admin.secret}
    with machine.nginx.client(keeps=False) as client:
        token = client.post("/oauth/login", json=login).raise_for_status().json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


def published(machine: Machine, kind: str) -> list[str]:
    """The ids that the log has, in order; one that is there twice is there twice."""
    found: list[str] = []
    with signed_in(machine) as client:
        query = {"types": kind, "limit": "100"}
        while True:
            page = client.get("/api/v1/events", params=query).raise_for_status().json()
            found += [one["id"] for one in page["events"]]
            if not page["next_cursor"]:
                return sorted(found)
            query["cursor"] = page["next_cursor"]
