"""A whole local stack of one's own, as ``python -m cluster.up`` starts it, for a while."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from cluster import marker
from cluster.api import Api, SignIn, with_password
from cluster.process import free_ports
from cluster.state import Stack

ROOT = Path(__file__).resolve().parents[1]
_START_TIMEOUT_S = 240.0
_STOP_TIMEOUT_S = 60.0
_CONFIGURES = re.compile(r"(GUILD|RAY)_|(DATABASE_URL|REDIS_URL|JWT_SECRET|SECRET_KEY|ENV)$")


@contextmanager
def started(folder: Path, arguments: Sequence[str] = (), **environment: str) -> Iterator[Stack]:
    """Starts a stack and ends it, and everything of it, whatever happened meanwhile.

    Args:
        folder: of all its data. Short, for sockets, and open to the account of PostgreSQL.
        arguments: further ones of ``cluster.up``.
        environment: settings of the stack; those of this process do not reach it.
    """
    log = _log_of(folder)
    command = [sys.executable, "-m", "cluster.up", "--data-dir", str(folder)]
    command += ["--port", str(free_ports(1)[0]), *arguments]
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - ourselves
            command,
            env=clean_environment(environment),
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield _until_ready(folder, process, log)
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        left = Stack.load(folder)
        if left is not None:
            marker.end(left.stack_id, timeout_s=20)


def last_words(stack: Stack, *, lines: int = 12) -> str:
    """The ends of what a stack and its servers have printed, for whoever asks why it failed.

    Without the passwords of its first logins.
    """
    folder = Path(stack.folder)
    logs = [_log_of(folder), *sorted((folder / "logs").glob("*.log"))]
    said = "\n".join(f"--- {log.name}\n{_end_of(log, lines)}" for log in logs)
    for login in (stack.admin, stack.alertmanager):
        said = said if login is None else said.replace(login.secret, "…")
    return said


def _end_of(log: Path, lines: int) -> str:
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-lines:])
    except OSError as problem:
        return str(problem)


def _log_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.up.log")


def administrator(stack: Stack) -> SignIn:
    """How the stack's first administrator signs in.

    Raises:
        RuntimeError: the stack has none.
    """
    if stack.admin is None:
        raise RuntimeError("the stack has no administrator")
    return with_password(stack.admin.name, stack.admin.secret)


@asynccontextmanager
async def signed_in(stack: Stack, *, patience_s: float = 120.0) -> AsyncIterator[Api]:
    """The stack's API, as its administrator.

    Args:
        stack: that is ready.
        patience_s: how long one call is repeated.
    """
    async with Api(stack.api_url, administrator(stack), patience_s=patience_s) as api:
        yield api


def clean_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """This process's variables without any that would configure a stack, and the changes."""
    kept = {name: value for name, value in os.environ.items() if not _CONFIGURES.match(name)}
    return {**kept, **changes}


def _until_ready(folder: Path, process: "subprocess.Popen[bytes]", log: Path) -> Stack:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        stack = Stack.load(folder)
        if stack is not None and stack.ready and stack.pid == process.pid:
            return stack
        time.sleep(0.2)
    raise RuntimeError(f"the stack did not start:\n{log.read_text()[-4_000:]}")
