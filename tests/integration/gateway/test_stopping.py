"""How a replica hears that its server stops."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from serve_app.app import is_stopping

pytestmark = pytest.mark.integration


@asynccontextmanager
async def server(answer: bytes) -> AsyncIterator[tuple[str, int]]:
    """Answers everything so."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readline()
        assert asked.startswith(b"GET /-/healthz ")
        writer.write(answer)
        writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()


@pytest.mark.parametrize(
    ("answer", "stopping"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nsuccess", False),
        (b"HTTP/1.1 503 Service Unavailable\r\n\r\nDRAINING", True),
        (b"HTTP/1.1 404 Not Found\r\n\r\n503", False),
        (b"503", False),
        (b"503" * 50_000, False),
        (b"", False),
    ],
)
async def test_only_a_503_of_serves_own_address_says_so(answer: bytes, stopping: bool) -> None:
    async with server(answer) as address:
        assert await is_stopping(address) is stopping


async def test_nobody_there_says_nothing() -> None:
    async with server(b"") as address:
        pass

    assert await is_stopping(address) is False
