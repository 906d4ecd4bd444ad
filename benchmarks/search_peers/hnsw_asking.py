"""Closed load on PostgreSQL from a process of its own; see `asking`."""

import asyncio
import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import asyncpg
import orjson
import uvloop
from pgvector.asyncpg import register_vector

from benchmarks.load.client import Seen
from benchmarks.search_peers.asking import unpacked
from benchmarks.search_peers.hnsw import vector_of
from benchmarks.vectors.model import Matrix


async def closed(
    url: str,
    statement: str,
    session: Sequence[str],
    queries: Sequence[Matrix],
    *,
    clients: int,
    connections: int,
    seconds: float,
) -> Seen:
    """So many clients share so many connections; waiting for a free one counts."""
    free: asyncio.Queue[asyncpg.prepared_stmt.PreparedStatement] = asyncio.Queue()
    opened = []
    for _ in range(connections):
        connection = await asyncpg.connect(url)
        opened.append(connection)
        await register_vector(connection)
        for setting in session:
            await connection.execute(setting)
        free.put_nowait(await connection.prepare(statement))
    seen = Seen(seconds=seconds)
    following = itertools.cycle(queries)
    until = time.perf_counter() + seconds

    async def client() -> None:
        while (begun := time.perf_counter()) < until:
            query = next(following)
            prepared = await free.get()
            try:
                await prepared.fetch(query)
            finally:
                free.put_nowait(prepared)
            if (now := time.perf_counter()) <= until:
                seen.latencies_ms.append((now - begun) * 1000)

    await asyncio.gather(*(client() for _ in range(clients)))
    for connection in opened:
        await connection.close()
    return seen


def main() -> int:
    """Sends the load that standard input describes and prints what was seen."""
    told = orjson.loads(sys.stdin.buffer.read())
    queries = [vector_of(row) for row in unpacked(Path(told.pop("requests")).read_bytes())]
    seen = uvloop.run(closed(queries=queries, **told))
    sys.stdout.buffer.write(orjson.dumps(seen.summary()) + b"\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
