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
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from actors.documents.boxed import LENGTH, OUT_OF_MEMORY
from actors.documents.formats import Format
from actors.documents.parsed import Limits, Parsed, ParseProblem, ParserAway

_ROOT = Path(__file__).resolve().parents[2]
_MAX_BYTES_A_CHAR = 12  # of JSON: one character can be two escapes of six
_FRAME_OVERHEAD = 64 << 10
_DIED = "its parser ended: too much time or memory, or a mistake in it"

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
        cpu_s: float | None = None,
        start_timeout_s: float = 30.0,
    ) -> None:
        """Starts nothing yet.

        Args:
            limits: of each file.
            processes: how many files are read at a time; the rest wait.
            memory_bytes: address space of one process.
            timeout_s: for one file.
            files_each: a process is replaced after so many.
            cpu_s: processor time for one file; default a second more than ``timeout_s``.
            start_timeout_s: for the start of a process, which loads the parsers.
        """
        self._limits = limits
        self._memory_bytes = memory_bytes
        self._timeout_s = timeout_s
        self._cpu_s = timeout_s + 1 if cpu_s is None else cpu_s
        self._start_timeout_s = start_timeout_s
        self._files_each = files_each
        self._processes = processes
        self._idle: list[_Process] = []
        self._busy = 0
        self._slots = asyncio.Semaphore(processes)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._idle:
            await self._idle.pop().end()

    async def fill(self) -> None:
        """Starts the processes that are missing, so that the next file need not wait for one."""
        while len(self._idle) + self._busy < self._processes:
            process = _Process()
            self._busy += 1
            try:
                await self._start(process)
                self._idle.append(process)
            except BaseException:
                await process.end()
                raise
            finally:
                self._busy -= 1

    async def parse(self, blocks: Blocks, format_: Format) -> Parsed:
        """The text of a file.

        Args:
            blocks: reads the file from its start; no block is empty. Called once more where the
                process had died before. Asked in another thread, and to its end unless this
                raises. What it raises goes on to the caller.
            format_: what it is.

        Raises:
            ParseProblem: it does not become a document, or cost too much.
            ParserAway: no process can be started now, which is not the file's fault.
        """
        question = {"format": format_.value, "limits": asdict(self._limits)}
        async with self._slots:
            self._busy += 1
            try:
                answer = await self._ask(question, blocks)
            finally:
                self._busy -= 1
        if "problem" in answer:
            raise ParseProblem(answer["problem"])
        return Parsed(**answer)

    async def _ask(self, question: dict[str, Any], blocks: Blocks) -> dict[str, Any]:
        try:
            if self._idle:
                process = self._idle.pop()
                try:
                    return await self._ask_one(process, question, blocks)
                except (EOFError, ConnectionError):
                    if process.has_file:
                        raise
                    # It had died while it was idle: that is not this file's doing.
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
            await self._start(process)
            async with asyncio.timeout(self._timeout_s):
                answer = await process.ask(question, blocks(), longest)
            good = process.answered < self._files_each and answer.get("problem") != OUT_OF_MEMORY
            return answer
        finally:
            if good and len(self._idle) < self._processes:
                self._idle.append(process)
            else:
                await process.end()

    async def _start(self, process: "_Process") -> None:
        try:
            async with asyncio.timeout(self._start_timeout_s):
                await process.start(self._memory_bytes, self._cpu_s)
        except (TimeoutError, EOFError, OSError) as error:
            raise ParserAway("no parser can be started now") from error


def _import_path() -> str:
    """Where this process found its packages: a job's may come from its own environment."""
    return os.pathsep.join([str(_ROOT), *filter(None, sys.path)])


class _Process:
    """One process and its pipes."""

    def __init__(self) -> None:
        self.answered = 0
        self.has_file = False
        self._process: asyncio.subprocess.Process | None = None

    async def start(self, memory_bytes: int, cpu_s: float) -> None:
        """Returns when it is ready: what it loads for all files counts for none of them."""
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
            assert self._process.stdout is not None  # noqa: S101  # nosec B101  # it is a pipe
            await self._process.stdout.readexactly(LENGTH.size)

    async def ask(
        self, question: dict[str, Any], blocks: Iterator[bytes], longest: int
    ) -> dict[str, Any]:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise ConnectionError("it was not started")
        pipe, answers = process.stdin, process.stdout
        self.has_file = False
        block = json.dumps(question).encode()
        while block:
            pipe.write(LENGTH.pack(len(block)))
            pipe.write(block)
            await pipe.drain()
            block = await asyncio.to_thread(next, blocks, b"")
        pipe.write(LENGTH.pack(0))
        await pipe.drain()
        (length,) = LENGTH.unpack(await answers.readexactly(LENGTH.size))
        if not length:
            self.has_file = True
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
