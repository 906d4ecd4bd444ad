"""`python -m cluster.jobs.rebuild_index`, also as `guild rebuild-index`: from the database."""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import ray
import typer
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from rich.console import Console

from actors.errors import DependencyUnavailable, ElderGuildError
from actors.rag.snapshots import Snapshots
from actors.runtime.desired import SUPERVISOR
from actors.runtime.identity import MemberIdentity
from actors.runtime.ray_cluster import NamedActor
from actors.runtime.supervising import Status
from actors.runtime.supervision import Phase
from actors.settings import GuildSettings, settings
from cluster.jobs.progress import Standing, shown
from cluster.jobs.telling import tell
from cluster.problem import StackProblem
from cluster.state import Stack

app = typer.Typer(help="The index anew from the database.")
_POOL = "rag"
_NOTE = "rebuild-index"
_NODE_TIMEOUT_S = 60.0


@app.command("rebuild-index")
def rebuild_index_command() -> None:
    """Drops every snapshot of the index, then replaces the members that search, one by one.

    Each new member fills its index from the database and takes its place when it is ready; the
    former ones answer until then. It is done twice, so that the pool's generation is the one of
    before. Killed at any moment, the same command does it again; until then no snapshot is used.
    Ends with 0, or with 2 when it could not be done.

    Example: guild rebuild-index
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    config = settings()
    status = 2
    try:
        if environment := of_local_stack(config):
            _begin_again(environment)
        with _connected(config):
            asyncio.run(_rebuilt(config, console))
        status = 0
    except (StackProblem, ElderGuildError, ray.exceptions.RayError, OSError) as problem:
        tell(console, (str(problem) or repr(problem)).splitlines()[0], "red")
    except KeyboardInterrupt:
        tell(console, "stopped; run it again, until then no snapshot is used", "yellow")
        status = 130
    raise typer.Exit(status)


def of_local_stack(config: GuildSettings) -> dict[str, str]:
    """What its Ray asks of a driver; nothing where ``GUILD_RAY_ADDRESS`` names a cluster.

    Raises:
        StackProblem: no stack runs. No other Ray of this machine is taken.
    """
    if config.ray_address != "auto":
        return {}
    folder = config.data_dir.resolve()
    stack = Stack.load(folder)
    if stack is None or not stack.running:
        raise StackProblem(
            f"no stack runs in {folder}: name its folder in GUILD_DATA_DIR, or a cluster in"
            " GUILD_RAY_ADDRESS"
        )
    return stack.client_environment()


def _begin_again(environment: dict[str, str]) -> NoReturn:
    """In this process, from its beginning: Ray reads how it signs in when it is imported."""
    module = "cluster.jobs.rebuild_index"
    ours = [sys.executable, "-m", module]
    os.execve(ours[0], ours, {**os.environ, **environment})  # noqa: S606  # our own module


@contextmanager
def _connected(config: GuildSettings) -> Iterator[None]:
    ray.init(address=config.ray_address, namespace=config.ray_namespace, log_to_driver=False)
    try:
        yield
    finally:
        ray.shutdown()


async def _rebuilt(config: GuildSettings, console: Console) -> None:
    supervisor = NamedActor(SUPERVISOR, config.ray_namespace)
    dropped = await _on_every_node(_begin)
    tell(console, f"{sum(dropped)} snapshots dropped on {len(dropped)} nodes")
    stored = (await _status(supervisor)).pools[_POOL].generation
    note = config.jobs.state_dir / _NOTE
    generation = original(stored, _noted(note))
    _write(note, generation)
    for wanted in (generation + 1, generation):
        await supervisor.call("roll", _POOL, wanted)
        await _until_replaced(supervisor, wanted, config, console)
    await _on_every_node(_end)
    note.unlink(missing_ok=True)
    tell(console, "rebuilt")


def original(stored: int, noted: int | None) -> int:
    """The generation to end with: that of before a run that was killed halfway. Pure."""
    return noted if noted is not None and stored == noted + 1 else stored


def _noted(note: Path) -> int | None:
    try:
        return int(note.read_text())
    except (OSError, ValueError):
        return None


def _write(note: Path, generation: int) -> None:
    note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    note.write_text(str(generation))


async def _until_replaced(
    supervisor: NamedActor, generation: int, config: GuildSettings, console: Console
) -> None:
    numbers = config.jobs
    ready, size = 0, 0
    deadline = time.monotonic() + numbers.rebuild_within_s
    async with shown(
        console,
        "rebuild",
        lambda: Standing(done=ready, total=size or None, text=f"members of {_POOL}/{generation}"),
        every_s=numbers.progress_every_s,
    ):
        while True:
            try:
                ready, size, left = replaced(await _status(supervisor), _POOL, generation)
                if ready >= size > 0 and not left:
                    return
            except DependencyUnavailable:
                pass  # the supervisor is being restarted
            if time.monotonic() > deadline:
                raise StackProblem(
                    f"{ready} of {size} members are ready after {numbers.rebuild_within_s:g} s"
                )
            await asyncio.sleep(numbers.rebuild_poll_s)


def replaced(status: Status, pool: str, generation: int) -> tuple[int, int, int]:
    """How many members of a generation are ready, how many are wanted, how many others are left."""
    members = {
        identity: phase
        for name, phase in status.members.items()
        if (identity := MemberIdentity.parse(name)) is not None and identity.pool == pool
    }
    ready = sum(
        identity.generation == generation and phase is Phase.READY
        for identity, phase in members.items()
    )
    left = sum(identity.generation != generation for identity in members)
    return ready, status.pools[pool].size, left


async def _status(supervisor: NamedActor) -> Status:
    status: Status = await supervisor.call("status")
    return status


async def _on_every_node(work: Callable[[], int]) -> list[int]:
    known: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]  # Ray's own
    nodes = [node["NodeID"] for node in known if node["Alive"]]
    task = ray.remote(num_cpus=0)(work)
    asked = [
        task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote()
        for node in nodes
    ]
    try:
        async with asyncio.timeout(_NODE_TIMEOUT_S):
            return list(await asyncio.gather(*asked))
    except TimeoutError as error:
        raise StackProblem(
            f"a node has not answered after {_NODE_TIMEOUT_S:g} s: run it again when all do"
        ) from error


def _begin() -> int:
    return Snapshots(settings().index).begin_rebuilding()


def _end() -> int:
    Snapshots(settings().index).end_rebuilding()
    return 0


if __name__ == "__main__":
    app()
