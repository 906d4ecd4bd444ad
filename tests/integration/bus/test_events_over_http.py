"""CloudEvents of the official library over HTTP, into PostgreSQL and out again, without Ray.

Streams are read with a parser of the tests' own.
"""

import asyncio
from collections.abc import AsyncIterator

import httpx
import orjson
import pytest
from cloudevents.core.bindings import http as binding
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from fastapi import FastAPI

from actors.bus.actor import BusMember
from actors.runtime.identity import MemberIdentity
from actors.runtime.local import LocalPool
from actors.runtime.message import Position
from actors.settings import BusSettings, GuildSettings
from actors.storage.database import Database
from actors.storage.inbox import Inbox
from tests.fixtures.bus_builders import GUILD, OTHER_GUILD
from tests.fixtures.bus_host import BusHost
from tests.fixtures.gateway import SECRET, app_over, client_of, token_of
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.sse import Frame, reading

pytestmark = pytest.mark.integration

EVENTS = "/api/v1/events"
BATCH = {"Content-Type": "application/cloudevents-batch+json"}


@pytest.fixture(scope="module")
def pools() -> dict[str, LocalPool]:
    return {}


@pytest.fixture(scope="module")
def app(pools: dict[str, LocalPool]) -> FastAPI:
    return app_over(pools, GuildSettings(jwt_secret=SECRET, bus=BusSettings(heartbeat_s=0.5)))


@pytest.fixture
async def bus(
    pools: dict[str, LocalPool], database: Database, module_database: PreparedDatabase
) -> AsyncIterator[LocalPool]:
    host = BusHost(database, module_database.app_url)
    member = BusMember(MemberIdentity(pool="bus", generation=1, number=0))
    pools["bus"] = LocalPool(await member.open(host), Inbox(database))
    yield pools["bus"]
    await host.close()


@pytest.fixture
async def client(app: FastAPI, bus: LocalPool) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app, guild=GUILD) as client:
        yield client


def cloud_event(name: str, source: str = "/ci", data: dict[str, str] | None = None) -> CloudEvent:
    attributes = {
        "id": name,
        "source": source,
        "type": "custom.build.failed",
        "subject": "Zürich → 100 %",
        "severitynumber": 17,
        "region": "eu",
    }
    return CloudEvent(attributes, {"name": name} if data is None else data)


def batch(*some: CloudEvent) -> binding.HTTPMessage:
    written = b",".join(JSONFormat().write(one) for one in some)
    return binding.HTTPMessage(BATCH, b"[%s]" % written)


async def send(client: httpx.AsyncClient, message: binding.HTTPMessage) -> httpx.Response:
    return await client.post(EVENTS, content=message.body, headers=message.headers)


async def test_each_mode_of_the_official_library_is_published_and_read_back_by_it(
    client: httpx.AsyncClient,
) -> None:
    sent = {
        "binary": binding.to_binary(cloud_event("binary"), JSONFormat()),
        "structured": binding.to_structured(cloud_event("structured"), JSONFormat()),
        "batch": batch(cloud_event("batch"), cloud_event("batch too")),
    }

    answers = {mode: await send(client, message) for mode, message in sent.items()}
    listed = (await client.get(EVENTS, params={"order": "asc", "types": "custom.*"})).json()

    assert {answer.status_code for answer in answers.values()} == {201}
    read = [JSONFormat().read(None, orjson.dumps(one)) for one in listed["events"]]
    assert [one.get_id() for one in read] == ["binary", "structured", "batch", "batch too"]
    for one in read:
        assert one.get_data() == {"name": one.get_id()}
        assert (one.get_source(), one.get_subject()) == ("/ci", "Zürich → 100 %")
        assert one.get_extension("severitytext") == "high"
        assert one.get_extension("region") == "eu"
    assert listed["events"][0]["position"] == answers["binary"].headers["guild-position"]


async def test_a_repeat_in_another_mode_is_a_duplicate_of_the_first(
    client: httpx.AsyncClient,
) -> None:
    first = await send(client, binding.to_binary(cloud_event("one"), JSONFormat()))
    again = await send(client, binding.to_structured(cloud_event("one"), JSONFormat()))
    mixed = await send(client, batch(cloud_event("two"), cloud_event("one")))

    assert (first.status_code, again.status_code, mixed.status_code) == (201, 200, 201)
    assert again.json() == first.json() | {"duplicate": True}
    assert mixed.json()[1] == again.json()
    assert len((await client.get(EVENTS)).json()["events"]) == 2


async def test_a_batch_with_one_bad_event_leaves_nothing_in_the_log(
    client: httpx.AsyncClient,
) -> None:
    bad = cloud_event("bad", data={"a": "x" * (300 << 10)})

    answer = await send(client, batch(cloud_event("good"), bad))

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "events[1].data"
    assert (await client.get(EVENTS)).json()["events"] == []


async def test_a_reader_that_is_cut_five_times_misses_nothing_and_sees_nothing_twice(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    everything = [str(number) for number in range(300)]
    seen: list[Frame] = []

    async def write() -> None:
        for name in everything:
            answer = await send(client, batch(cloud_event(name)))
            assert answer.status_code == 201

    place: str | None = None
    writing: asyncio.Task[None] | None = None
    for until in (20, 70, 71, 150, 220, len(everything)):
        headers = {} if place is None else {"Last-Event-ID": place}
        async with reading(app, token_of(app, guild=GUILD), headers, types="custom.*") as reader:
            opening = await reader.frame()
            place = opening.id
            writing = writing or asyncio.create_task(write())
            while len(seen) < until:
                seen.append(await reader.event())
                place = seen[-1].id
    assert writing is not None
    await writing

    assert [frame.json()["id"] for frame in seen] == everything
    places = [Position.parse(frame.json()["position"]) for frame in seen]
    assert places == sorted(places)


async def test_nothing_of_many_writers_is_missed_and_each_ones_order_is_kept(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    """What is visible above an open transaction may come again after a cut, and never less."""
    writers, each = 4, 60

    async def write(writer: int) -> None:
        for number in range(each):
            await send(client, batch(cloud_event(str(number), source=f"/{writer}")))

    seen: list[tuple[str, int]] = []
    place: str | None = None
    writing: asyncio.Future[list[None]] | None = None
    for until in (40, 100, 160, writers * each):
        headers = {} if place is None else {"Last-Event-ID": place}
        async with reading(app, token_of(app, guild=GUILD), headers) as reader:
            place = (await reader.frame()).id
            writing = writing or asyncio.gather(*map(write, range(writers)))
            while len(set(seen)) < until:
                frame = await reader.event()
                place = frame.id
                seen.append((frame.json()["source"], int(frame.json()["id"])))
    assert writing is not None
    await writing

    first_seen = list(dict.fromkeys(seen))
    for writer in range(writers):
        assert [number for source, number in first_seen if source == f"/{writer}"] == list(
            range(each)
        )


async def test_a_guild_hears_and_finds_nothing_of_another(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    async with reading(app, token_of(app, guild=OTHER_GUILD)) as reader:
        await reader.frame()
        await send(client, batch(cloud_event("one")))
        beats = [await reader.frame() for _ in range(2)]
    async with client_of(app, guild=OTHER_GUILD) as other:
        listed = (await other.get(EVENTS)).json()["events"]

    assert [beat.data for beat in beats] == ["", ""]
    assert listed == []


async def test_a_position_of_another_epoch_is_410_before_the_first_byte(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    async with reading(app, token_of(app, guild=GUILD), {"Last-Event-ID": "7-1-1"}) as reader:
        await reader.over()

    assert reader.status == 410
    assert orjson.loads(reader.body)["type"].endswith(":position_of_another_epoch")


async def test_without_postgres_a_stream_says_so_and_ends_and_publishing_is_503(
    app: FastAPI, client: httpx.AsyncClient, database: Database
) -> None:
    async with reading(app, token_of(app, guild=GUILD)) as reader:
        await reader.frame()
        await database.close()
        last = await reader.event()
        rest = await reader.over()
    async with reading(app, token_of(app, guild=GUILD)) as late:
        await late.over()

    assert (last.event, last.json()["retryable"]) == ("error", True)
    assert rest == []
    assert late.status == 503
    assert late.headers["retry-after"]
