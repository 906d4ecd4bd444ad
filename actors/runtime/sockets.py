"""Calls between processes of one node: pickles over a Unix socket.

A call of Ray costs about 4 ms of processor time, both sides together; one through a socket 0.2 ms
(docs/adr/0015). So whoever is on the caller's node is called through the socket that it opened
there, and everybody else through Ray. Ray still starts, names, watches and ends the processes.

A frame is a length, a ticket and a pickle. Frames of a connection are independent of each other:
an answer comes when it is ready. Reading a pickle runs what it says, so the sockets lie in a folder
that nobody but our own user may enter, and each side looks before it trusts it.
"""

import asyncio
import fcntl
import hashlib
import os
import pickle  # nosec B403  # see above
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from actors.private_folder import is_private

_HEADER = struct.Struct("!QI")  # bytes of the pickle, ticket
_CREDENTIALS = struct.Struct("3i")  # process, user, group: `unix(7)`, SO_PEERCRED
_BACKLOG = 128
_TELL = 0
"""The ticket of a call that nobody waits for."""

_LONGEST = 1 << 30
"""Bytes of a frame: more is no frame of ours. What may be asked and answered has bounds below."""

_FAILED = (False, None)
_BUFFER = 1 << 18
_LEFT_BEHIND_S = 600.0

Calls = Mapping[str, Callable[[Any], Awaitable[Any]]]
"""What a process answers to: name → function of one argument."""

_log = structlog.get_logger("elders_guild.runtime")


class NobodyListens(Exception):
    """There is no such socket, or its process is gone: the call reached nobody."""


class ConnectionLost(Exception):
    """The process went away, or failed, before it answered: the call may have had its effect."""


def socket_path(folder: Path, node_id: str, namespace: str, name: str) -> Path:
    """Where the actor of this name listens, if it runs on this node.

    Args:
        folder: of all sockets of this user; see `actors.private_folder`.
        node_id: Ray's id of the node; a new one for each start, so no two clusters meet.
        namespace: of the actor.
        name: of the actor.
    """
    digest = hashlib.sha256(f"{node_id}\n{namespace}\n{name}".encode()).hexdigest()
    return folder / f"{digest[:24]}.sock"


class SocketServer:
    """Answers calls from processes of this node. Belongs to one event loop."""

    def __init__(self, path: Path, calls: Calls) -> None:
        self._path = path
        self._calls = calls
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Listens. Where it cannot, callers go through Ray, and the log says why."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not is_private(self._path.parent):
                raise PermissionError("the folder is not ours alone")
            self._server = await asyncio.start_unix_server(
                self._connected, sock=await asyncio.to_thread(_bound, self._path), limit=_BUFFER
            )
        except OSError as error:
            _log.warning("socket_not_opened", folder=str(self._path.parent), reason=str(error))

    async def close(self) -> None:
        """Ends all connections; what is under way is lost to its callers."""
        if self._server is None:
            return
        self._server.close()
        self._path.unlink(missing_ok=True)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not _is_ours(writer):
            writer.close()
            return
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers: set[asyncio.Task[None]] = set()
        try:
            while True:
                ticket, body = await _read(reader)
                answer = asyncio.create_task(self._answer(ticket, body, writer))
                answers.add(answer)
                answer.add_done_callback(answers.discard)
        except (OSError, EOFError):
            return  # the caller is gone, or no caller of ours
        finally:
            writer.close()
            for answer in tuple(answers):  # nobody reads them; the work itself goes on
                answer.cancel()

    async def _answer(self, ticket: int, body: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            name, argument = pickle.loads(body)  # noqa: S301  # nosec B301  # see the module
            answer = pickle.dumps((True, await self._calls[name](argument)), 5)
        except Exception:
            _log.exception("call_failed")
            answer = pickle.dumps(_FAILED, 5)
        if ticket != _TELL:
            with suppress(OSError):
                await _write(writer, ticket, answer)


class SocketClient:
    """One connection to a process of this node, made on first use and again after it broke."""

    def __init__(self, path: Path, *, look_again_s: float) -> None:
        self._path = path
        self._look_again_s = look_again_s
        self._look_at = 0.0
        self._closed = False
        self._writer: asyncio.StreamWriter | None = None
        self._connecting = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._last_ticket = _TELL

    @property
    def connected(self) -> bool:
        """Whether calls go through the socket now."""
        return self._writer is not None

    async def call(self, name: str, argument: object) -> Any:
        """Calls and waits for the answer, however long it takes.

        Raises:
            NobodyListens: it reached nobody.
            ConnectionLost: whether it had its effect is open.
        """
        writer = self._writer or await self._connect()
        if writer is not self._writer or writer.is_closing():
            raise NobodyListens  # gone since, and the reader is about to notice
        self._last_ticket = ticket = self._last_ticket % 0xFFFF_FFFF + 1
        answer = asyncio.get_running_loop().create_future()
        self._waiting[ticket] = answer
        try:
            with suppress(OSError):  # then the reader hears of it, too
                await _write(writer, ticket, pickle.dumps((name, argument), 5))
            succeeded, value = await answer
        finally:
            self._waiting.pop(ticket, None)
        if not succeeded:
            raise ConnectionLost(name)
        return value

    def tell(self, name: str) -> bool:
        """Calls without waiting; whether that was possible. Else it connects for the next time."""
        writer = self._writer
        if writer is None:
            if not self._connecting.locked():
                self._spawn(self._connect_quietly())
            return False
        if writer.is_closing():  # the reader is about to notice
            return False
        if writer.transport.get_write_buffer_size() > _BUFFER:
            return True  # it reads nothing now; more of the same tells it nothing new
        body = pickle.dumps((name, None), 5)
        writer.write(_HEADER.pack(len(body), _TELL) + body)
        return True

    async def close(self) -> None:
        """Ends the connection for good; who waits is told that it was lost."""
        self._closed = True
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._lose()

    async def _connect(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is not None:
                return self._writer
            now = asyncio.get_running_loop().time()
            if self._closed or now < self._look_at:
                raise NobodyListens
            try:
                if not is_private(self._path.parent):
                    raise FileNotFoundError
                reader, writer = await asyncio.open_unix_connection(self._path, limit=_BUFFER)
            except OSError:
                self._look_at = now + self._look_again_s
                raise NobodyListens from None
            if not _is_ours(writer):
                writer.close()
                raise NobodyListens
            self._writer = writer
            self._spawn(self._read(reader))
            return writer

    async def _connect_quietly(self) -> None:
        with suppress(NobodyListens):
            await self._connect()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                ticket, body = await _read(reader)
                waiting = self._waiting.get(ticket)
                if waiting is not None and not waiting.done():
                    waiting.set_result(_unpickled(body))
        except (OSError, EOFError):
            pass
        finally:
            self._lose()

    def _lose(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ConnectionLost())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _bound(path: Path) -> socket.socket:
    """A socket of this name; what processes left behind that were killed is removed.

    Under a lock: who removes a dead one's socket must not hit that of its successor.
    """
    lock = os.open(path.parent / ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _sweep(path.parent)
        path.unlink(missing_ok=True)
        bound = socket.socket(socket.AF_UNIX)
        try:
            bound.bind(str(path))
            bound.listen(_BACKLOG)  # from now on nobody takes it for a dead one's
        except OSError:
            bound.close()
            raise
    finally:
        os.close(lock)
    return bound


def _is_ours(writer: asyncio.StreamWriter) -> bool:
    """Whether a process of our own user is at the other end."""
    peer = writer.get_extra_info("socket")
    _, uid, _ = _CREDENTIALS.unpack(
        peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    )
    return bool(uid == os.getuid())


def _unpickled(body: bytes) -> Any:
    try:
        return pickle.loads(body)  # noqa: S301  # nosec B301  # see the module
    except Exception:  # of a version that this one does not know
        _log.exception("answer_unreadable")
        return _FAILED


def _sweep(folder: Path) -> None:
    for path in folder.glob("*.sock"):
        with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
            if time.time() - path.stat().st_mtime < _LEFT_BEHIND_S:
                continue
            probe.setblocking(False)
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink()


async def _read(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The next frame. Raises OSError or EOFError at the end, or when it is none."""
    length, ticket = _HEADER.unpack(await reader.readexactly(_HEADER.size))
    if length > _LONGEST:
        raise EOFError
    return ticket, await reader.readexactly(length)


async def _write(writer: asyncio.StreamWriter, ticket: int, body: bytes) -> None:
    """One frame. Raises OSError when the other end is gone."""
    if writer.is_closing():
        raise ConnectionResetError
    writer.write(_HEADER.pack(len(body), ticket) + body)
    await writer.drain()
