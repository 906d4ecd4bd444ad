"""Started in a network of its own: two listeners, and what the doctor makes of them, as JSON."""

import asyncio
import json
from dataclasses import asdict

from cluster.diagnosis import of_doors, verdict
from cluster.probing import doors, guarded, listeners

OPEN, INSIDE = 21_001, 21_002


async def main() -> None:
    """One answers everybody on every address; the other asks for a password, on loopback."""

    async def lets_in(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _answer(reader, writer, b"+PONG\r\n")

    async def asks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _answer(reader, writer, b"-NOAUTH Authentication required.\r\n")

    servers = [
        await asyncio.start_server(lets_in, "0.0.0.0", OPEN),  # noqa: S104 - that is the point
        await asyncio.start_server(asks, "127.0.0.1", INSIDE),
    ]
    pids = listeners()
    ports = {"valkey": OPEN, "gcs_store": INSIDE}
    findings = of_doors([await guarded(one, pids) for one in doors(ports)])
    print(json.dumps({"status": verdict(findings), "findings": [asdict(f) for f in findings]}))
    for server in servers:
        server.close()


async def _answer(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: bytes
) -> None:
    await reader.readline()
    writer.write(answer)
    await writer.drain()
    writer.close()


if __name__ == "__main__":
    asyncio.run(main())
