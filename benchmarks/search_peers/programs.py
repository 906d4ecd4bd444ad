"""Starting a program and ending it; an environment for the one that has requirements of its own."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from benchmarks.vectors.kept import CACHE

REQUIREMENTS = Path(__file__).with_name("requirements-peers.txt")
_INSTALL_S, _START_S, _STOP_S = 600.0, 120.0, 20.0


def peers() -> Path:
    """The ``bin`` of an environment with the pinned requirements, made on the first use.

    Raises:
        RuntimeError: it cannot be made; the text says why.
    """
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = CACHE / "peers" / key
    if not (folder / "complete").exists():
        uv = _uv()
        python = folder / "bin" / "python"
        _run([uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)])
        _run([uv, "pip", "install", "--quiet", "--python", str(python), "-r", str(REQUIREMENTS)])
        (folder / "complete").touch()
    return folder / "bin"


@contextmanager
def program(
    command: Sequence[str], ready_url: str, log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Runs a server until the block ends; its process id, when it answers.

    Raises:
        RuntimeError: it did not come up; the text ends with what it said.
    """
    with log.open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own words
            command,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        _until_ready(process, ready_url, log)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _until_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url, timeout=2.0).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"{url} does not answer:\n{log.read_text(errors='replace')[-2_000:]}")


def _uv() -> str:
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if found is None:
        raise RuntimeError("uv is needed: python -m pip install uv")
    return found


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_INSTALL_S)  # noqa: S603 - our own words
    if done.returncode:
        raise RuntimeError(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-1_000:]}")
