"""A start goes on from a snapshot where it can, and from the rows where it cannot."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from actors import metrics
from actors.embedding.identity import SHIPPED, ModelIdentity
from actors.rag.backlog import Backlog
from actors.rag.finder import Finder
from actors.rag.library import Library
from actors.rag.messages import DeleteDocument, Search, SearchMode
from actors.rag.sage import RagSage
from actors.rag.snapshots import Snapshots
from actors.rag.store import Loaded
from actors.runtime.local import LocalPool
from actors.runtime.message import GuildId, Position
from actors.settings import IndexSettings
from actors.storage.frontier import Frontier
from actors.storage.log import Advance, Unreadable
from tests.fixtures.rag_builders import DISK, GUILD, QUEUE, context, number, store_document
from tests.fixtures.rag_contract import OTHER_MODEL
from tests.fixtures.rag_memory import MemoryLog, MemoryRagStore, WordEmbedder

NOW = 1_777_896_000.0


class CountingStore(MemoryRagStore):
    """Knows how many sources were read."""

    pages = 0

    async def page(
        self, guild_id: GuildId, after: str, limit: int, model: ModelIdentity | None = None
    ) -> list[Loaded]:
        self.pages += 1
        return await super().page(guild_id, after, limit, model)


def settings(folder: Path) -> IndexSettings:
    return IndexSettings(
        chunk_max_words=20, snapshot_dir=folder, snapshot_passages=0, snapshot_max_age_s=60
    )


class World:
    def __init__(self, folder: Path, now: Callable[[], float] = lambda: NOW) -> None:
        self.settings = settings(folder)
        self.store = CountingStore(MemoryLog())
        self.now = now

    @asynccontextmanager
    async def member(self) -> AsyncIterator[tuple[Library, LocalPool]]:
        kept = Snapshots(self.settings, self.now)
        library = Library(self.store, self.store.log, self.settings, SHIPPED, kept)
        await library.load()
        finder = Finder(self.store, library, WordEmbedder(), self.settings)
        yield library, LocalPool(RagSage(self.store, finder, self.settings).handlers())
        await library.close()

    async def settle(self, library: Library) -> None:
        backlog = Backlog(self.store, library, WordEmbedder(), self.settings)
        while await library.catch_up():
            pass
        while await backlog.embed_some(GUILD):
            await library.catch_up()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "index")


async def found(pool: LocalPool, text: str, mode: SearchMode = SearchMode.HYBRID) -> list[str]:
    hits = await pool.ask(Search(context=context(), text=text, mode=mode))
    return sorted({str(hit.external_id) for hit in hits.hits})


async def test_a_start_reads_the_snapshot_and_the_tail_and_no_rows(world: World) -> None:
    async with world.member() as (library, pool):
        await pool.ask(store_document(DISK, external_id="disk"))
        gone = await pool.ask(store_document(DISK + "gone", external_id="gone"))
        await world.settle(library)
        assert await library.save(GUILD)
        await pool.ask(store_document(QUEUE, external_id="queue"))
        await pool.ask(
            DeleteDocument(
                context=context(), command_id=f"cmd_{number()}", document_id=gone.document_id
            )
        )
    world.store.pages = 0

    async with world.member() as (library, pool):
        await library.catch_up()
        by_words = await found(pool, "order queue rotated log files", SearchMode.LEXICAL)
        by_meaning = await found(pool, "rotated log files", SearchMode.DENSE)
        verified = await library.verify(GUILD)

    assert by_words == ["disk", "queue"]
    assert by_meaning == ["disk"]
    assert verified
    assert world.store.pages == 1  # of the verification


@pytest.mark.parametrize("damage", ["bit", "cut", "old", "other log"])
async def test_what_cannot_be_used_is_built_from_the_rows(world: World, damage: str) -> None:
    async with world.member() as (library, pool):
        await pool.ask(store_document(DISK, external_id="disk"))
        await world.settle(library)
        await library.save(GUILD)
    (file,) = world.settings.snapshot_dir.iterdir()
    match damage:
        case "bit":
            data = bytearray(file.read_bytes())
            data[len(data) // 2] ^= 1
            file.write_bytes(data)
        case "cut":
            file.write_bytes(file.read_bytes()[:-1])
        case "old":
            world.now = lambda: NOW + 61
        case "other log":
            world.store.log.events.clear()
    world.store.pages = 0

    async with world.member() as (library, pool):
        hits = await found(pool, "rotated log files", SearchMode.DENSE)
        verified = await library.verify(GUILD)

    assert hits == ["disk"]
    assert verified
    assert world.store.pages == 2


async def test_a_snapshot_is_written_when_it_is_due_and_not_before(world: World) -> None:
    async with world.member() as (library, pool):
        await pool.ask(store_document(DISK))
        await library.catch_up()

        written = [await library.save(GUILD), await library.save(GUILD)]
        (file,) = world.settings.snapshot_dir.iterdir()
        age_s = world.settings.snapshot_s
        world.now = lambda: file.stat().st_mtime + age_s
        later = Snapshots(world.settings, world.now)

    assert written == [True, False]
    assert later.due(GUILD, passages=1)


async def test_a_snapshot_that_cannot_be_written_costs_nothing(world: World) -> None:
    world.settings.snapshot_dir.mkdir(mode=0o755)
    world.settings.snapshot_dir.chmod(0o755)
    async with world.member() as (library, pool):
        await pool.ask(store_document(DISK, external_id="disk"))
        await world.settle(library)

        await library.save(GUILD)

        assert await found(pool, "rotated log files") == ["disk"]
    assert list(world.settings.snapshot_dir.iterdir()) == []


async def test_a_difference_between_index_and_rows_is_seen(world: World) -> None:
    async with world.member() as (library, pool):
        stored = await pool.ask(store_document(DISK))
        await world.settle(library)
        same = await library.verify(GUILD)

        await library.ask(GUILD, lambda index: index.remove(stored.document_id))

        assert same
        assert not await library.verify(GUILD)


async def test_each_shard_has_a_snapshot_and_one_of_another_layout_is_not_used(
    world: World,
) -> None:
    world.settings = settings(world.settings.snapshot_dir).model_copy(update={"shards": 3})
    async with world.member() as (library, pool):
        for page in range(12):
            await pool.ask(store_document(f"# Page {page}\n\nText {page}.", external_id=f"{page}"))
        await world.settle(library)
        assert await library.save(GUILD)
    files = sorted(world.settings.snapshot_dir.iterdir())
    world.store.pages = 0

    async with world.member() as (library, pool):
        from_snapshots = await found(pool, "Text 3", SearchMode.LEXICAL)
        pages = world.store.pages
    files[0].rename(files[1])
    async with world.member() as (library, pool):
        verified = await library.verify(GUILD)
        from_rows = await found(pool, "Text 3", SearchMode.LEXICAL)

    assert [file.name.split(".", 1)[1] for file in files] == [
        "0-of-3.index",
        "1-of-3.index",
        "2-of-3.index",
    ]
    assert pages == 0
    assert verified
    assert from_rows == from_snapshots


async def test_a_shards_snapshot_in_another_model_is_not_used(world: World) -> None:
    world.settings = settings(world.settings.snapshot_dir).model_copy(update={"shards": 2})
    async with world.member() as (library, pool):
        for page in range(6):
            await pool.ask(store_document(f"# Page {page}\n\nText {page}.", external_id=f"{page}"))
        await world.settle(library)
        assert await library.save(GUILD)
    kept, end = Snapshots(world.settings, world.now), await world.store.log.end()

    same = [await kept.load(GUILD, end, SHIPPED, shard) for shard in range(2)]
    other = [await kept.load(GUILD, end, OTHER_MODEL, shard) for shard in range(2)]

    assert None not in same
    assert other == [None, None]


async def test_while_indexes_are_rebuilt_no_snapshot_is_read_or_due(world: World) -> None:
    async with world.member() as (library, pool):
        await pool.ask(store_document(DISK))
        await world.settle(library)
        await library.save(GUILD)
        kept, end = Snapshots(world.settings, world.now), await world.store.log.end()

        dropped = kept.begin_rebuilding()
        due = kept.due(GUILD, 1)
        await library.save(GUILD)
        meanwhile = await kept.load(GUILD, end, SHIPPED)
        kept.end_rebuilding()
        left = list(world.settings.snapshot_dir.iterdir())
        due_again = kept.due(GUILD, 1)
        await library.save(GUILD)
        afterwards = await kept.load(GUILD, end, SHIPPED)

    assert (dropped, due, meanwhile, left, due_again) == (1, False, None, [], True)
    assert afterwards is not None


async def test_a_guild_that_has_become_small_keeps_no_snapshot(world: World) -> None:
    async with world.member() as (library, pool):
        await pool.ask(store_document(DISK))
        await world.settle(library)
        await library.save(GUILD)
    small = world.settings.model_copy(update={"snapshot_passages": 10})
    kept = Snapshots(small, world.now)

    kept.forget(GUILD, 10)
    large_enough = list(small.snapshot_dir.iterdir())
    kept.forget(GUILD, 9)

    assert len(large_enough) == 1
    assert list(small.snapshot_dir.iterdir()) == []


def test_a_sweep_takes_what_is_too_old_and_what_was_never_finished(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    ages_s = {
        "a.index": 59,
        "b.index": 61,
        f"c.index.{gone.pid}.new": 1,
        f"d.index.{os.getpid()}.new": 1,
        f"e.index.{os.getpid()}.new": 61,
        "notes.txt": 61,
    }
    for name, age_s in ages_s.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (NOW - age_s, NOW - age_s))

    Snapshots(settings(tmp_path), lambda: NOW).sweep()

    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"a.index", f"d.index.{os.getpid()}.new", "notes.txt"}


async def test_a_sweep_that_fails_does_not_end_the_keeping_of_snapshots(tmp_path: Path) -> None:
    class Sweeps(Snapshots):
        """The first of them fails."""

        count = 0
        second = asyncio.Event()

        def sweep(self) -> None:
            self.count += 1
            if self.count == 1:
                raise RuntimeError("a bug")
            loop.call_soon_threadsafe(self.second.set)

    loop = asyncio.get_running_loop()
    often = settings(tmp_path).model_copy(update={"snapshot_poll_s": 0.001})
    store, kept = MemoryRagStore(MemoryLog()), Sweeps(often)
    library = Library(store, store.log, often, SHIPPED, kept)

    keeping = asyncio.create_task(library.keep_snapshots())
    async with asyncio.timeout(5):
        await kept.second.wait()

    assert not keeping.done()
    keeping.cancel()
    await library.close()


async def test_no_snapshot_is_written_past_an_event_that_cannot_be_read(world: World) -> None:
    class Damaged(MemoryLog):
        """Its page holds what nobody can read."""

        async def advance(self, frontiers: Sequence[Frontier], limit: int) -> list[Advance]:
            pages = await super().advance(frontiers, limit)
            lost = Unreadable("evt_1", GUILD, "sage.task.created", Position(1, 1), "unreadable")
            return [replace(page, unreadable=[lost]) for page in pages]

    name = "elders_guild_index_unreadable_events_total"
    before = metrics.REGISTRY.get_sample_value(name) or 0
    world.store = CountingStore(Damaged())
    async with world.member() as (library, pool):
        await pool.ask(store_document(DISK))
        saved = [await library.save(GUILD)]
        await library.catch_up()
        saved.append(await library.save(GUILD))
        found_still = await found(pool, "disk")

    assert saved == [True, False]
    assert len(found_still) == 1
    assert (metrics.REGISTRY.get_sample_value(name) or 0) == before + 1
