"""Two small nodes behind a real nginx on the shipped files, elsewhere."""

import asyncio
import contextlib
import datetime
import ipaddress
import json
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from cluster.process import run, spawn, stop

DEPLOY = Path(__file__).resolve().parents[3] / "cluster" / "deploy"
_START_S = 10.0
_OURS = (b"x-request-id", b"req_of_the_guild"), (b"guild-version", b"1")


@dataclass(frozen=True, slots=True)
class Taken:
    """A request as a node got it."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> list[str]:
        """The values of a header."""
        return [value for key, value in self.headers if key == name.lower()]


class Node:
    """One of the two; the first part of a path says what it answers.

    Attributes:
        taken: every request, in the order of coming.
        away: it answers as HAProxy does while no replica of it lives.
        breaks: it takes a request and ends the connection without a word.
    """

    def __init__(self, name: str, port: int) -> None:
        self.name = name
        self.port = port
        self.taken: list[Taken] = []
        self.away = False
        self.breaks = False
        self.may_go_on = threading.Event()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Returns when it listens."""
        listening = socket.create_server(("127.0.0.1", self.port))
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._answer, interface="asgi3", log_config=None, lifespan="off", access_log=False
            )
        )
        self._thread = threading.Thread(target=self._server.run, args=([listening],), daemon=True)
        self._thread.start()
        until(lambda: self._server is not None and self._server.started)

    def stop(self) -> None:
        """As a process that is killed: its connections end at once, nobody listens any more."""
        if self._server is None or self._thread is None:
            return
        self._server.should_exit = self._server.force_exit = True
        self._thread.join(_START_S)
        self._server = self._thread = None

    def forget(self) -> None:
        """As new."""
        self.taken.clear()
        self.away = self.breaks = False
        self.may_go_on.clear()
        if self._server is None:
            self.start()

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        body = await _body(receive)
        headers = tuple((key.decode(), value.decode()) for key, value in scope["headers"])
        self.taken.append(Taken(scope["method"], scope["path"], headers, body))
        if self.breaks:
            self._end_connections()
            return
        if self.away:
            await _say(send, 500, [(b"content-type", b"text/plain")], b"Internal Server Error")
            return
        status, *_ = scope["path"].strip("/").rpartition("/")[2].split("-")
        if status == "stream":
            await self._stream(send)
            return
        answer = json.dumps({"node": self.name, "said": "by the guild"}).encode()
        kind = b"application/json" if status == "200" else b"application/problem+json"
        await _say(send, int(status), [(b"content-type", kind), *_OURS], answer)

    async def _stream(self, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": [*headers, *_OURS]})
        for number in range(3):
            line = f"data: {number}\n\n".encode()
            await send({"type": "http.response.body", "body": line, "more_body": True})
            await asyncio.to_thread(self.may_go_on.wait, _START_S)
            self.may_go_on.clear()
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _end_connections(self) -> None:
        assert self._server is not None
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()


@dataclass(frozen=True, slots=True)
class Front:
    """An nginx that answers.

    Attributes:
        certificate: what a client trusts.
    """

    port: int
    certificate: Path

    @property
    def url(self) -> str:
        """Its address."""
        return f"https://127.0.0.1:{self.port}"

    def client(self, *, address: str = "127.0.0.1", keeps: bool = True) -> httpx.Client:
        """Speaks to it, from an address of this machine.

        Args:
            address: it connects from there.
            keeps: its connections; nginx closes those when it reads its files anew, be it in the
                moment in which a request is sent.
        """
        limits = httpx.Limits(max_keepalive_connections=None if keeps else 0)
        transport = httpx.HTTPTransport(verify=self.trust(), local_address=address, limits=limits)
        return httpx.Client(base_url=self.url, transport=transport, timeout=10)

    def trust(self) -> ssl.SSLContext:
        """Trusts its certificate and no other."""
        return ssl.create_default_context(cafile=str(self.certificate))

    @contextmanager
    def connected(self) -> Iterator[ssl.SSLSocket]:
        """A bare connection."""
        with (
            socket.create_connection(("127.0.0.1", self.port), timeout=10) as bare,
            self.trust().wrap_socket(bare, server_hostname="127.0.0.1") as secured,
        ):
            yield secured


def front_files(
    folder: Path, *, port: int, nodes: Sequence[int], header_timeout_s: int = 10
) -> Path:
    """The shipped files with other places, and one second after a failure.

    Args:
        folder: to be made.
        port: of nginx.
        nodes: their ports.
        header_timeout_s: what a client has to send its headers; 10 is what is shipped.
    """
    lines = [f"server 127.0.0.1:{node} max_fails=3 fail_timeout=1s;" for node in nodes]
    if len(nodes) > 1:
        lines += [f"server 127.0.0.1:{node} max_fails=0 backup;" for node in nodes]
    folder.mkdir()
    certificate(folder)
    temporary = "".join(
        f"{kind}_temp_path {folder}/{kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    changes = {
        "nginx.conf": {
            "listen 443 ": f"listen 127.0.0.1:{port} ",
            "/etc/nginx/tls/": f"{folder}/",
            "/run/guild-nginx.pid": f"{folder}/pid",
            "worker_processes auto": "worker_processes 1",
        },
        "http.conf": {
            "client_header_timeout 10s": f"client_header_timeout {header_timeout_s}s",
            "access_log ": f"{temporary}access_log ",
        },
        "upstream.conf": {
            "server 127.0.0.1:8000 max_fails=3 fail_timeout=2s;": "\n    ".join(lines)
        },
        "proxy.conf": {},
        "server.conf": {},
    }
    for name, replaced in changes.items():
        text = (DEPLOY / "nginx" / name).read_text(encoding="utf-8")
        for old, new in replaced.items():
            assert text.count(old) >= 1, f"{name} has no {old!r}"
            text = text.replace(old, new)
        (folder / name).write_text(text, encoding="utf-8")
    return folder / "nginx.conf"


def tried(program: str, config: Path) -> tuple[int, str]:
    """Exit status and output of `nginx -t`."""
    return run([program, "-t", "-c", str(config)], timeout_s=20, environment={"PATH": os.defpath})


@contextmanager
def front(program: str, config: Path, *, port: int) -> Iterator[Front]:
    """Runs until the block ends."""
    log = config.parent / "output.log"
    as_root = (
        "user root; " if os.geteuid() == 0 else ""
    )  # else its workers may not enter the folder
    process = spawn(
        [program, "-c", str(config), "-g", f"{as_root}daemon off;"],
        log=log,
        environment={"PATH": os.defpath},
        death_signal=signal.SIGTERM,
        cwd=config.parent,
    )
    try:
        until(lambda: _answers(port))
        yield Front(port, config.parent / "tls.crt")
    finally:
        stop(process, signal.SIGTERM, timeout_s=10)
        print(log.read_text()[-4_000:])


def certificate(folder: Path) -> None:
    """Makes ``tls.crt`` and ``tls.key`` for this machine, good for an hour."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "tls.key").touch(mode=0o600)
    (folder / "tls.key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def until(holds: Callable[[], bool]) -> None:
    """Returns when it does; fails when that takes too long."""
    deadline = time.monotonic() + _START_S
    while not holds():
        assert time.monotonic() < deadline, "it takes too long"
        time.sleep(0.02)


async def _body(receive: Any) -> bytes:
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _say(send: Any, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})
