"""pgvector in the embedded PostgreSQL: HNSW, asked by asyncpg, texts fetched as well."""

import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import numpy as np
from pgvector.asyncpg import register_vector

from benchmarks.search_peers import RECALL, TOP, Turn, Within, exact
from benchmarks.search_peers.asking import in_other_process
from benchmarks.vectors.kept import SHARES, Sentences
from benchmarks.vectors.model import Matrix
from cluster.process import free_ports
from cluster.services import PostgresServer

CONNECTIONS = 8
_MODULE = "benchmarks.search_peers.hnsw_asking"
_PASSWORD = "of-this-run"  # noqa: S105  # a server on loopback that lives for minutes
_START_S = 60.0
_TRIED_WITH = 200
_EF_SEARCH = (40, 60, 80, 100, 150, 200, 300, 400, 600, 1_000)

_TABLE = """
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE sentences (
    id integer PRIMARY KEY,
    body text NOT NULL,
    "one-percent" boolean NOT NULL,
    "ten-percent" boolean NOT NULL,
    embedding vector(384) NOT NULL
);
"""
_INDEXES = """
CREATE INDEX ON sentences USING hnsw (embedding vector_cosine_ops)
    WITH (m = 16, ef_construction = 64);
CREATE INDEX ON sentences (id) WHERE "one-percent";
CREATE INDEX ON sentences (id) WHERE "ten-percent";
ANALYZE sentences;
"""
_SERVER = (
    "ALTER SYSTEM SET shared_buffers = '1GB'",  # all of it in memory, as the others have it
    "ALTER SYSTEM SET maintenance_work_mem = '1GB'",
    "ALTER SYSTEM SET jit = off",
)


def query_of(within: Within) -> str:
    """The statement; its only parameter is the vector."""
    where = "" if within.tag is None else f'WHERE "{within.tag}"'
    return (
        f"SELECT id, body, embedding <=> $1 AS distance FROM sentences {where} "  # noqa: S608 - our own words
        f"ORDER BY embedding <=> $1 LIMIT {TOP}"
    )


def session_of(ef_search: int) -> list[str]:
    """What every connection sets. Filtered searches go on until there are enough rows."""
    return [
        f"SET hnsw.ef_search = {ef_search}",
        "SET hnsw.iterative_scan = strict_order",
        "SET plan_cache_mode = force_custom_plan",
    ]


class HnswPeer:
    """Asked with the smallest ``ef_search`` whose recall is high enough, by filter."""

    within = tuple(Within)

    def __init__(self, url: str, data: Sentences) -> None:
        self.settings: dict[str, str | int | float] = {"hnsw_connections": CONNECTIONS}
        self._url = url
        self._data = data
        self._ef: dict[Within, int] = {}

    async def tune(self) -> None:
        """Chooses ``ef_search`` with some of the queries."""
        queries = self._data.queries[:_TRIED_WITH]
        for within in self.within:
            tags = self._data.tags
            allowed = None if within.tag is None else tags[within.tag]
            right = exact.best(self._data.vectors, queries, TOP, allowed)
            for ef_search in _EF_SEARCH:
                self._ef[within] = ef_search
                if exact.recall(await self._ask(within, queries), right) >= RECALL:
                    break
            self.settings[f"hnsw_ef_search_{within}"] = self._ef[within]

    async def found(self, within: Within) -> list[list[int]]:
        """See `Peer.found`."""
        return await self._ask(within, self._data.queries)

    async def measure(self, turn: Turn) -> Mapping[str, float]:
        """See `Peer.measure`; at most eight connections, which the clients share."""
        return await in_other_process(
            _MODULE,
            [query.tobytes() for query in self._data.queries],
            turn.seconds,
            url=self._url,
            statement=query_of(turn.within),
            session=session_of(self._ef[turn.within]),
            clients=turn.clients,
            connections=min(CONNECTIONS, turn.clients),
        )

    async def _ask(self, within: Within, queries: Matrix) -> list[list[int]]:
        connection = await asyncpg.connect(self._url)
        try:
            await register_vector(connection)
            for setting in session_of(self._ef[within]):
                await connection.execute(setting)
            statement = await connection.prepare(query_of(within))
            return [[row["id"] for row in await statement.fetch(query)] for query in queries]
        finally:
            await connection.close()


@asynccontextmanager
async def hnsw(data: Sentences, folder: Path) -> AsyncIterator[HnswPeer]:
    """Starts it, fills it, builds the index and tunes the search."""
    (port,) = free_ports(1)
    server = PostgresServer(folder / "postgres", port=port, password=_PASSWORD, environment={})
    server.prepare()
    try:
        await server.start(timeout_s=_START_S)
        await _run(server.admin_url, _SERVER)
        server.stop()
        await server.start(timeout_s=_START_S)
        seconds = await _filled(server.admin_url, data)
        peer = HnswPeer(server.admin_url, data)
        await peer.tune()
        peer.settings["hnsw_build_s"] = round(seconds, 1)
        yield peer
    finally:
        server.stop()


async def _filled(url: str, data: Sentences) -> float:
    await _run(url, (_TABLE,))
    connection = await asyncpg.connect(url)
    try:
        await register_vector(connection)
        rows = (
            (row, text, *(bool(data.tags[name][row]) for name in SHARES), data.vectors[row])
            for row, text in enumerate(data.texts)
        )
        await connection.copy_records_to_table(
            "sentences", records=rows, columns=["id", "body", *SHARES, "embedding"]
        )
    finally:
        await connection.close()
    begun = time.perf_counter()
    await _run(url, (_INDEXES,))
    return time.perf_counter() - begun


async def _run(url: str, statements: Sequence[str]) -> None:
    connection = await asyncpg.connect(url, timeout=_START_S)
    try:
        for statement in statements:
            await connection.execute(statement, timeout=3_600)
    finally:
        await connection.close()


def vector_of(row: bytes) -> Matrix:
    """A query as the load's process gets it."""
    return np.frombuffer(row, np.float32)
