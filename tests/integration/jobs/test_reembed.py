"""A guild of the real database is moved to another model by the command, killed on its way."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from actors.embedding.identity import SHIPPED, ModelIdentity
from actors.rag.backlog import Backlog
from actors.rag.finder import Finder
from actors.rag.library import Library
from actors.rag.messages import Search, SearchMode
from actors.rag.postgres import PostgresRagStore
from actors.rag.reembedding.postgres import PostgresNextStore
from actors.settings import IndexSettings
from actors.storage.database import Database
from actors.storage.log import LogReader
from benchmarks.local_stack import clean_environment
from tests.fixtures.embedding_server import DIMENSION, EmbeddingServer
from tests.fixtures.rag_builders import GUILD, MODEL, context, store_document
from tests.fixtures.rag_contract import attach_vectors, embedded, put
from tests.fixtures.rag_memory import WordEmbedder
from tests.fixtures.receiver import Receiver
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import opened, run_as_owner

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
TARGET = ModelIdentity("next-of-tests", DIMENSION)
SETTINGS = IndexSettings(chunk_max_words=20, tail_poll_s=0.05, load_page=50)
DOCUMENTS = 200
BATCH, BATCHES = 4, 2


@dataclass
class World:
    """A guild in the shipped model, and who makes vectors of the next one."""

    app: Database
    log: Database
    environment: dict[str, str]
    server: EmbeddingServer
    written: int = 0
    models_seen: set[frozenset[int | None]] = field(default_factory=set)

    @property
    def store(self) -> PostgresRagStore:
        return PostgresRagStore(self.app, self.log)

    @property
    def following(self) -> PostgresNextStore:
        return PostgresNextStore(self.app, self.log)

    async def write(self, count: int) -> None:
        for _ in range(count):
            self.written += 1
            name = f"page-{self.written}"
            await put(self.store, store_document(f"# {name}\n\nAbout {name}.", external_id=name))

    async def embed(self) -> None:
        while claimed := await self.store.claim(GUILD, 100, 60.0):
            await self.store.attach(attach_vectors(), embedded(claimed), MODEL)

    async def start(self, *arguments: str) -> Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "cluster.jobs.reembed", "--guild", GUILD, "--json"),
            *arguments,
            cwd=ROOT,
            env=self.environment,
            stdout=PIPE,
            stderr=PIPE,
        )

    async def run(self, *arguments: str) -> tuple[int | None, dict[str, Any]]:
        process = await self.start(*arguments)
        output, said = await asyncio.wait_for(process.communicate(), 120)
        assert output, said.decode()
        return process.returncode, json.loads(output)

    async def dimensions(self) -> frozenset[int | None]:
        """Of the vectors that one statement sees; None where a passage has none."""
        async with self.app.read(GUILD) as tx:
            rows = await tx.fetch(
                "SELECT DISTINCT model_id, vector_dims(embedding) AS dimension FROM chunks"
            )
        return frozenset(row["dimension"] for row in rows)

    async def watch(self, until: asyncio.Event) -> None:
        """Writes and reads, and reads once more at the end.

        Until the switch one passage is written for each batch that the next model is given, so
        the move gains on the writer however fast or slow either is.
        """
        given, written = len(self.server.asked), self.written
        while not until.is_set():
            seen = await self.dimensions()
            self.models_seen.add(seen)
            if TARGET.dimension in seen or self.written - written < len(self.server.asked) - given:
                await self.write(1)
            await asyncio.sleep(0.02)
        self.models_seen.add(await self.dimensions())


@pytest.fixture
async def world(fresh_database: PreparedDatabase) -> AsyncIterator[World]:
    await run_as_owner(fresh_database, "INSERT INTO guilds (guild_id, name) VALUES ($1, $1)", GUILD)
    server = EmbeddingServer(delay_s=0.1)
    async with (
        opened(fresh_database.app_url) as app,
        opened(fresh_database.log_url) as log,
        Receiver(behave=server).listening() as receiver,
    ):
        environment = clean_environment(
            {
                "DATABASE_URL": fresh_database.app_url,
                "GUILD_LOG_DATABASE_URL": fresh_database.log_url,
                "GUILD_EMBEDDING_NEXT__PROVIDER": "openai",
                "GUILD_EMBEDDING_NEXT__BASE_URL": f"http://127.0.0.1:{receiver.port}/v1",
                "GUILD_EMBEDDING_NEXT__MODEL": TARGET.model_id,
                "GUILD_EMBEDDING_NEXT__DIMENSION": str(TARGET.dimension),
                "GUILD_INDEX__EMBED_CLAIM": str(BATCH),
                "GUILD_INDEX__EMBED_CLAIMS": str(BATCHES),
            }
        )
        made = World(app, log, environment, server)
        await made.write(DOCUMENTS)
        await made.embed()
        yield made


def texts_of(server: EmbeddingServer) -> Sequence[str]:
    return [text for body in server.asked for text in body["input"]]


async def test_a_killed_move_is_gone_on_with_and_a_reader_never_sees_two_models(
    world: World,
) -> None:
    embedder = WordEmbedder(SHIPPED, TARGET)
    library = Library(world.store, LogReader(world.log), SETTINGS)
    finder = Finder(world.store, library, embedder, SETTINGS)
    backlog = Backlog(world.store, library, embedder, SETTINGS)
    await library.load()

    killed = await world.start()
    for _ in range(2_000):
        if (await world.following.progress(GUILD, TARGET)).ready >= DOCUMENTS // 4:
            break
        await asyncio.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    await killed.communicate()
    half = await world.following.progress(GUILD, TARGET)
    between = (await world.store.model(GUILD), await world.dimensions())
    ended = asyncio.Event()
    watching = asyncio.create_task(world.watch(ended))
    status, report = await world.run()
    ended.set()
    await watching

    moved = report["guilds"][GUILD]
    assert DOCUMENTS // 4 <= half.ready < half.passages == DOCUMENTS
    assert between == (SHIPPED, frozenset({SHIPPED.dimension}))
    assert (status, moved["switched"], report["problems"]) == (0, True, [])
    assert await world.store.model(GUILD) == TARGET
    assert all(len(seen - {None}) <= 1 for seen in world.models_seen)
    assert frozenset({TARGET.dimension}) in {seen - {None} for seen in world.models_seen}
    assert len(texts_of(world.server)) - len(set(texts_of(world.server))) <= BATCH * BATCHES

    former = await finder.search(dense("page-7"))
    answered_in = library.model(GUILD)
    while await library.catch_up():
        pass
    await library.settled()
    while await backlog.embed_some(GUILD):
        await library.catch_up()
    found = await finder.search(dense("page-7"))

    assert (answered_in, library.model(GUILD)) == (SHIPPED, TARGET)
    assert former.hits
    assert found.hits
    assert await library.verify(GUILD)
    assert await library.ask(GUILD, lambda index: index.without_vector) == 0
    assert await world.dimensions() == {TARGET.dimension}
    await library.close()


async def test_a_dry_run_counts_and_changes_nothing(world: World) -> None:
    status, report = await world.run("--dry-run")

    assert status == 0
    assert report["guilds"][GUILD] == {
        "former_model_id": SHIPPED.model_id,
        "former_dimension": SHIPPED.dimension,
        "passages": DOCUMENTS,
        "ready": 0,
        "embedded": 0,
        "rounds": 0,
        "switched": False,
    }
    assert world.server.asked == []


async def test_a_server_that_is_away_ends_the_run_with_a_sentence(world: World) -> None:
    world.server.statuses = [401] * 100

    status, report = await world.run()

    assert status == 1
    assert "status 401" in report["problems"][0]["reason"]
    assert await world.store.model(GUILD) == SHIPPED


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("DATABASE_URL", "nonsense://", "the database cannot be used: invalid DSN"),
        ("DATABASE_URL", "postgresql://a:b@127.0.0.1:1/c", "postgres is not available"),
        ("GUILD_LOG_DATABASE_URL", "", "set GUILD_LOG_DATABASE_URL"),
    ],
)
async def test_a_run_that_cannot_begin_says_why_in_a_sentence(
    world: World, variable: str, value: str, says: str
) -> None:
    world.environment[variable] = value

    status, report = await world.run("--dry-run")

    assert status == 2
    assert says in report["problems"][0]["reason"]


async def test_a_database_that_is_not_there_ends_the_run_with_a_sentence(
    world: World, fresh_database: PreparedDatabase
) -> None:
    server, _, _ = fresh_database.app_url.rpartition("/")
    world.environment["DATABASE_URL"] = f"{server}/nothing"

    status, report = await world.run("--dry-run")

    assert status == 2
    assert report["problems"][0]["reason"].startswith("the database refuses: ")


async def test_a_guild_that_is_not_there_is_named(world: World) -> None:
    status, report = await world.run("--guild", "guild_nobody", "--dry-run")

    assert status == 1
    assert report["problems"] == [{"guild_id": "guild_nobody", "reason": "there is no such guild"}]


def dense(text: str) -> Search:
    return Search(context=context(), text=text, mode=SearchMode.DENSE)
