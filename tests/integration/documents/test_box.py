"""A file can cost its own process, and nothing else."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from actors.documents.box import Box
from actors.documents.formats import Format
from actors.documents.parsed import Limits, ParseProblem
from tests.fixtures import files

pytestmark = pytest.mark.integration

LIMITS = Limits(max_chars=1_000_000, max_unpacked_bytes=256 << 20, max_parts=1_000)


def box(
    *,
    memory_mib: int = 1024,
    timeout_s: float = 60.0,
    processes: int = 1,
    cpu_s: float | None = None,
) -> Box:
    return Box(
        LIMITS,
        processes=processes,
        memory_bytes=memory_mib << 20,
        timeout_s=timeout_s,
        cpu_s=cpu_s,
        files_each=2,
    )


def written(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def blocks(path: Path) -> Callable[[], Iterator[bytes]]:
    def read() -> Iterator[bytes]:
        with path.open("rb") as file:
            while block := file.read(100_000):
                yield block

    return read


async def test_files_are_read_also_after_a_process_was_replaced(tmp_path: Path) -> None:
    paths = [written(tmp_path, f"{n}.md", f"# Page {n}".encode()) for n in range(5)]

    async with box(processes=2) as parsers:
        parsed = await asyncio.gather(
            *(parsers.parse(blocks(path), Format.MARKDOWN) for path in paths)
        )

    assert [one.text for one in parsed] == [f"# Page {n}" for n in range(5)]


async def test_a_file_that_takes_too_much_memory_is_refused_and_the_next_is_read(
    tmp_path: Path,
) -> None:
    greedy = written(tmp_path, "a.html", b"<p>x</p>" * 400_000)
    small = written(tmp_path, "b.html", b"<p>small</p>")

    async with box(memory_mib=160) as parsers:
        with pytest.raises(ParseProblem, match="memory"):
            await parsers.parse(blocks(greedy), Format.HTML)
        parsed = await parsers.parse(blocks(small), Format.HTML)

    assert parsed.text == "small"


async def test_a_file_that_takes_too_long_is_refused_and_the_next_is_read(tmp_path: Path) -> None:
    slow = written(tmp_path, "a.html", b"<p>x</p>" * 400_000)  # half a minute's work
    small = written(tmp_path, "b.md", b"small")

    async with box(timeout_s=2.0, memory_mib=4096) as parsers:
        with pytest.raises(ParseProblem, match="longer than 2 s"):
            await parsers.parse(blocks(slow), Format.HTML)
        parsed = await parsers.parse(blocks(small), Format.MARKDOWN)

    assert parsed.text == "small"


async def test_a_page_nested_without_end_is_an_answer(tmp_path: Path) -> None:
    deep = written(tmp_path, "a.html", b"<div>" * 20_000 + b"bottom")

    async with box() as parsers:
        try:
            parsed = await parsers.parse(blocks(deep), Format.HTML)
        except ParseProblem as problem:
            assert str(problem)  # noqa: PT017 - either is right, as long as it comes back
        else:
            assert len(parsed.text) < 100


async def test_a_file_that_cannot_be_read_is_the_readers_trouble_and_the_next_is_read(
    tmp_path: Path,
) -> None:
    small = written(tmp_path, "b.md", b"small")

    async with box() as parsers:
        with pytest.raises(FileNotFoundError):
            await parsers.parse(blocks(tmp_path / "gone.md"), Format.MARKDOWN)
        parsed = await parsers.parse(blocks(small), Format.MARKDOWN)

    assert parsed.text == "small"


async def test_a_process_that_died_while_it_was_idle_costs_no_file(tmp_path: Path) -> None:
    first, second = written(tmp_path, "a.md", b"first"), written(tmp_path, "b.md", b"second")

    async with box() as parsers:
        await parsers.parse(blocks(first), Format.MARKDOWN)
        (idle,) = (one for one in psutil.Process().children() if "boxed" in " ".join(one.cmdline()))
        os.kill(idle.pid, signal.SIGKILL)
        parsed = await parsers.parse(blocks(second), Format.MARKDOWN)

    assert parsed.text == "second"


async def test_a_file_that_ends_its_parser_is_not_given_to_another(tmp_path: Path) -> None:
    small = written(tmp_path, "a.md", b"small")
    costly = written(tmp_path, "b.html", b"<p>x</p>" * 400_000)  # half a minute's work
    begun = 0

    def counted() -> Iterator[bytes]:
        nonlocal begun
        begun += 1
        return blocks(costly)()

    async with box(cpu_s=0.5, memory_mib=4096) as parsers:
        await parsers.parse(blocks(small), Format.MARKDOWN)
        with pytest.raises(ParseProblem, match="its parser ended"):
            await parsers.parse(counted, Format.HTML)

    assert begun == 1


async def test_a_page_of_pdf_that_unpacks_without_end_is_refused_within_its_bounds(
    tmp_path: Path,
) -> None:
    bomb = written(tmp_path, "bomb.pdf", files.pdf_bomb(1 << 30))
    small = written(tmp_path, "small.pdf", files.pdf("small"))

    async with box(timeout_s=20.0, memory_mib=512) as parsers:
        begun = time.monotonic()
        with pytest.raises(ParseProblem):
            await parsers.parse(blocks(bomb), Format.PDF)
        took_s = time.monotonic() - begun
        parsed = await parsers.parse(blocks(small), Format.PDF)

    assert took_s < 25
    assert "small" in parsed.text
