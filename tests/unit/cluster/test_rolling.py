"""A switch that is interrupted, and what the next command makes of it."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from actors.settings import RolloutSettings
from cluster import smoke
from cluster.generations import Colour, Generation, Rollout, upstream
from cluster.problem import StackProblem
from cluster.rolling import Rolling, alive
from cluster.switching import Front

_BEFORE = "upstream guild { server 127.0.0.1:8000; }\n"
_FRONT = "http://front.test"


class World:
    """nginx that takes everything, and generations that are processes which sleep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.front_faults: list[str] = []
        self.taken: set[int] = set()
        self.switching = asyncio.Event()
        self.upstream = folder / "upstream.conf"
        self.upstream.write_text(_BEFORE)
        self.children: list[subprocess.Popen[bytes]] = []

    def rolling(self, *, switch_timeout_s: float = 0.001) -> Rolling:
        return Rolling(
            RolloutSettings(
                poll_s=0.001,
                front_checks=1,
                switch_timeout_s=switch_timeout_s,
                drain_s=0,
                stop_timeout_s=0.5,
            ),
            folder=self.folder,
            front=Front(self.folder / "nginx.conf", program="true"),
            front_url=_FRONT,
            host="",
            launch=lambda _colour, _port: self.start().pid,
            say=lambda _text: None,
        )

    async def check(self, url: str, **_: object) -> list[str]:
        if url != _FRONT:
            return []
        self.switching.set()
        return self.front_faults

    def start(self) -> subprocess.Popen[bytes]:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        self.children.append(child)
        return child

    def generation(self, colour: Colour) -> Generation:
        pid = self.start().pid
        born = psutil.Process(pid).create_time()
        port = {Colour.BLUE: 8001, Colour.GREEN: 8002}[colour]
        return Generation(colour=colour, port=port, pid=pid, born=born, root="/srv")


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    world = World(tmp_path)
    monkeypatch.setattr(smoke, "check", world.check)
    monkeypatch.setattr("cluster.rolling.port_is_free", lambda port: port not in world.taken)
    yield world
    for child in world.children:
        child.kill()
        child.wait()


async def test_a_deployment_that_is_stopped_while_it_switches_leaves_nginx_as_it_was(
    world: World,
) -> None:
    world.front_faults = ["nobody answers"]

    deploying = asyncio.create_task(world.rolling(switch_timeout_s=60).deploy(Path("/srv")))
    await world.switching.wait()
    deploying.cancel()
    await asyncio.gather(deploying, return_exceptions=True)

    assert world.upstream.read_text() == _BEFORE
    assert world.children[0].wait(5) is not None
    assert Rollout.load(world.folder) == Rollout()


async def test_where_the_first_one_is_not_reached_nginx_asks_whom_it_asked(world: World) -> None:
    world.front_faults = ["nobody answers"]

    with pytest.raises(StackProblem, match="blue is not reached"):
        await world.rolling().deploy(Path("/srv"))

    assert world.upstream.read_text() == _BEFORE


async def test_who_answers_is_whom_nginx_asks_whatever_was_noted(world: World) -> None:
    blue, green = world.generation(Colour.BLUE), world.generation(Colour.GREEN)
    Rollout(live=Colour.BLUE).with_(blue).with_(green).save(world.folder)
    world.upstream.write_text(upstream(green.port))  # and then the command was killed

    deployed = await world.rolling().deploy(Path("/srv"))

    assert deployed.colour is Colour.BLUE
    assert alive(green)
    assert not alive(blue)


async def test_the_last_one_that_lives_is_not_ended(world: World) -> None:
    blue, green = world.generation(Colour.BLUE), world.generation(Colour.GREEN)
    Rollout(live=Colour.GREEN).with_(blue).with_(green).save(world.folder)
    world.children[1].kill()
    world.children[1].wait()

    with pytest.raises(StackProblem, match="green has died: go back to blue"):
        await world.rolling().retire()

    assert alive(blue)


async def test_who_answers_at_its_port_is_not_taken_for_the_new_one(world: World) -> None:
    world.taken = {8001}

    with pytest.raises(StackProblem, match="port 8001 is taken"):
        await world.rolling().deploy(Path("/srv"))

    assert world.children == []
    assert world.upstream.read_text() == _BEFORE


async def test_one_that_nginx_could_not_be_turned_away_from_is_not_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.front_faults = ["nobody answers"]
    use = Front.use

    def only_there(front: Front, text: str) -> str:
        if text == _BEFORE:
            raise StackProblem("nginx does not take its files")
        return use(front, text)

    monkeypatch.setattr(Front, "use", only_there)

    with pytest.raises(StackProblem, match="does not take its files"):
        await world.rolling().deploy(Path("/srv"))

    assert world.children[0].poll() is None


async def test_one_that_failed_is_ended_where_nginx_asked_its_port_before(world: World) -> None:
    world.upstream.write_text(upstream(8001))
    world.front_faults = ["nobody answers"]

    with pytest.raises(StackProblem, match="blue is not reached"):
        await world.rolling().deploy(Path("/srv"))

    assert world.children[0].wait(5) is not None
