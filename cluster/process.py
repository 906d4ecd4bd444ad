"""Child processes that never outlive their owner, and how to end them."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cluster.problem import StackProblem

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)

# Below the kernel's range for outgoing connections, above Ray's worker ports and beside the ports
# of Serve's ingress replicas: nothing else is handed a port from here by chance.
_WATCH_PERIOD_S = 0.5
_FIRST_PORT, _LAST_PORT = 20_000, 29_999


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The account a child runs as, when it may not be ours."""

    uid: int
    gid: int


# Children that somebody waits for by name. The rest of our children were adopted.
_own: set[subprocess.Popen[bytes]] = set()
_starting = threading.Lock()


def spawn(
    argv: Sequence[str],
    *,
    log: Path,
    environment: Mapping[str, str],
    death_signal: signal.Signals,
    identity: Identity | None = None,
    cwd: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Starts a child in a session of its own (Ctrl-C must not reach it) that dies with us.

    Call it from the main thread: the kernel sends the death signal when the *thread* that started
    the child ends.

    Args:
        argv: program and arguments.
        log: its output is appended here.
        environment: the whole environment of the child.
        death_signal: what the kernel sends it when we die, even by kill -9.
        identity: another account, when we are root and the program refuses root.
        cwd: working folder.
    """
    owner = os.getpid()

    def die_with_owner() -> None:
        # After the change of account, which would clear it.
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != owner:  # the owner died before the line above
            os.kill(os.getpid(), signal.SIGKILL)

    with log.open("ab") as output, _starting:
        process = subprocess.Popen(  # noqa: S603 - a fixed program, no shell
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=cwd,
            start_new_session=True,
            preexec_fn=die_with_owner,
            user=identity.uid if identity else None,
            group=identity.gid if identity else None,
            extra_groups=[] if identity else None,
        )
        _own.add(process)
    return process


def run(
    argv: Sequence[str],
    *,
    timeout_s: float,
    environment: Mapping[str, str],
    identity: Identity | None = None,
    cwd: Path | None = None,
    output: IO[bytes] | None = None,
    watch: Callable[[], None] = lambda: None,
) -> tuple[int, str]:
    """Runs a short program to its end, in any thread; its exit status and all it printed.

    With ``output`` it prints there, and the text returned is empty. ``watch`` is called now and
    then meanwhile; what it raises ends the program and is raised here.

    Raises:
        subprocess.TimeoutExpired: it took too long and was ended.
        OSError: it cannot be started.
    """
    with _starting:
        process = subprocess.Popen(  # noqa: S603 - a fixed program, no shell
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if output is None else output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            cwd=cwd,
            start_new_session=True,
            user=identity.uid if identity else None,
            group=identity.gid if identity else None,
            extra_groups=[] if identity else None,
        )
        _own.add(process)
    deadline = time.monotonic() + timeout_s
    try:
        while True:
            try:
                printed, _ = process.communicate(timeout=_WATCH_PERIOD_S)
                break
            except subprocess.TimeoutExpired:
                if time.monotonic() > deadline:
                    raise
                watch()
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        _own.discard(process)
    return process.returncode, (printed or b"").decode(errors="replace")


def stop(process: subprocess.Popen[bytes], how: signal.Signals, *, timeout_s: float) -> None:
    """Asks a child to end, waits, then ends it, and reaps it. A dead child is only reaped."""
    if process.poll() is not None:
        return
    process.send_signal(how)
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    _own.discard(process)


def adopt_orphans() -> None:
    """Makes this process the parent of daemons whose own parent ends, so that it can reap them."""
    if _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER) failed")


def port_is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Whether a server could listen there now; a connection in TIME_WAIT does not matter."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def free_ports(count: int, *, taken: Iterable[int] = ()) -> list[int]:
    """Distinct ports nobody listens on, on any interface.

    Args:
        count: how many.
        taken: ports already chosen for something else.
    """
    found: list[int] = []
    avoid = set(taken)
    span = _LAST_PORT - _FIRST_PORT + 1
    # Two stacks that start together look in different places.
    start = (os.getpid() * 7919 + time.monotonic_ns()) % span
    for step in range(span):
        if len(found) == count:
            return found
        port = _FIRST_PORT + (start + step * 17) % span
        if port not in avoid and port_is_free(port, "0.0.0.0"):  # noqa: S104  # nosec B104
            avoid.add(port)
            found.append(port)
    raise StackProblem(f"no {count} free ports between {_FIRST_PORT} and {_LAST_PORT}")


def reap_adopted() -> list[int]:
    """Collects the adopted children that died; returns their pids.

    Never one of `spawn` or `run`: their exit status belongs to whoever started them.
    """
    me, dead = os.getpid(), list[int]()
    with _starting:
        if not _has_dead_children():
            return dead
        own = waited_for()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) in own:
                continue
            try:
                state, parent = parse_stat((entry / "stat").read_text(errors="replace"))
            except OSError:
                continue
            if parent == me and state == "Z":
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(int(entry.name), os.WNOHANG)
                    dead.append(int(entry.name))
    return dead


def waited_for() -> set[int]:
    """Pids of our own children; the kernel may give that of a collected one to an adopted one."""
    children = list(_own)  # in one step: other threads start and collect some meanwhile
    _own.difference_update(child for child in children if child.returncode is not None)
    return {child.pid for child in children if child.returncode is None}


def _has_dead_children() -> bool:
    """Asks the kernel, without collecting one: a look through /proc takes 20 ms."""
    try:
        return os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return False


def parse_stat(text: str) -> tuple[str, int]:
    """State letter and parent pid of a line of ``/proc/<pid>/stat``.

    The second field is a name in parentheses that may itself contain spaces and parentheses.
    """
    fields = text.rpartition(")")[2].split()
    return fields[0], int(fields[1])
