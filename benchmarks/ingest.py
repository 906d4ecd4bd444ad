"""How many documents with vectors a second are kept, and can be found: ours, over HTTP with auth.

Documents of about 500 characters, each with a vector of 384 numbers as base64. Durable: the last
answer is there. Searchable: a search that asks for the last write's position is answered. The
clients write and read bare HTTP: they share the machine, and shall cost next to nothing.

batch N, c C    N documents in a request, C clients, each with one request at a time
numbers         the same with vectors as JSON numbers
one, c16        one document in a request
bare            the limit: the same rows in the same tables, asyncpg, one statement a table, no
                roles, no events, no identity of requests
"""

import asyncio
import base64
import re
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

import asyncpg
import httpx
import numpy as np
import orjson
import psutil

from actors.embedding.identity import SHIPPED
from benchmarks.frame import Contender, Goal, Measurement, Options, Report, interleave, main
from benchmarks.load.client import connected
from benchmarks.local_stack import started
from cluster.api import API, SignIn, with_password
from cluster.state import Stack

SEED = 11
_DOCUMENTS = f"{API}/rag/documents"
_WORDS = """
alert backup cache certificate checkout cluster consumer database deployment disk error failover
grows index latency limit lock log memory message network node order page partition queue replica
request restart retry rotate schema search server shard store stuck timeout token traffic update
user volume wait write zone
"""
_PATIENCE_S = 120.0
_TIMEOUT_S = 60.0
_RECONNECTS = 5  # of one client; a repeat has the key of the first attempt
_POSITION = re.compile(rb"\r\nguild-position: *([0-9-]+)\r\n", re.IGNORECASE)
"""What every write is answered with."""


@dataclass(frozen=True, slots=True)
class Shape:
    """So many clients, each with so many documents in a request, one request at a time."""

    name: str
    batch: int
    clients: int
    numbers: bool = False


BATCHES = tuple(
    Shape(f"batch {batch}, c{clients}", batch, clients)
    for batch in (100, 200, 500)
    for clients in (1, 4)
)
NUMBERS = Shape("numbers, batch 200, c4", 200, 4, numbers=True)
ONE = Shape("one, c16", 1, 16)
BARE = (Shape("bare, batch 200, c4", 200, 4), Shape("bare, one, c16", 1, 16))


class Documents:
    """New documents, as many as one asks for; the same ones in every run but for their names."""

    def __init__(self) -> None:
        self._random = np.random.default_rng(SEED)
        self._run = secrets.token_hex(4)
        self._made = 0

    def take(self, count: int) -> list[dict[str, Any]]:
        """Each with a name that nobody has had, and a vector in numpy's form."""
        vectors = self._random.normal(size=(count, SHIPPED.dimension)).astype("<f4")
        texts = self._random.choice(_WORDS.split(), size=(count, 80))
        begin, self._made = self._made, self._made + count
        return [
            {
                "external_id": f"{self._run}/{begin + number}",
                "title": " ".join(text[:6]),
                "content": " ".join(text),
                "content_type": "text/plain",
                "vector": vector,
            }
            for number, (text, vector) in enumerate(zip(texts, vectors, strict=True))
        ]


class Guild:
    """The stack's API, as its administrator."""

    def __init__(self, client: httpx.AsyncClient, sign_in: SignIn) -> None:
        self._client = client
        self._sign_in = sign_in

    async def measure(self, shape: Shape, documents: Documents, count: int) -> Measurement:
        """Sends ``count`` documents; fails where one is not stored."""
        granted = (await self._sign_in(self._client)).raise_for_status().json()
        self._client.headers["Authorization"] = f"Bearer {granted['access_token']}"
        path = _DOCUMENTS if shape.batch == 1 else f"{_DOCUMENTS}:batch"
        bodies = _bodies(shape, documents.take(count))
        requests = iter([self._request(path, body) for body in bodies])
        positions: list[str] = []
        begun = time.perf_counter()
        await asyncio.gather(*(self._send(requests, positions) for _ in range(shape.clients)))
        durable = time.perf_counter() - begun
        for position in dict.fromkeys(sorted(positions, key=_order)[-1:]):
            await self._found(position)
        searchable = time.perf_counter() - begun
        return {"durable_per_s": count / durable, "searchable_per_s": count / searchable}

    def _request(self, path: str, body: bytes) -> bytes:
        """As it goes over the wire."""
        head = (
            f"POST {path} HTTP/1.1",
            f"Host: {self._client.base_url.netloc.decode()}",
            f"Authorization: {self._client.headers['Authorization']}",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            f"Idempotency-Key: {secrets.token_hex(16)}",
        )
        return "\r\n".join((*head, "", "")).encode() + body

    async def _send(self, requests: Iterator[bytes], positions: list[str]) -> None:
        url = self._client.base_url
        request = next(requests, None)
        for _ in range(_RECONNECTS):
            with suppress(ConnectionError):  # a kept connection may be closed any time
                async with connected(url.host, url.port or 80) as ask:
                    while request is not None:
                        async with asyncio.timeout(_TIMEOUT_S):
                            positions.append(_stored(await ask(request)))
                        request = next(requests, None)
                return
        raise RuntimeError(f"no connection lasted, {_RECONNECTS} times")

    async def _found(self, position: str) -> None:
        until = time.perf_counter() + _PATIENCE_S
        body = {"query": "queue", "mode": "lexical", "top_k": 1, "min_position": position}
        while time.perf_counter() < until:
            reply = await self._client.post(f"{API}/rag/search", json=body)
            if reply.is_success:
                return
            if reply.status_code != 504:
                raise RuntimeError(f"search answered {reply.status_code}: {reply.text[:500]}")
        raise RuntimeError(f"{position} was not searchable within {_PATIENCE_S:g} s")


class Bare:
    """PostgreSQL itself."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    async def measure(self, shape: Shape, documents: Documents, count: int) -> Measurement:
        """The same rows, a transaction a request."""
        parts = iter(_parts(documents.take(count), shape.batch))
        begun = time.perf_counter()
        await asyncio.gather(*(self._send(parts) for _ in range(shape.clients)))
        return {"durable_per_s": count / (time.perf_counter() - begun)}

    async def _send(self, parts: Iterator[Sequence[dict[str, Any]]]) -> None:
        async with self._pool.acquire() as connection:
            for part in parts:
                names = [one["external_id"] for one in part]
                texts = [one["content"] for one in part]
                vectors = [_as_vector(one["vector"]) for one in part]
                async with connection.transaction():
                    for statement in _BARE_ROWS:
                        await connection.execute(statement, names, texts)
                    await connection.execute(_BARE_CHUNKS, names, texts, vectors)


_BARE_TABLES = ("documents", "document_versions", "sources", "chunks")
_BARE_ROWS = (
    """
    INSERT INTO bare.documents (guild_id, document_id, external_id, version, status,
                                content_sha256, created_at, updated_at)
    SELECT 'bare', name, name, 1, 'active', encode(sha256(content::bytea), 'hex'), now(), now()
    FROM unnest($1::text[], $2::text[]) AS new(name, content)
    """,
    """
    INSERT INTO bare.document_versions (guild_id, document_id, version, title, content,
        content_type, content_sha256, kind, tags, alert_names, labels, metadata, stored_at)
    SELECT 'bare', name, 1, name, content, 'text/plain', encode(sha256(content::bytea), 'hex'),
           'document', '{}', '{}', '{}', '{}', now()
    FROM unnest($1::text[], $2::text[]) AS new(name, content)
    """,
    """
    INSERT INTO bare.sources (guild_id, source_id, source_type, source_version, index_version,
        external_id, title, body, kind, status, tags, alert_names, labels, urls, removed)
    SELECT 'bare', name, 'document', 1, 1, name, name, '', 'document', 'active', '{}', '{}', '{}',
           '{}', false
    FROM unnest($1::text[], $2::text[]) AS new(name, content)
    """,
)
_BARE_CHUNKS = """
    INSERT INTO bare.chunks (guild_id, chunk_id, source_id, position, heading, body, char_start,
                             char_end, embedded_text, embedding, model_id)
    SELECT 'bare', name, name, 0, '', content, 0, length(content), sha256(content::bytea),
           embedding, 'bare'
    FROM unnest($1::text[], $2::text[], $3::vector[]) AS new(name, content, embedding)
"""


async def run(options: Options) -> Report:
    """Measures everything on a stack of its own."""
    rounds, many, few = (1, 2_000, 500) if options.quick else (3, 20_000, 5_000)
    batches = (BATCHES[3],) if options.quick else BATCHES
    documents = Documents()
    with _folder() as folder, started(folder / "data") as stack:
        async with _guild(stack) as guild, _bare(stack) as bare:
            contenders: dict[str, Contender] = {}
            for shape in (*batches, NUMBERS, ONE):
                contenders[shape.name] = _turn(guild.measure, shape, documents, many, few)
            for shape in BARE:
                contenders[shape.name] = _turn(bare.measure, shape, documents, many, few)
            await guild.measure(BATCHES[0], documents, 200)  # first requests look actors up
            results = await interleave(contenders, rounds)
            mib = _memory_mib(stack)
    best = max(results[shape.name]["durable_per_s"].median for shape in batches)
    found = max(results[shape.name]["searchable_per_s"].median for shape in batches)
    return Report(
        results=results,
        goals=(
            Goal(name="batches_durable_per_s", measured=best, at_least=5_000),
            Goal(name="batches_searchable_per_s", measured=found, at_least=5_000),
            Goal(
                name="one_by_one_per_s",
                measured=results[ONE.name]["durable_per_s"].median,
                at_least=500,
            ),
        ),
        notes=(
            f"all processes of the stack together held {mib:.0f} MiB at the end",
            "the clients are in one process, on the same machine",
        ),
        settings={
            "rounds": rounds,
            "documents": many,
            "one_by_one": few,
            "model": SHIPPED.model_id,
        },
    )


def _stored(reply: bytes) -> str:
    """The position of the write; fails where something is not stored."""
    head, _, body = reply.partition(b"\r\n\r\n")
    position = _POSITION.search(head + b"\r\n")
    good = head.startswith(b"HTTP/1.1 2")
    if not good or position is None or orjson.loads(body).get("failed"):
        raise RuntimeError(f"a request was answered by {reply[:500]!r}")
    return position[1].decode()


Measure = Callable[[Shape, Documents, int], Any]


def _turn(measure: Measure, shape: Shape, documents: Documents, many: int, few: int) -> Contender:
    async def turn() -> Measurement:
        found: Measurement = await measure(shape, documents, few if shape.batch == 1 else many)
        return found

    return turn


def _bodies(shape: Shape, documents: Sequence[dict[str, Any]]) -> list[bytes]:
    """What goes over the wire, made before the clock runs."""

    def rendered(document: dict[str, Any]) -> dict[str, Any]:
        vector = document["vector"]
        values = vector if shape.numbers else base64.b64encode(vector.tobytes()).decode()
        return {**document, "vector": {"model": SHIPPED.model_id, "values": values}}

    parts = _parts([rendered(document) for document in documents], shape.batch)
    return [
        orjson.dumps(
            part[0] if shape.batch == 1 else {"documents": part},
            option=orjson.OPT_SERIALIZE_NUMPY,
        )
        for part in parts
    ]


def _parts(documents: list[dict[str, Any]], size: int) -> list[list[dict[str, Any]]]:
    return [documents[begin : begin + size] for begin in range(0, len(documents), size)]


def _as_vector(values: Any) -> bytes:
    sent: bytes = len(values).to_bytes(2) + b"\x00\x00" + values.astype(">f4").tobytes()
    return sent


def _order(position: str) -> tuple[int, ...]:
    return tuple(map(int, position.split("-")))


@asynccontextmanager
async def _guild(stack: Stack) -> AsyncIterator[Guild]:
    assert stack.admin is not None  # noqa: S101  # a local stack makes one
    sign_in = with_password(stack.admin.name, stack.admin.secret)
    async with httpx.AsyncClient(base_url=stack.api_url, timeout=_TIMEOUT_S) as client:
        client.headers["Content-Type"] = "application/json"
        yield Guild(client, sign_in)


@asynccontextmanager
async def _bare(stack: Stack) -> AsyncIterator[Bare]:
    async def binary(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        await connection.set_type_codec(
            "vector", schema="public", encoder=bytes, decoder=bytes, format="binary"
        )

    async with asyncpg.create_pool(
        stack.migration_database_url, min_size=1, max_size=16, init=binary
    ) as pool:
        await pool.execute("CREATE SCHEMA bare")
        for table in _BARE_TABLES:
            await pool.execute(f"CREATE TABLE bare.{table} (LIKE {table} INCLUDING ALL)")
        yield Bare(pool)


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="guild-bench-"))
    folder.chmod(0o711)  # the account PostgreSQL runs as passes through
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)


def _memory_mib(stack: Stack) -> float:
    """What the supervisor and all below it hold, each shared page once."""
    supervisor = psutil.Process(stack.pid)
    total = 0
    for process in (supervisor, *supervisor.children(recursive=True)):
        try:
            total += process.memory_full_info().pss
        except psutil.Error:
            continue  # it has just ended, or belongs to another account
    return total / 2**20


if __name__ == "__main__":
    raise SystemExit(main("ingest", __doc__, run))
