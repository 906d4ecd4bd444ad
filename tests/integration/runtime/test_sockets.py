"""Calls through a socket of this node: what arrives, what is lost, and whom nobody trusts."""

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.runtime.envelope import Answer, Batch
from actors.runtime.mailbox import MemberLost
from actors.runtime.nearest import NearestPort
from actors.runtime.sockets import (
    ConnectionLost,
    NobodyListens,
    SocketClient,
    SocketServer,
    socket_path,
)
from tests.fixtures.services import service_folder

pytestmark = pytest.mark.integration

BATCH = Batch("box_1", (), 0)


class Member:
    """What listens: it echoes, fails, or keeps its caller waiting."""

    def __init__(self) -> None:
        self.told = 0
        self.released = asyncio.Event()
        self.asked = asyncio.Event()

    async def echo(self, argument: Any) -> Any:
        return argument

    async def fail(self, argument: Any) -> Any:
        raise ValueError(argument)

    async def hold(self, argument: Any) -> Any:
        self.asked.set()
        await self.released.wait()
        return argument

    async def note(self, _: Any) -> None:
        self.told += 1

    def calls(self) -> dict[str, Any]:
        return {"echo": self.echo, "fail": self.fail, "hold": self.hold, "note": self.note}


class Elsewhere:
    """The port that is used where nobody listens."""

    name = "echo/1/0"
    direct = False

    def __init__(self) -> None:
        self.closed = False

    async def submit(self, batch: Batch) -> Answer:
        return Answer("through ray", ())

    async def collect(self, caller: str) -> Answer:
        return Answer("through ray", ())

    async def close(self) -> None:
        self.closed = True


@pytest.fixture
def path() -> Iterator[Path]:
    """Short, whatever pytest's own folder is called: a socket's path ends at 107 bytes."""
    with service_folder() as folder:
        yield socket_path(folder / "sockets", "node", "guild", "echo/1/0")


@pytest.fixture
async def member(path: Path) -> AsyncIterator[Member]:
    found = Member()
    server = SocketServer(path, found.calls())
    await server.open()
    yield found
    await server.close()


@pytest.fixture
async def client(path: Path) -> AsyncIterator[SocketClient]:
    found = SocketClient(path, look_again_s=0)
    yield found
    await found.close()


async def test_what_is_asked_is_answered_whatever_its_size(
    member: Member, client: SocketClient
) -> None:
    for argument in (None, "", b"x" * 5_000_000, BATCH):
        assert await client.call("echo", argument) == argument


async def test_no_answer_waits_for_a_slower_one(member: Member, client: SocketClient) -> None:
    slow = asyncio.create_task(client.call("hold", "slow"))
    await member.asked.wait()

    fast = await asyncio.gather(*(client.call("echo", number) for number in range(500)))
    member.released.set()

    assert fast == list(range(500))
    assert await slow == "slow"


async def test_a_call_that_fails_there_fails_here_and_nothing_else_does(
    member: Member, client: SocketClient
) -> None:
    with pytest.raises(ConnectionLost):
        await client.call("fail", "secret")
    with pytest.raises(ConnectionLost):
        await client.call("no such call", None)

    assert await client.call("echo", 1) == 1


async def test_who_stops_to_wait_does_not_get_the_answer_of_another(
    member: Member, client: SocketClient
) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await client.call("hold", "given up")
    member.released.set()

    assert await client.call("echo", "mine") == "mine"


async def test_a_call_is_lost_when_its_process_goes_and_the_next_one_finds_its_successor(
    path: Path, client: SocketClient
) -> None:
    first, second = Member(), Member()
    server = SocketServer(path, first.calls())
    await server.open()
    held = asyncio.create_task(client.call("hold", 1))
    await first.asked.wait()

    await server.close()
    with pytest.raises(ConnectionLost):
        await held
    with pytest.raises(NobodyListens):
        await client.call("echo", 1)
    server = SocketServer(path, second.calls())
    await server.open()

    assert await client.call("echo", 2) == 2
    await server.close()


async def test_what_a_killed_process_left_is_in_nobodys_way(
    path: Path, client: SocketClient
) -> None:
    path.parent.mkdir(mode=0o700)
    other = path.with_name("of-another-process.sock")
    for left in (path, other):
        with socket.socket(socket.AF_UNIX) as killed:
            killed.bind(str(left))
    long_ago = time.time() - 3600
    os.utime(other, (long_ago, long_ago))

    with pytest.raises(NobodyListens):
        await client.call("echo", 1)
    server = SocketServer(path, Member().calls())
    await server.open()

    assert await client.call("echo", 1) == 1
    assert not other.exists()
    await server.close()
    assert not path.exists()  # noqa: ASYNC240


async def test_a_folder_that_others_may_enter_is_used_by_neither_side(path: Path) -> None:
    path.parent.mkdir(mode=0o755)
    server = SocketServer(path, Member().calls())
    await server.open()
    assert not path.exists()  # noqa: ASYNC240

    trap = await asyncio.start_unix_server(lambda _r, _w: None, path)
    client = SocketClient(path, look_again_s=0)
    with pytest.raises(NobodyListens):
        await client.call("echo", 1)
    trap.close()


async def test_who_sends_no_frames_is_hung_up_on(member: Member, path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(path)

    writer.write(b"\xff" * 64)

    assert await reader.read() == b""
    writer.close()


async def test_telling_connects_for_the_next_time_and_waits_for_nothing(
    member: Member, client: SocketClient
) -> None:
    assert not client.tell("note")
    async with asyncio.timeout(5):
        while not client.connected:  # noqa: ASYNC110  # told to nobody
            await asyncio.sleep(0.01)

    assert client.tell("note")
    await client.call("echo", 1)

    assert member.told == 1


async def test_who_reads_nothing_is_not_told_without_end(path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    stuck = await asyncio.start_unix_server(lambda _r, _w: None, path)
    client = SocketClient(path, look_again_s=0)
    client.tell("note")
    async with asyncio.timeout(5):
        while not client.connected:  # noqa: ASYNC110  # told to nobody
            await asyncio.sleep(0.01)

    told = [client.tell("note" * 1_000) for _ in range(2_000)]

    assert all(told)
    assert client._writer is not None
    assert client._writer.transport.get_write_buffer_size() < 1_000_000
    await client.close()
    stuck.close()


async def test_a_member_of_another_node_is_reached_the_other_way(path: Path) -> None:
    elsewhere = Elsewhere()
    port = NearestPort(SocketClient(path, look_again_s=60), elsewhere)

    answers = [await port.submit(BATCH), await port.collect("box_1")]

    assert {answer.incarnation for answer in answers} == {"through ray"}
    assert (port.name, port.direct) == ("echo/1/0", False)
    await port.close()
    assert elsewhere.closed


async def test_a_member_of_this_node_is_reached_directly_and_missed_at_once(path: Path) -> None:
    released = asyncio.Event()

    async def submit(batch: Batch) -> Answer:
        return Answer(f"directly for {batch.caller}", ())

    async def collect(_: str) -> Answer:
        await released.wait()
        return Answer("never", ())

    server = SocketServer(path, {"submit": submit, "collect": collect})
    await server.open()
    port = NearestPort(SocketClient(path, look_again_s=0), Elsewhere())

    answer = await port.submit(BATCH)
    collecting = asyncio.create_task(port.collect("box_1"))
    await asyncio.sleep(0.01)
    direct = port.direct
    await server.close()

    with pytest.raises(MemberLost) as lost:
        await collecting
    assert (answer.incarnation, direct, lost.value.sent) == ("directly for box_1", True, True)
    assert (await port.submit(BATCH)).incarnation == "through ray"
    await port.close()
