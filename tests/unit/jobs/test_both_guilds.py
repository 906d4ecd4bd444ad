"""The guild in memory and the real gateway take documents, changes and deletions alike."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from actors.settings import JobSettings
from cluster.api import Api, ApiProblem
from cluster.jobs.journal import Journal
from cluster.jobs.report import Report
from cluster.jobs.sender import Prepared, Sender, delete_all
from tests.fixtures import gateway
from tests.fixtures.documents_guild import DocumentsGuild

NUMBERS = JobSettings(batch_documents=4, batch_linger_s=0.01, document_pause_s=0.001)


@pytest.fixture(params=["in memory", "real"])
async def api(request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    if request.param == "in memory":
        async with DocumentsGuild().api() as client:
            yield client
        return

    app = gateway.whole_app()

    async def sign_in(_: httpx.AsyncClient) -> httpx.Response:
        return httpx.Response(200, json={"access_token": gateway.token_of(app)})

    transport = httpx.ASGITransport(app)
    async with Api("http://guild", sign_in, transport=transport, patience_s=0.3) as client:
        yield client


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path, "test") as opened:
        yield opened


def document(name: str, content: str = "some words") -> Prepared:
    body = {"external_id": name, "content": content, "content_type": "text/plain"}
    return Prepared(name=name, digest=content, body=body, size=len(content))


async def sent(api: Api, journal: Journal, *documents: Prepared) -> Report:
    async def source() -> AsyncIterator[Prepared]:
        for one in documents:
            yield one

    report = Report(errors_listed=10)
    await Sender(api, journal, report, NUMBERS).send_all([source()])
    return report


async def test_documents_are_made_kept_and_changed(api: Api, journal: Journal) -> None:
    reports = [
        await sent(api, journal, *(document(f"{number}.md") for number in range(6))),
        await sent(api, journal, *(document(f"{number}.md") for number in range(6))),
        await sent(api, journal, document("0.md", "other words")),
    ]

    counts = [(report.created, report.unchanged, report.updated) for report in reports]
    versions = {entry.external_id: entry.version for entry in journal.entries()}
    assert counts == [(6, 0, 0), (0, 6, 0), (0, 0, 1)]
    assert versions == {"0.md": 2, **{f"{number}.md": 1 for number in range(1, 6)}}


async def test_a_deleted_document_comes_back_as_its_next_version(
    api: Api, journal: Journal
) -> None:
    await sent(api, journal, document("a.md"))
    await delete_all(api, journal, list(journal.entries()), Report(errors_listed=1), NUMBERS)

    left = len(journal)
    report = await sent(api, journal, document("a.md"))

    assert left == 0
    assert (report.created, report.updated) == (0, 1)


async def test_a_document_that_changed_since_is_deleted_nevertheless(
    api: Api, journal: Journal
) -> None:
    await sent(api, journal, document("a.md"))
    (known,) = journal.entries()
    await sent(api, journal, document("a.md", "changed by somebody"))

    await delete_all(api, journal, [known], Report(errors_listed=1), NUMBERS)

    report = await sent(api, journal, document("a.md", "changed by somebody"))
    assert report.updated == 1


async def test_a_document_is_there_until_it_is_deleted(api: Api, journal: Journal) -> None:
    await sent(api, journal, document("a.md"))
    (known,) = journal.entries()
    path = f"/rag/documents/{known.document_id}"

    there = (await api.get(path)).body
    await delete_all(api, journal, [known], Report(errors_listed=1), NUMBERS)
    gone = (await api.get(path)).body["status"]
    with pytest.raises(ApiProblem) as raised:
        await api.get("/rag/documents/doc_00000000000000000000000000")

    assert (there["version"], there["status"], gone) == (known.version, "active", "deleted")
    assert raised.value.status == 404


async def test_the_guild_is_named_by_the_token(api: Api) -> None:
    assert (await api.guild_id()).startswith("guild_")
