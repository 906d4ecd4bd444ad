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


def search_by_vector(vector: Matrix, tag: str | None) -> bytes:
    """The body of a search with the caller's vector."""
    return _search({"vector": encoded(vector)}, tag)


def search_by_text(text: str, tag: str | None) -> bytes:
    """The body of a search that we embed ourselves."""
    return _search({"query": text}, tag)


def batch(documents: Sequence[dict[str, Any]]) -> bytes:
    """The body of a batch."""
    return orjson.dumps({"documents": documents})


def document(
    row: int, text: str, tags: Sequence[str], vector: Matrix | None = None
) -> dict[str, Any]:
    """One document; its row is its external id."""
    body: dict[str, Any] = {
        "external_id": str(row),
        "content": text,
        "content_type": "text/plain",
        "tags": list(tags),
    }
    if vector is not None:
        body["vector"] = {"model": MODEL_ID, "values": encoded(vector)}
    return body


def rows_of(reply: bytes) -> list[int]:
    """The rows that a reply names."""
    return [int(hit["external_id"]) for hit in orjson.loads(reply)["hits"]]


def _search(asked: dict[str, Any], tag: str | None) -> bytes:
    filters = {} if tag is None else {"filters": {"tags": [tag]}}
    return orjson.dumps({**asked, "mode": "dense", "top_k": TOP, **filters})
