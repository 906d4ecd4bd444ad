"""The processes of a run: writers and the consumer, started, killed, started again, ended."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from benchmarks.faults.plan import Workload
from benchmarks.local_stack import ROOT, clean_environment
from cluster.state import Stack

_READY_S = 120.0
_END_S = 120.0
_POLL_S = 0.05
_TAIL = 3_000


class Crew:
    """Both processes, as a context manager. Blocking calls are short, but for those that say so."""

    def __init__(self, stack: Stack, workload: Workload, folder: Path) -> None:
        self._environment = clean_environment(stack.client_environment())
        self._arguments: Mapping[str, list[str]] = {
            "writers": [workload.to_json(), str(folder), stack.folder],
            "consumer": [workload.to_json()],
        }
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()

    def start(self, name: str) -> None:
        """Starts one of them; `wait_ready` says when it works."""
        with self._log(name).open("ab") as output:
            self._running[name] = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-m", f"benchmarks.faults.{name}", *self._arguments[name]],
                env={**os.environ, **self._environment, "PYTHONUNBUFFERED": "1"},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self, name: str) -> None:
        """Blocks until the process has said that it works. Raises RuntimeError when it ended."""
        deadline = time.monotonic() + _READY_S
        said = f"ready {self._running[name].pid}\n".encode()
        while said not in self._log(name).read_bytes():
            self.check(name)
            if time.monotonic() > deadline:
                raise RuntimeError(f"{name} not ready in {_READY_S:g} s: {self._tail(name)}")
            time.sleep(_POLL_S)

    def check(self, name: str) -> None:
        """Raises RuntimeError when it has ended by itself."""
        status = self._running[name].poll()
        if status is not None:
            raise RuntimeError(f"{name} ended with status {status}: {self._tail(name)}")

    def kill(self, name: str) -> int:
        """Ends it with SIGKILL; returns its pid."""
        process = self._running[name]
        process.kill()
        process.wait()
        return process.pid

    def end(self, name: str) -> None:
        """Asks it to end, and blocks until it has done what it had to.

        Raises:
            RuntimeError: it failed, or took too long.
        """
        process = self._running[name]
        self.check(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"{name} did not end in {_END_S:g} s: {self._tail(name)}") from None
        if process.returncode:
            self.check(name)
        del self._running[name]

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _tail(self, name: str) -> str:
        return self._log(name).read_text(errors="replace")[-_TAIL:]
