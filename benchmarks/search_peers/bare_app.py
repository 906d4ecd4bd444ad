"""The bare reference: one process, FastAPI and FAISS; no login, no filter, nothing kept.

Run as a program with a port and the folder in which `texts.json` and `vectors.npy` are.
"""

import base64
import sys
import time
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import orjson
import uvicorn
from fastapi import FastAPI
from fastapi.responses import Response
from pydantic import BaseModel

from benchmarks.search_peers import RECALL, TOP, exact
from benchmarks.vectors.model import Matrix

_TRAINED_WITH = 20_000
_TRIED_WITH = 200


class Asked(BaseModel):
    """A vector in base64 of little-endian float32."""

    vector: str
    top_k: int = TOP


def application(texts: list[str], index: Any, kind: str) -> FastAPI:
    """Answers the texts of the nearest vectors."""
    app = FastAPI(openapi_url=None)

    @app.get("/kind")
    async def kind_of() -> dict[str, str]:
        return {"index": kind}

    @app.post("/search")
    async def search(asked: Asked) -> Response:
        query = np.frombuffer(base64.b64decode(asked.vector), "<f4")[None, :]
        scores, rows = index.search(query, asked.top_k)
        hits = [
            {"id": row, "score": score, "text": texts[row]}
            for row, score in zip(rows[0].tolist(), scores[0].tolist(), strict=True)
        ]
        return Response(orjson.dumps({"hits": hits}), media_type="application/json")

    return app


def fastest(vectors: Matrix, queries: Matrix) -> tuple[Any, str]:
    """The faster of two indexes whose recall is high enough, by one thread."""
    faiss.omp_set_num_threads(1)
    flat = faiss.IndexFlatIP(vectors.shape[1])
    flat.add(vectors)
    coded: Any = faiss.index_factory(
        vectors.shape[1], f"IVF1,PQ{vectors.shape[1] // 2}x4fs,RFlat", faiss.METRIC_INNER_PRODUCT
    )
    coded.train(np.ascontiguousarray(vectors[:: -(-len(vectors) // _TRAINED_WITH)]))
    coded.add(vectors)
    right = exact.best(vectors, queries, TOP)
    took: dict[str, float] = {}
    indexes: dict[str, Any] = {"IndexFlatIP": flat}
    for factor in (2, 4, 8, 16):
        coded.k_factor = factor
        _, rows = coded.search(queries, TOP)
        if exact.recall(rows.tolist(), right) >= RECALL:
            indexes[f"IVF1,PQ192x4fs,RFlat k_factor={factor}"] = coded
            break
    for kind, index in indexes.items():
        begun = time.perf_counter()
        for query in queries:
            index.search(query[None, :], TOP)
        took[kind] = time.perf_counter() - begun
    best = min(took, key=lambda kind: took[kind])
    return indexes[best], best


def main(port: int, folder: Path) -> None:
    """Serves what the folder holds, until ended."""
    vectors = np.load(folder / "vectors.npy")
    queries = np.load(folder / "queries.npy")[:_TRIED_WITH]
    index, kind = fastest(vectors, queries)
    texts = orjson.loads((folder / "texts.json").read_bytes())
    app = application(texts, index, kind)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
