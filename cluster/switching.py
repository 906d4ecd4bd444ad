"""Whom nginx asks: one file, replaced whole, tried, and read anew."""

import os
import subprocess
from pathlib import Path

from cluster.problem import StackProblem
from cluster.process import run

_TIMEOUT_S = 20.0


class Front:
    """An nginx that runs on the shipped files."""

    def __init__(self, config: Path, *, program: str = "nginx") -> None:
        """Takes its ``nginx.conf``; ``upstream.conf`` is beside it."""
        self._config = config
        self._upstream = config.with_name("upstream.conf")
        self._program = program

    def asks(self, upstream: str) -> bool:
        """Whether this is what the file says."""
        try:
            return self._upstream.read_text(encoding="utf-8") == upstream
        except OSError:
            return False

    def use(self, upstream: str) -> str:
        """Writes the file and has nginx read it; requests that are under way end where they are.

        Returns:
            What the file said before.

        Raises:
            StackProblem: nginx does not take it; then the former file is there again.
        """
        try:
            former = self._upstream.read_text(encoding="utf-8")
            self._write(upstream)
        except OSError as error:
            raise StackProblem(f"{self._upstream} cannot be replaced: {error}") from error
        try:
            self._run("-t")
            self._run("-s", "reload")
        except StackProblem:
            self._write(former)
            raise
        return former

    def _write(self, text: str) -> None:
        partial = self._upstream.with_name(f"upstream.conf.{os.getpid()}")
        partial.write_text(text, encoding="utf-8")
        partial.replace(self._upstream)

    def _run(self, *arguments: str) -> None:
        command = [self._program, "-c", str(self._config), *arguments]
        environment = {"PATH": os.environ.get("PATH", os.defpath)}
        try:
            status, printed = run(command, timeout_s=_TIMEOUT_S, environment=environment)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StackProblem(f"nginx could not be asked: {error}") from error
        if status != 0:
            last = (printed.strip().splitlines() or ["it says nothing"])[-1]
            raise StackProblem(f"nginx does not take its files: {last}")
