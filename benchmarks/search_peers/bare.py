"""Starting the bare reference, see `bare_app`."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import numpy as np
import orjson

from benchmarks.search_peers import TOP, Within
from benchmarks.search_peers.programs import program
from benchmarks.search_peers.web import WebPeer, encoded
from benchmarks.vectors.kept import Sentences
from cluster.process import free_ports


@asynccontextmanager
async def bare(data: Sentences, folder: Path) -> AsyncIterator[WebPeer]:
    """Hands it the documents as files and starts it."""
    (port,) = free_ports(1)
    np.save(folder / "vectors.npy", data.vectors)
    np.save(folder / "queries.npy", data.queries)
    (folder / "texts.json").write_bytes(orjson.dumps(data.texts))
    command = [sys.executable, "-m", "benchmarks.search_peers.bare_app", str(port), str(folder)]
    url = f"http://127.0.0.1:{port}/kind"
    with program(command, url, folder / "bare.log"):
        async with httpx.AsyncClient() as http:
            kind = (await http.get(url)).json()["index"]
        yield WebPeer(
            port,
            "/search",
            bodies=lambda _: _bodies(data),
            rows_of=_rows_of,
            within=(Within.ALL,),
            settings={"bare_index": kind},
        )


def _bodies(data: Sentences) -> list[bytes]:
    return [orjson.dumps({"vector": encoded(query), "top_k": TOP}) for query in data.queries]


def _rows_of(reply: bytes) -> list[int]:
    return [hit["id"] for hit in orjson.loads(reply)["hits"]]
