"""Closed load of prepared requests from a process of its own, each client one request at a time.

`python -m benchmarks.search_peers.asking` reads one JSON object with where to ask and a file of
requests as they go over the wire, and prints one JSON object with what was seen.
"""

import asyncio
import itertools
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import orjson
import uvloop

from benchmarks.load.client import Connection, Seen, finish

_SPARE_S = 90.0
_LENGTH_BYTES = 4


def post(port: int, path: str, body: bytes, *, token: str = "") -> bytes:
    """A POST of JSON as it goes over the wire."""
    authorization = f"Authorization: Bearer {token}\r\n" if token else ""
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{authorization}"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def packed(requests: Sequence[bytes]) -> bytes:
    """Requests as one text, each behind its length."""
    return b"".join(len(one).to_bytes(_LENGTH_BYTES, "big") + one for one in requests)


def unpacked(text: bytes) -> list[bytes]:
    """What was packed."""
    requests, place = [], 0
    while place < len(text):
        begin = place + _LENGTH_BYTES
        place = begin + int.from_bytes(text[begin - _LENGTH_BYTES : begin], "big")
        requests.append(text[begin:place])
    return requests


async def in_other_process(
    module: str, requests: Sequence[bytes], seconds: float, **told: object
) -> dict[str, float]:
    """Runs the load there and answers what it saw.

    Raises:
        RuntimeError: it failed; the text ends with what it said last.
    """
    with tempfile.NamedTemporaryFile(prefix="guild-bench-") as file:
        file.write(packed(requests))
        file.flush()
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(seconds + _SPARE_S):
                spec = orjson.dumps({"requests": file.name, "seconds": seconds, **told})
                output, errors = await process.communicate(spec)
        finally:
            if process.returncode is None:
                process.kill()
    if process.returncode:
        raise RuntimeError(f"the load failed: {errors.decode().strip().splitlines()[-1:]}")
    figures: dict[str, float] = orjson.loads(output)
    return figures


async def closed(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Seen:
    """As fast as the replies come back; all clients go through the requests together."""
    seen = Seen(seconds=seconds)
    following = itertools.cycle(requests)
    until = 0.0

    def done(connection: Connection, good: bool) -> None:
        now = time.perf_counter()
        if good and now <= until:
            seen.latencies_ms.append((now - connection.due) * 1000)
        seen.failed += not good
        if now < until:
            connection.send(next(following), due=now)

    loop = asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(lambda: Connection(done), "127.0.0.1", port))[1]
        for _ in range(clients)
    ]
    started = time.perf_counter()
    until = started + seconds
    for connection in connections:
        connection.send(next(following), due=started)
    await asyncio.sleep(seconds)
    await finish(connections, seen)
    return seen


def main() -> int:
    """Sends the load that standard input describes and prints what was seen."""
    told = orjson.loads(sys.stdin.buffer.read())
    requests = unpacked(Path(told["requests"]).read_bytes())
    seen = uvloop.run(closed(told["port"], requests, told["clients"], told["seconds"]))
    sys.stdout.buffer.write(orjson.dumps(seen.summary()) + b"\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
