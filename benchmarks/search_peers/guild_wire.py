"""How our API spells a search by vector and a document with its vector: the one place."""

from collections.abc import Sequence
from typing import Any

import orjson

from benchmarks.search_peers import TOP
from benchmarks.search_peers.web import encoded
from benchmarks.vectors.model import MODEL_ID, Matrix

LOGIN = "/oauth/login"
SEARCH = "/api/v1/rag/search"
BATCH = "/api/v1/rag/documents:batch"
INDEX = "/api/v1/rag/index"


def search(vector: Matrix, tag: str | None) -> bytes:
    """The body of a search with the caller's vector."""
    filters = {} if tag is None else {"filters": {"tags": [tag]}}
    asked = {"vector": encoded(vector), "mode": "dense", "top_k": TOP}
    return orjson.dumps({**asked, **filters})


def batch(documents: Sequence[dict[str, Any]]) -> bytes:
    """The body of a batch."""
    return orjson.dumps({"documents": documents})


def document(row: int, text: str, tags: Sequence[str], vector: Matrix) -> dict[str, Any]:
    """One document; its row is its external id."""
    return {
        "external_id": str(row),
        "content": text,
        "content_type": "text/plain",
        "tags": list(tags),
        "vector": {"model": MODEL_ID, "values": encoded(vector)},
    }


def rows_of(reply: bytes) -> list[int]:
    """The rows that a reply names."""
    return [int(hit["external_id"]) for hit in orjson.loads(reply)["hits"]]
