"""Everything a stack started, and only that: the processes that carry its marker.

The marker is a variable in the environment a process was started with. Children inherit it, also
through daemons that leave our process group, so no list of pids has to be kept.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from cluster.process import parse_stat

VARIABLE = "GUILD_STACK_ID"
_PROC = Path("/proc")
_POLL_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """One living process of a stack, as the kernel describes it."""

    pid: int
    parent: int
    argv: tuple[str, ...]

    @property
    def program(self) -> str:
        """Name of the program, without its folder and without a title it gave itself."""
        return Path(self.argv[0].split(" ")[0]).name if self.argv else ""

    @property
    def title(self) -> str:
        """A short name for people: the program, or what an interpreter runs."""
        if not self.program.startswith("python"):
            return self.program
        for option, argument in pairwise(self.argv):
            if option == "-m" or argument.endswith(".py"):
                return Path(argument).name
        return self.program


def environment(stack_id: str) -> dict[str, str]:
    """What a child needs so that it, and its children, carry the marker.

    Ray's workers rename themselves and would overwrite their environment block with the new name;
    ``SPT_NOENV`` keeps it readable.
    """
    return {VARIABLE: stack_id, "SPT_NOENV": "1"}


def carries(environ: bytes, stack_id: str) -> bool:
    """Whether an environment block, as in ``/proc/<pid>/environ``, has this stack's marker."""
    return f"{VARIABLE}={stack_id}".encode() in environ.split(b"\0")


def find(stack_id: str) -> list[Marked]:
    """The living processes of a stack: the marked ones and everything below them.

    Servers that write their state into their title (PostgreSQL's children) lose the marker, hence
    the descendants. Zombies are not alive; processes of other users that hide are not ours.
    """
    seen = {process.pid: process for process in living()}
    ours = {pid for pid in seen if carries(_read(pid, "environ"), stack_id)}
    grown = True
    while grown:
        below = {pid for pid, process in seen.items() if process.parent in ours} - ours
        ours |= below
        grown = bool(below)
    ours -= {os.getpid()}
    return [seen[pid] for pid in sorted(ours)]


def end(
    stack_id: str, *, timeout_s: float, gently: Iterable[str] = (), spare: Iterable[str] = ()
) -> list[int]:
    """Ends every process of a stack; returns the pids that would not go.

    Args:
        stack_id: the marker.
        timeout_s: for all of it. Half of it is given to the programs named in ``gently``.
        gently: programs that get SIGINT first (PostgreSQL's fast stop, which leaves clean data).
        spare: programs left alone, with everything below them.
    """
    gentle, spared = frozenset(gently), frozenset(spare)
    started = time.monotonic()
    asked: set[int] = set()
    while True:
        everything = find(stack_id)
        left = [one for one in everything if not _below(one, everything, spared)]
        passed = time.monotonic() - started
        if not left or passed > timeout_s:
            return [process.pid for process in left]
        for process in left:
            if passed > timeout_s / 2 or not _below(process, left, gentle):
                _signal(process.pid, signal.SIGKILL)
            elif process.program in gentle and process.pid not in asked:
                asked.add(process.pid)
                _signal(process.pid, signal.SIGINT)
        time.sleep(_POLL_S)


def _below(process: Marked, everything: list[Marked], programs: frozenset[str]) -> bool:
    """Whether it is one of these programs or was started by one."""
    by_pid = {other.pid: other for other in everything}
    current: Marked | None = process
    while current is not None:
        if current.program in programs:
            return True
        current = by_pid.get(current.parent)
    return False


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def living() -> Iterator[Marked]:
    """All that runs on this machine, whoever started it."""
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        pid = int(entry.name)
        stat = _read(pid, "stat")
        if not stat:
            continue
        state, parent = parse_stat(stat.decode(errors="replace"))
        if state in "ZX":
            continue
        argv = _read(pid, "cmdline").rstrip(b"\0").split(b"\0")
        yield Marked(
            pid=pid, parent=parent, argv=tuple(part.decode(errors="replace") for part in argv)
        )


def _read(pid: int, name: str) -> bytes:
    try:
        return (_PROC / str(pid) / name).read_bytes()
    except OSError:  # it ended meanwhile, or belongs to somebody else
        return b""
