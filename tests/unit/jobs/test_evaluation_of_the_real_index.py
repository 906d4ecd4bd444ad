"""A data set through the real gateway, the real RAG sage and its index, over stores in memory."""

import io
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from actors.rag.backlog import Backlog
from actors.rag.finder import Finder
from actors.rag.library import Library
from actors.rag.messages import GetIndexStatus, IndexStatus
from actors.rag.sage import RagSage
from actors.runtime.local import LocalPool
from actors.settings import GuildSettings, JobSettings
from cluster.api import Api
from cluster.jobs.beir import Dataset
from cluster.jobs.evaluating import Evaluation, Plan, evaluate
from cluster.jobs.report import Report
from tests.fixtures import gateway
from tests.fixtures.labelled import BY_WORDS, write_data_set
from tests.fixtures.rag_memory import MemoryLog, MemoryRagStore, WordEmbedder

SILENT = Console(file=io.StringIO())


@pytest.fixture
def config(tmp_path: Path) -> GuildSettings:
    jobs = JobSettings(state_dir=tmp_path / "state", batch_linger_s=0.01, searchable_poll_s=0.001)
    return gateway.settings().model_copy(update={"jobs": jobs})


@pytest.fixture
async def api(config: GuildSettings) -> AsyncIterator[Api]:
    log, embedder = MemoryLog(), WordEmbedder()
    store = MemoryRagStore(log)
    library = Library(store, log, config.index)
    await library.load()
    finder = Finder(store, library, embedder, config.index)
    backlog = Backlog(store, library, embedder, config.index)

    async def status(query: GetIndexStatus) -> IndexStatus:
        """Whoever asks how far it is makes it go on: there is no actor that would."""
        await library.catch_up()
        await backlog.embed_some(query.context.caller.guild_id)
        return await finder.status(query)

    sage = RagSage(store, finder, config.index)
    app = gateway.app_over({"rag": LocalPool({**sage.handlers(), GetIndexStatus: status})}, config)

    async def sign_in(_: httpx.AsyncClient) -> httpx.Response:
        return httpx.Response(200, json={"access_token": gateway.token_of(app)})

    async with Api("http://guild", sign_in, transport=httpx.ASGITransport(app)) as client:
        yield client
    await library.close()


async def test_an_evaluation_has_the_figures_that_were_worked_out_by_hand(
    api: Api, config: GuildSettings, tmp_path: Path
) -> None:
    dataset = Dataset(write_data_set(tmp_path / "set"), max_line_bytes=1_000)
    result = Evaluation(corpus=Report(errors_listed=10))

    await evaluate(Plan(dataset=dataset), config, api, result, SILENT)

    assert result.measures["lexical"] == BY_WORDS
    assert result.measures["dense"]["recall@100"] == 1
    assert result.measures["hybrid"]["recall@100"] == 1
    assert (result.corpus.created, result.notes) == (5, [])
