"""Parsers in processes of their own, with a bound on time and memory.

A file can be made to take all of either. Then its process ends and that file is refused; the next
one gets a new process. The processes know no secret: their environment is nearly empty. They open
no file: they are given its bytes, a block at a time.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from actors.documents.boxed import LENGTH, OUT_OF_MEMORY
from actors.documents.formats import Format
from actors.documents.parsed import Limits, Parsed, ParseProblem

_ROOT = Path(__file__).resolve().parents[2]
_MAX_BYTES_A_CHAR = 12  # of JSON: one character can be two escapes of six
_FRAME_OVERHEAD = 64 << 10
_DIED = "its parser ended: too much memory, or a mistake in it"

Blocks = Callable[[], Iterator[bytes]]


class Box:
    """A few parsing processes. An async context manager; they start when they are needed."""

    def __init__(
        self,
        limits: Limits,
        *,
        processes: int,
        memory_bytes: int,
        timeout_s: float,
        files_each: int,
    ) -> None:
        """Starts nothing yet.

        Args:
            limits: of each file.
            processes: how many files are read at a time; the rest wait.
            memory_bytes: address space of one process.
            timeout_s: for one file, a process's start included.
            files_each: a process is replaced after so many.
        """
        self._limits = limits
        self._memory_bytes = memory_bytes
        self._timeout_s = timeout_s
        self._files_each = files_each
        self._idle: list[_Process] = []
        self._slots = asyncio.Semaphore(processes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._idle:
            await process.end()
        self._idle.clear()

    async def parse(self, blocks: Blocks, format_: Format) -> Parsed:
        """The text of a file.

        Args:
            blocks: reads the file from its start; no block is empty. Called once more where the
                process had died before. Asked in another thread, and to its end unless this
                raises. What it raises goes on to the caller.
            format_: what it is.

        Raises:
            ParseProblem: it does not become a document, or cost too much.
        """
        question = {
            "format": format_.value,
            "limits": {
                "max_chars": self._limits.max_chars,
                "max_unpacked_bytes": self._limits.max_unpacked_bytes,
                "max_parts": self._limits.max_parts,
            },
        }
        async with self._slots:
            answer = await self._ask(question, blocks)
        if "problem" in answer:
            raise ParseProblem(answer["problem"])
        return Parsed(**answer)

    async def _ask(self, question: dict[str, Any], blocks: Blocks) -> dict[str, Any]:
        try:
            async with asyncio.timeout(self._timeout_s):
                if self._idle:
                    # It may have died while it was idle: that is not this file's doing.
                    with contextlib.suppress(EOFError, ConnectionError):
                        return await self._ask_one(self._idle.pop(), question, blocks)
                return await self._ask_one(_Process(), question, blocks)
        except TimeoutError:
            raise ParseProblem(f"takes longer than {self._timeout_s:g} s to read") from None
        except (EOFError, ConnectionError, ValueError):
            raise ParseProblem(_DIED) from None

    async def _ask_one(
        self, process: "_Process", question: dict[str, Any], blocks: Blocks
    ) -> dict[str, Any]:
        longest = self._limits.max_chars * _MAX_BYTES_A_CHAR + _FRAME_OVERHEAD
        good = False
        try:
            await process.start(self._memory_bytes, self._timeout_s)
            answer = await process.ask(question, blocks(), longest)
            good = process.answered < self._files_each and answer.get("problem") != OUT_OF_MEMORY
            return answer
        finally:
            if good:
                self._idle.append(process)
            else:
                await process.end()


def _import_path() -> str:
    """Where this process found its packages: a job's may come from its own environment."""
    return os.pathsep.join([str(_ROOT), *filter(None, sys.path)])


class _Process:
    """One process and its pipes."""

    def __init__(self) -> None:
        self.answered = 0
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, memory_bytes: int, cpu_s: float) -> None:
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "actors.documents.boxed",
                str(memory_bytes),
                str(cpu_s),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                cwd=_ROOT,
                env={"PATH": os.defpath, "PYTHONPATH": _import_path(), "LC_ALL": "C.UTF-8"},
                start_new_session=True,  # Ctrl-C is for the job, which ends us in order
            )

    async def ask(
        self, question: dict[str, Any], blocks: Iterator[bytes], longest: int
    ) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise ConnectionError("it was not started")
        pipe, answers = process.stdin, process.stdout
        block = json.dumps(question).encode()
        while block:
            pipe.write(LENGTH.pack(len(block)))
            pipe.write(block)
            await pipe.drain()
            block = await asyncio.to_thread(next, blocks, b"")
        pipe.write(LENGTH.pack(0))
        await pipe.drain()
        (length,) = LENGTH.unpack(await answers.readexactly(LENGTH.size))
        if length > longest:
            raise ValueError("an answer that nobody can have given")
        self.answered += 1
        return dict(json.loads(await answers.readexactly(length)))

    async def end(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
