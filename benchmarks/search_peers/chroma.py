"""Chroma's server as its own command line starts it: cosine space, its default HNSW."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import orjson

from benchmarks.search_peers import TOP, Within
from benchmarks.search_peers.programs import peers, program
from benchmarks.search_peers.web import WebPeer, encoded
from benchmarks.vectors.kept import SHARES, Sentences
from cluster.process import free_ports

_COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
_BATCH = 1_000
_TIMEOUT_S = 600.0
_QUIET = {"ANONYMIZED_TELEMETRY": "False", "DO_NOT_TRACK": "1"}


@asynccontextmanager
async def chroma(data: Sentences, folder: Path) -> AsyncIterator[WebPeer]:
    """Installs it if need be, starts it and fills it."""
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [str(peers() / "chroma"), "run", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--path", str(folder / "chroma")]
    with program(command, f"{url}/api/v2/heartbeat", folder / "chroma.log", _QUIET):
        async with httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S) as http:
            version = (await http.get("/api/v2/version")).json()
            path = await _filled(http, data)
        yield WebPeer(
            port,
            f"{path}/query",
            bodies=lambda within: _bodies(data, within),
            rows_of=_rows_of,
            settings={"chroma": version},
        )


async def _filled(http: httpx.AsyncClient, data: Sentences) -> str:
    described = {"name": "sentences", "configuration": {"hnsw": {"space": "cosine"}}}
    made = (await http.post(_COLLECTIONS, json=described)).raise_for_status()
    path = f"{_COLLECTIONS}/{made.json()['id']}"
    for begin in range(0, len(data.texts), _BATCH):
        rows = range(begin, min(begin + _BATCH, len(data.texts)))
        batch = {
            "ids": [str(row) for row in rows],
            "embeddings": [encoded(data.vectors[row]) for row in rows],
            "documents": [data.texts[row] for row in rows],
            "metadatas": [{name: bool(data.tags[name][row]) for name in SHARES} for row in rows],
        }
        answer = await http.post(f"{path}/add", content=orjson.dumps(batch), headers=_JSON)
        answer.raise_for_status()
    return path


_JSON = {"Content-Type": "application/json"}


def _bodies(data: Sentences, within: Within) -> list[bytes]:
    where = {} if within.tag is None else {"where": {within.tag: True}}
    return [
        orjson.dumps(
            {
                "query_embeddings": [query.tolist()],
                "n_results": TOP,
                "include": ["documents", "distances"],
                **where,
            }
        )
        for query in data.queries
    ]


def _rows_of(reply: bytes) -> list[int]:
    (ids,) = orjson.loads(reply)["ids"]
    return [int(one) for one in ids]
