"""Files and pages over HTTP, with real parsers."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from actors.documents.fetching import Fetched, Fetcher
from actors.outbound.client import Outbound
from actors.settings import OutboundSettings, UploadSettings
from serve_app.http import create_app
from tests.fixtures import files
from tests.fixtures.gateway import client_of, key, sages, settings

pytestmark = pytest.mark.integration
UPLOAD, FETCH = "/api/v1/rag/documents:upload", "/api/v1/rag/documents:fetch"
PAGES = {
    "https://docs.example.com/disk.html": Fetched(
        data=b"<h1>Disk full</h1><p>Rotate the logs.", name="", media_type="text/html"
    )
}


class GivenPages(Fetcher):
    """Knows its pages without asking anybody."""

    async def fetch(self, guild_id: str, url: str) -> Fetched:
        return PAGES[url]


@pytest.fixture
async def app() -> AsyncIterator[FastAPI]:
    config = settings().model_copy(update={"uploads": UploadSettings(at_once=2)})
    pages = GivenPages(lambda: Outbound(OutboundSettings()), config.uploads)
    app = create_app(config, sages(config).__getitem__, fetcher=pages)
    yield app
    await app.state.gateway.desk.close()


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


async def sent(
    client: httpx.AsyncClient,
    data: Any,
    media_type: str = "",
    headers: Mapping[str, str] | None = None,
    **said: Any,
) -> httpx.Response:
    declared = {"Content-Type": media_type} if media_type else {}
    return await client.post(
        UPLOAD, params=said, content=data, headers={**declared, **(headers or key())}
    )


@pytest.mark.parametrize(
    ("data", "name", "title"),
    [
        (b"# Disk full\n\nRotate the logs.", "a.md", "Disk full"),
        (b"Rotate the logs.", "a.txt", ""),
        (b"<title>Disk</title><h1>Full</h1><p>Rotate the logs.", "a.html", "Disk"),
        (files.pdf("Rotate the logs."), "guide.pdf", "guide"),
        (files.word(), "a.docx", "Runbook"),
    ],
)
async def test_a_file_becomes_a_document_as_text_does(
    client: httpx.AsyncClient, data: bytes, name: str, title: str
) -> None:
    answer = await sent(client, data, name=name, external_id="a", kind="runbook", tags=["x", "y"])
    read = (await client.get(answer.headers["location"])).json()

    assert answer.status_code == 201, answer.text
    assert answer.headers["guild-position"]
    assert answer.headers["etag"] == '"1"'
    assert read["content"].strip().endswith(("Rotate the logs.", "|"))
    assert (read["external_id"], read["kind"], read["tags"]) == ("a", "runbook", ["x", "y"])
    assert read["title"] == title or not title


async def test_a_file_sent_again_is_its_next_version_and_a_repeat_is_the_first_answer(
    client: httpx.AsyncClient,
) -> None:
    once = key()
    first = await sent(client, b"# One", name="a.md", external_id="a", headers=once)
    repeat = await sent(client, b"# One", name="a.md", external_id="a", headers=once)
    other = await sent(client, b"# Two", name="a.md", external_id="a", headers=once)
    second = await sent(client, b"# Two", name="a.md", external_id="a")

    assert first.json() == repeat.json()
    assert other.status_code == 422
    assert second.json()["version"] == 2


async def test_what_is_too_large_is_refused_while_it_arrives(client: httpx.AsyncClient) -> None:
    taken = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal taken
        while True:
            taken += 1 << 20
            yield bytes(1 << 20)

    answer = await sent(client, endless(), "text/plain", name="a.txt")

    assert answer.status_code == 413
    assert taken <= 12 << 20


async def test_one_file_too_many_is_told_when_to_come_again(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    go_on = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        await go_on.wait()
        yield b"# Slow"

    waiting = [
        asyncio.create_task(sent(client, slow(), name="a.md", external_id=str(n))) for n in range(2)
    ]
    while app.state.gateway.desk.taken < 2:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0)
    full = await sent(client, b"# Now", name="a.md")
    go_on.set()
    stored = await asyncio.gather(*waiting)

    assert (full.status_code, full.headers["retry-after"]) == (503, "2")
    assert [one.status_code for one in stored] == [201, 201]


@pytest.mark.parametrize("name", ["../a.md", "a/b.md", "a\\b.md", "..", ".", "", "a\x00.md"])
async def test_a_name_is_no_path(client: httpx.AsyncClient, name: str) -> None:
    assert (await sent(client, b"# a", name=name)).status_code in (400, 422)


@pytest.mark.parametrize("wrong", [{"colour": "red"}, {"kind": "a b"}, {"tags": ["x"] * 11}])
async def test_what_nobody_knows_is_422(client: httpx.AsyncClient, wrong: dict[str, Any]) -> None:
    assert (await sent(client, b"# a", name="a.md", **wrong)).status_code == 422


async def test_a_page_is_fetched_under_its_address(client: httpx.AsyncClient) -> None:
    url = "https://docs.example.com/disk.html"

    first = await client.post(FETCH, json={"url": url}, headers=key())
    again = await client.post(FETCH, json={"url": url}, headers=key())
    read = (await client.get(first.headers["location"])).json()

    assert (first.status_code, again.status_code) == (201, 200), first.text
    assert (read["external_id"], read["source_url"]) == (url, url)
    assert read["content"] == "# Disk full\n\nRotate the logs."


async def test_nothing_is_fetched_unless_an_operator_says_so() -> None:
    config = settings()
    app = create_app(config, sages(config).__getitem__)
    async with client_of(app) as client:
        answer = await client.post(FETCH, json={"url": "https://example.com/"}, headers=key())
    await app.state.gateway.desk.close()

    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {
            "pointer": "body/url",
            "detail": "nothing is fetched for this guild: no host is allowed",
        }
    ]
