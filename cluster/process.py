"""Child processes that never outlive their owner, and how to end them."""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cluster.problem import StackProblem

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)

# Below the kernel's range for outgoing connections, above Ray's worker ports and beside the ports
# of Serve's ingress replicas: nothing else is handed a port from here by chance.
_FIRST_PORT, _LAST_PORT = 20_000, 29_999


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The account a child runs as, when it may not be ours."""

    uid: int
    gid: int


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

    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - a fixed program, no shell
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


def free_ports(count: int, *, wanted: Sequence[int] = ()) -> list[int]:
    """Distinct ports nobody listens on, on any interface.

    Args:
        count: how many.
        wanted: ports of an earlier start, used again where they are free.
    """
    found = [port for port in wanted if port_is_free(port, "0.0.0.0")][:count]  # noqa: S104
    span = _LAST_PORT - _FIRST_PORT + 1
    # Two stacks that start together look in different places.
    start = (os.getpid() * 7919 + time.monotonic_ns()) % span
    for step in range(span):
        if len(found) == count:
            return found
        port = _FIRST_PORT + (start + step * 17) % span
        if port not in found and port_is_free(port, "0.0.0.0"):  # noqa: S104
            found.append(port)
    raise StackProblem(f"no {count} free ports between {_FIRST_PORT} and {_LAST_PORT}")


def reap() -> list[int]:
    """Collects every dead child and adopted orphan; returns their pids.

    Not for a process that also waits for single children through `subprocess`: it would take
    their exit status away.
    """
    pids = []
    with contextlib.suppress(ChildProcessError):
        while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            pids.append(pid)
    return pids
