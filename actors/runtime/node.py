"""The node that this process runs on, as its metrics name it."""

import socket
from functools import cache, partial
from pathlib import Path

from actors import machine
from actors.settings import GuildSettings


def watch(settings: GuildSettings) -> machine.Watch:
    """What keeps the node's metrics up to date in this process; one for all who ask."""
    folders = {"data": settings.data_dir, "index": settings.index.snapshot_dir}
    name = settings.node_name or socket.gethostname()
    return _watch(name, tuple(folders.items()), settings.runtime.node_look_s)


@cache
def _watch(name: str, folders: tuple[tuple[str, Path], ...], period_s: float) -> machine.Watch:
    return machine.Watch(name, partial(machine.look, dict(folders)), period_s)
