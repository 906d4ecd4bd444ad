"""PostgreSQL's own client programs: run to their end, and what they said when they failed."""

import asyncio
import os
import signal
import time
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from cluster.problem import StackProblem
from cluster.process import spawn, stop

_POLL_S = 0.05
_STOP_TIMEOUT_S = 10.0


async def run_program(
    program: Path, *arguments: str, url: str, log: Path, timeout_s: float
) -> None:
    """Runs one of them on a database. Only from the main thread; cancelled, it ends the program.

    Args:
        program: such as pg_dump.
        arguments: all but the database.
        url: of the database. Its password does not show in the command line.
        log: what it prints is appended here.
        timeout_s: then it is ended.

    Raises:
        StackProblem: it failed, with the last line it printed, or took too long.
    """
    shown, password = without_password(url)
    process = spawn(
        [str(program), f"--dbname={shown}", *arguments],
        log=log,
        environment={"PATH": os.defpath, "LC_ALL": "C", "PGPASSWORD": password},
        death_signal=signal.SIGTERM,
    )
    deadline = time.monotonic() + timeout_s
    try:
        while process.poll() is None:
            if time.monotonic() > deadline:
                raise StackProblem(f"{program.name} has not ended after {timeout_s:g} s")
            await asyncio.sleep(_POLL_S)
    finally:
        stop(process, signal.SIGTERM, timeout_s=_STOP_TIMEOUT_S)
    if process.returncode != 0:
        raise StackProblem(f"{program.name} failed: {_last_words(log)}")


def without_password(url: str) -> tuple[str, str]:
    """The URL without its password, and the password."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    user = quote(unquote(parts.username or ""), safe="")
    netloc = f"{user}@{place}" if user else place
    return urlunsplit(parts._replace(netloc=netloc)), unquote(parts.password or "")


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    told = [line for line in lines if "error:" in line] or lines[-1:]
    return told[0] if told else "it printed nothing"
