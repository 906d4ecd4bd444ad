"""A deployment behind a real nginx: started beside, switched to, and back, under requests."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from actors.settings import RolloutSettings
from cluster.generations import Colour, Rollout
from cluster.problem import StackProblem
from cluster.process import free_ports, spawn, stop
from cluster.rolling import Rolling, alive
from cluster.switching import Front as Switch
from tests.fixtures.require import require_service
from tests.integration.nginx.nodes import Front, front, front_files, until

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]


class World:
    """An nginx, a folder, and generations that are started in the way that a test says."""

    def __init__(self, nginx: Front, config: Path, folder: Path, ports: tuple[int, int]) -> None:
        self.nginx = nginx
        self.folder = folder
        self.config = config
        self.way = "good"
        self.said: list[str] = []
        self._ports = ports
        self._children: list[subprocess.Popen[bytes]] = []

    def rolling(self, *, program: str = "nginx") -> Rolling:
        """A new command's."""
        return Rolling(
            RolloutSettings(
                ports=self._ports,
                ready_timeout_s=15 if self.way == "good" else 3,
                poll_s=0.1,
                front_checks=3,
                drain_s=2,  # nginx's workers of before have ended by then
                stop_timeout_s=10,
            ),
            folder=self.folder,
            front=Switch(self.config, program=program),
            front_url=self.nginx.url,
            host="",
            launch=self._launch,
            say=self.said.append,
        )

    def answers(self, colour: str) -> bool:
        """Whether it is the one that nginx asks."""
        with self.nginx.client(keeps=False) as client:
            return bool(client.get("/api/v1/any").json()["colour"] == colour)

    def end(self) -> None:
        """Ends every generation."""
        for child in self._children:
            stop(child, signal.SIGTERM, timeout_s=5)

    def _launch(self, colour: Colour, port: int) -> int:
        child = spawn(
            [sys.executable, "-m", "tests.fixtures.generation", str(port), colour, self.way],
            log=self.folder / f"{colour}.log",
            environment={**os.environ, "PYTHONPATH": str(ROOT)},
            death_signal=signal.SIGKILL,
            cwd=ROOT,
        )
        self._children.append(child)
        return child.pid


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    program = require_service("nginx")
    port, blue, green, nobody = free_ports(4)
    config = front_files(tmp_path / "guild", port=port, nodes=[nobody])
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "guild" / "tls.crt"))
    with front(program, config, port=port) as running:
        world = World(running, config, tmp_path, (blue, green))
        try:
            yield world
        finally:
            world.end()


@contextmanager
def asked(nginx: Front) -> Iterator[Counter[tuple[str, int]]]:
    """Asks all the while: who answered, and how."""
    seen: Counter[tuple[str, int]] = Counter()
    over = threading.Event()

    def ask() -> None:
        with nginx.client(keeps=False) as client:
            while not over.is_set():
                for method in ("GET", "POST"):
                    try:
                        answer = client.request(method, "/api/v1/any")
                    except httpx.HTTPError:
                        seen["nobody", 0] += 1
                        continue
                    seen[answer.json().get("colour", "nobody"), answer.status_code] += 1
                time.sleep(0.02)

    asking = [threading.Thread(target=ask) for _ in range(3)]
    for one in asking:
        one.start()
    try:
        yield seen
    finally:
        over.set()
        for one in asking:
            one.join()


async def test_a_deployment_and_the_way_back_fail_no_request(world: World) -> None:
    await world.rolling().deploy(ROOT)

    with asked(world.nginx) as seen:
        until(lambda: world.answers("blue"))
        await world.rolling().deploy(ROOT)
        until(lambda: world.answers("green"))
        both_live = all(map(alive, Rollout.load(world.folder).generations.values()))
        await world.rolling().roll_back()
        until(lambda: world.answers("blue"))

    assert both_live
    assert {status for _, status in seen} == {200}
    assert {colour for colour, _ in seen} == {"blue", "green"}
    assert Rollout.load(world.folder).former is None  # the one nobody wants has ended
    assert await world.rolling().verify() == []


@pytest.mark.parametrize("way", ["sick", "short"])
async def test_one_that_does_not_come_up_is_not_switched_to(world: World, way: str) -> None:
    await world.rolling().deploy(ROOT)
    until(lambda: world.answers("blue"))
    world.way = way

    with asked(world.nginx) as seen, pytest.raises(StackProblem, match="green"):
        await world.rolling().deploy(ROOT)

    assert set(seen) == {("blue", 200)}
    rollout = Rollout.load(world.folder)
    assert rollout.live is Colour.BLUE
    assert rollout.former is None


async def test_where_nginx_does_not_take_its_file_the_former_one_is_there_again(
    world: World,
) -> None:
    await world.rolling().deploy(ROOT)
    until(lambda: world.answers("blue"))
    upstream = world.config.with_name("upstream.conf")
    before = upstream.read_text()

    with pytest.raises(StackProblem, match="nginx"):
        await world.rolling(program="false").deploy(ROOT)

    assert upstream.read_text() == before
    assert world.answers("blue")
    assert Rollout.load(world.folder).live is Colour.BLUE


async def test_there_is_no_way_back_to_one_that_died(world: World) -> None:
    await world.rolling().deploy(ROOT)
    await world.rolling().deploy(ROOT)
    await world.rolling().retire()

    with pytest.raises(StackProblem, match="no former generation"):
        await world.rolling().roll_back()

    until(lambda: world.answers("green"))
