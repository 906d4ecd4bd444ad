"""Knowledge, documents and search over HTTP."""

from base64 import b64encode
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from actors import clock
from actors.embedding.identity import SHIPPED
from actors.errors import StaleIndex
from actors.rag.messages import Answer, Ask, GetIndexStatus, IndexStatus, Search, SearchHits
from actors.runtime.local import LocalPool
from actors.runtime.message import GuildId, Position
from serve_app.routes import rag
from serve_app.schemas.rag import DocumentIn
from tests.fixtures.gateway import app_over, at, client_of, key, sages, settings, whole_app

ENTITIES = "/api/v1/knowledge/entities"
CATEGORIES = "/api/v1/knowledge/categories"
DOCUMENTS = "/api/v1/rag/documents"


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return whole_app()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app, guild=GuildId(clock.new_id("guild"))) as client:
        yield client


async def test_every_version_of_an_entity_stays_readable(client: httpx.AsyncClient) -> None:
    made = await client.post(
        ENTITIES, json={"title": "Full disks", "content": "Rotate the logs."}, headers=key()
    )
    assert made.status_code == 201, made.text
    url = made.headers["location"]
    changed = await client.patch(
        url, json={"content": "Rotate and compress."}, headers={"If-Match": made.headers["etag"]}
    )

    versions = (await client.get(f"{url}/versions")).json()
    first = await client.get(f"{url}/versions/{made.json()['version']}")

    assert changed.json()["content"] == "Rotate and compress."
    assert len(versions["items"]) == 2
    assert first.json()["content"] == "Rotate the logs."


async def test_an_entity_is_archived_deleted_and_restored(client: httpx.AsyncClient) -> None:
    made = await client.post(ENTITIES, json={"title": "a", "content": "b"}, headers=key())
    url = made.headers["location"]
    inactive = await client.post(f"{url}:change-status", json={"status": "inactive"})

    deleted = await client.delete(url, headers=at(inactive.json()["version"]))
    missing = await client.get(url)
    restored = await client.post(f"{url}:restore")

    assert inactive.json()["status"] == "inactive"
    assert (deleted.status_code, missing.status_code) == (204, 404)
    assert restored.json()["status"] == "active"


@pytest.mark.parametrize("category_id", ["abc\n", "a/b", "", " ", "ä", "a" * 65])
async def test_a_strange_category_is_422(client: httpx.AsyncClient, category_id: str) -> None:
    body = {"category_id": category_id, "name": "a"}

    assert (await client.post(CATEGORIES, json=body, headers=key())).status_code == 422


async def test_a_category_is_added_to_the_default_ones(client: httpx.AsyncClient) -> None:
    body = {"category_id": "storage", "name": "Storage", "parent_id": "troubleshooting"}
    made = await client.post(CATEGORIES, json=body, headers=key())

    names = [one["category_id"] for one in (await client.get(CATEGORIES)).json()["items"]]

    assert made.status_code == 201, made.text
    assert {"general", "storage", "troubleshooting"} <= set(names)


async def test_a_document_is_stored_once_read_and_deleted(client: httpx.AsyncClient) -> None:
    body = {"external_id": "runbooks/disk.md", "content": "# Disk full\n\nRotate the logs."}
    first = await client.post(DOCUMENTS, json=body, headers=key())
    again = await client.post(DOCUMENTS, json=body, headers=key())
    url = first.headers["location"]

    read = (await client.get(url)).json()
    deleted = await client.delete(url, headers=at(read["version"]))

    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json()["changed"] is False
    assert (read["title"], read["external_id"]) == ("Disk full", "runbooks/disk.md")
    assert deleted.status_code == 204


async def test_a_batch_answers_for_each_document_in_order(client: httpx.AsyncClient) -> None:
    documents = [
        {"external_id": "one", "content": "# One"},
        {"external_id": "bad", "content": "---\ntitle: [\n---\n# Bad", "kind": "runbook"},
        {"external_id": "two", "content": "# Two"},
    ]

    answer = await client.post(f"{DOCUMENTS}:batch", json={"documents": documents}, headers=key())

    assert answer.status_code == 200
    items = answer.json()["items"]
    assert len(items) == 3
    assert [items[0]["document"]["external_id"], items[2]["document"]["external_id"]] == [
        "one",
        "two",
    ]
    assert answer.json()["stored"] + answer.json()["failed"] == 3


@pytest.mark.parametrize("form", ["numbers", "base64"])
async def test_a_document_brings_its_vector_in_either_form(
    client: httpx.AsyncClient, form: str
) -> None:
    numbers = np.linspace(-1, 1, SHIPPED.dimension, dtype="<f4")
    values = numbers.tolist() if form == "numbers" else b64encode(numbers.tobytes()).decode()
    body = {"content": "# Disk full", "vector": {"model": SHIPPED.model_id, "values": values}}

    first = await client.post(DOCUMENTS, json=body, headers=key())
    again = await client.post(DOCUMENTS, json=body, headers=key())

    assert (first.status_code, again.status_code) == (201, 200), first.text
    assert first.json()["chunk_count"] == 1


@pytest.mark.parametrize(
    "values",
    [
        [],
        "",
        "AAAA",
        "not base64!",
        "AAAAAA==\n",
        "ÄÄÄÄ",
        [True] * SHIPPED.dimension,
        ["1"] * SHIPPED.dimension,
        [None],
        [[1.0]],
        {"a": 1},
        7,
    ],
)
async def test_what_is_no_vector_is_422_with_its_place(
    client: httpx.AsyncClient, values: object
) -> None:
    body = {"content": "# Disk full", "vector": {"model": SHIPPED.model_id, "values": values}}

    answer = await client.post(DOCUMENTS, json=body, headers=key())

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "body/vector/values"


@pytest.mark.parametrize(
    ("vector", "pointer"),
    [
        ({"model": SHIPPED.model_id, "values": [1.0, 2.0]}, "vector/values"),
        ({"model": SHIPPED.model_id, "values": [0.0] * SHIPPED.dimension}, "vector/values"),
        ({"model": SHIPPED.model_id, "values": [1e300] * SHIPPED.dimension}, "vector/values"),
        ({"model": "another", "values": [1.0] * SHIPPED.dimension}, "vector/model"),
    ],
)
async def test_a_vector_that_cannot_be_compared_harms_no_neighbour(
    client: httpx.AsyncClient, vector: dict[str, Any], pointer: str
) -> None:
    documents = [{"content": "# One"}, {"content": "# Two", "vector": vector}]

    alone = await client.post(DOCUMENTS, json=documents[1], headers=key())
    answer = await client.post(f"{DOCUMENTS}:batch", json={"documents": documents}, headers=key())

    assert alone.status_code == 422
    assert alone.json()["errors"][0]["pointer"] == pointer
    good, bad = answer.json()["items"]
    assert (good["status"], bad["status"]) == (201, 422)
    assert bad["error"]["pointer"] == f"body/documents/1/{pointer}"


async def test_a_large_batch_goes_in_parts_and_is_answered_in_its_order() -> None:
    config = settings(batch_part_bytes=1024)
    documents = [{"external_id": f"d/{n}", "content": f"{n} " * 100} for n in range(40)]

    async with client_of(app_over(sages(config), config)) as client:
        answer = await client.post(
            f"{DOCUMENTS}:batch", json={"documents": documents}, headers=key()
        )

    names = [item["document"]["external_id"] for item in answer.json()["items"]]
    assert names == [f"d/{n}" for n in range(40)]
    assert answer.headers["guild-position"]


async def test_versions_in_different_parts_are_stored_in_order() -> None:
    config = settings(batch_part_bytes=1024)
    documents = [{"external_id": "same", "content": f"{n} " * 300} for n in range(8)]

    async with client_of(app_over(sages(config), config)) as client:
        answer = await client.post(
            f"{DOCUMENTS}:batch", json={"documents": documents}, headers=key()
        )

    versions = [item["document"]["version"] for item in answer.json()["items"]]
    assert versions == list(range(1, 9))


@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(1, 30)), min_size=1, max_size=30),
    st.integers(1, 5),
    st.integers(1, 60),
)
def test_parts_are_bounded_and_together_the_batch(
    drafts: list[tuple[str, int]], most: int, most_bytes: int
) -> None:
    documents = [DocumentIn(external_id=name, content="x" * size) for name, size in drafts]

    found, in_order = rag.parts(documents, most, most_bytes)

    assert [number for part in found for number in part] == list(range(len(documents)))
    for part in found:
        assert 1 <= len(part) <= most
        assert len(part) == 1 or sum(documents[n].size for n in part) <= most_bytes
    names = [{documents[n].name for n in part} for part in found]
    shared = sum(map(len, names)) > len(set().union(*names))
    assert in_order == shared


async def test_more_documents_than_a_batch_holds_are_413(client: httpx.AsyncClient) -> None:
    documents = [{"content": str(number)} for number in range(501)]

    answer = await client.post(f"{DOCUMENTS}:batch", json={"documents": documents}, headers=key())

    assert answer.status_code == 413


async def test_a_search_waits_for_the_later_of_header_and_body() -> None:
    asked: list[Search] = []

    async def search(query: Search) -> SearchHits:
        asked.append(query)
        return SearchHits(
            hits=(),
            position=Position(9, 9),
            dense_position=Position(9, 8),
            dense_pending=0,
            dense_weight=0.5,
        )

    app = app_over({"rag": LocalPool({Search: search})})
    async with client_of(app) as client:
        answer = await client.post(
            "/api/v1/rag/search",
            json={"query": "disk", "top_k": 3, "min_position": "1-7-5", "mode": "lexical"},
            headers={"Guild-Position": "1-7-12"},
        )

    assert answer.headers["guild-position"] == answer.json()["position"] == "1-9-9"
    assert asked[0].min_position == Position(7, 12)
    assert (asked[0].text, asked[0].top_k, asked[0].mode.value) == ("disk", 3, "lexical")
    assert answer.json()["dense_position"] == "1-9-8"


async def test_a_search_may_bring_a_vector_and_say_what_it_must_know() -> None:
    asked: list[Search] = []

    async def search(query: Search) -> SearchHits:
        asked.append(query)
        return SearchHits(
            hits=(), position=None, dense_position=None, dense_pending=0, dense_weight=1.0
        )

    app = app_over({"rag": LocalPool({Search: search})})
    async with client_of(app) as client:
        answer = await client.post(
            "/api/v1/rag/search",
            json={
                "vector": [0.5] * 384,
                "mode": "dense",
                "filters": {
                    "access_levels": ["public"],
                    "since": "2026-05-04T12:00:00Z",
                    "until": "2026-05-05T12:00:00Z",
                },
                "consistency": {"min_position": "1-7-12", "legs": ["dense"], "timeout_ms": 250},
            },
        )

    assert answer.status_code == 200
    (query,) = asked
    assert query.vector == np.full(384, 0.5, "<f4").tobytes()
    assert (query.min_position, query.dense_too, query.wait_s) == (Position(7, 12), True, 0.25)
    assert query.filters.access == {"public"}
    assert (query.filters.since, query.filters.until) == (
        datetime(2026, 5, 4, 12, tzinfo=UTC),
        datetime(2026, 5, 5, 12, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"mode": "dense"},
        {"vector": [0.5] * 384},
        {"vector": [0.5, "x"], "mode": "dense"},
        {"vector": [], "mode": "exact"},
        {"query": "disk", "top_k": 101},
        {"query": "disk", "top_k": 0},
        {"query": "disk", "consistency": {"legs": []}},
        {"query": "disk", "consistency": {"timeout_ms": 10_001}},
    ],
)
async def test_a_search_for_nothing_is_refused(body: dict[str, Any]) -> None:
    app = app_over({"rag": LocalPool({})})
    async with client_of(app) as client:
        answer = await client.post("/api/v1/rag/search", json=body)

    assert answer.status_code == 422


async def test_an_index_that_is_behind_answers_504_stale_index() -> None:
    async def behind(query: Ask) -> None:
        raise StaleIndex("9-9", "1-1")

    app = app_over({"rag": LocalPool({Ask: behind})}, settings())
    async with client_of(app) as client:
        answer = await client.post("/api/v1/rag/query", json={"question": "why?"})

    assert answer.status_code == 504
    assert answer.json()["type"].endswith(":stale_index")
    assert answer.headers["retry-after"] == "1"


async def test_what_shards_did_not_answer_is_said_with_every_answer() -> None:
    async def search(query: Search) -> SearchHits:
        return SearchHits(
            hits=(),
            position=Position(9, 9),
            dense_position=None,
            dense_pending=0,
            dense_weight=0.5,
            partial=True,
            missing_shards=2,
        )

    async def answer(query: Ask) -> Answer:
        return Answer(
            question=query.question,
            text="",
            citations=(),
            abstained=True,
            retrieved=(),
            stale=True,
            partial=True,
            missing_shards=2,
        )

    async def status(query: GetIndexStatus) -> IndexStatus:
        return IndexStatus(
            state="ready",
            position=None,
            dense_position=None,
            sources=0,
            passages=0,
            dense_pending=0,
            shards=4,
            partial=True,
            missing_shards=2,
        )

    app = app_over({"rag": LocalPool({Search: search, Ask: answer, GetIndexStatus: status})})
    async with client_of(app) as client:
        replies = [
            await client.post("/api/v1/rag/search", json={"query": "disk"}),
            await client.post("/api/v1/rag/query", json={"question": "disk"}),
            await client.get("/api/v1/rag/index"),
        ]

    said = [(one.json()["partial"], one.json()["missing_shards"]) for one in replies]
    assert said == [(True, 2)] * 3
    assert replies[1].json()["stale"]
    assert replies[2].json()["shards"] == 4
