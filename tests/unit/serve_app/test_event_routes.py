"""Publishing, browsing and the schemas, as a client sees them."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import httpx
import orjson
import pytest
from cloudevents.core.bindings import http as binding
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from fastapi import FastAPI
from starlette.datastructures import Headers

from actors import clock, events
from actors.bus.messages import PublishEvents
from actors.errors import Overloaded
from actors.events import Priority
from actors.runtime.local import LocalPool
from actors.runtime.message import GuildId, Permission
from actors.settings import BusSettings
from serve_app import event_in
from serve_app.strict import JsonLimits
from tests.fixtures.bus_in_process import MemoryLog
from tests.fixtures.gateway import app_over, client_of

EVENTS = "/api/v1/events"
STRUCTURED = {"Content-Type": "application/cloudevents+json"}
BATCH = {"Content-Type": "application/cloudevents-batch+json"}
LIMITS = JsonLimits(max_depth=32, max_keys=1_000, max_items=1_000)


@pytest.fixture(scope="module")
def pools() -> dict[str, LocalPool]:
    return {}


@pytest.fixture(scope="module")
def app(pools: dict[str, LocalPool]) -> FastAPI:
    return app_over(pools)


@pytest.fixture
def log(pools: dict[str, LocalPool]) -> MemoryLog:
    log = MemoryLog()
    pools["bus"] = LocalPool(log.handlers(BusSettings()))
    return log


@pytest.fixture
async def client(app: FastAPI, log: MemoryLog) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app, guild=GuildId(clock.new_id("guild"))) as client:
        yield client


def event(**changed: Any) -> dict[str, Any]:
    good = {
        "specversion": "1.0",
        "id": "build-17",
        "source": "/ci/builds",
        "type": "custom.build.failed",
        "data": {"branch": "main"},
    }
    return good | changed


def cloud_event(**changed: Any) -> CloudEvent:
    attributes = {name: value for name, value in event(**changed).items() if name != "data"}
    return CloudEvent(attributes, {"branch": "main"})


async def structured(client: httpx.AsyncClient, **changed: Any) -> httpx.Response:
    return await client.post(EVENTS, content=orjson.dumps(event(**changed)), headers=STRUCTURED)


# --- Publishing -------------------------------------------------------------------------------


async def test_an_event_of_the_official_library_arrives_in_each_mode(
    client: httpx.AsyncClient, log: MemoryLog
) -> None:
    sent = [
        binding.to_binary(cloud_event(id="a", subject="ä b%"), JSONFormat()),
        binding.to_structured(cloud_event(id="b", subject="ä b%"), JSONFormat()),
        binding.HTTPMessage(
            BATCH, b"[%s]" % JSONFormat().write(cloud_event(id="c", subject="ä b%"))
        ),
    ]

    answers = [
        await client.post(EVENTS, content=message.body, headers=message.headers) for message in sent
    ]

    assert [answer.status_code for answer in answers] == [201, 201, 201]
    assert [line.source_id for line in log.events] == ["a", "b", "c"]
    assert {one.subject for one in log.events} == {"ä b%"}
    assert {events.encode(one.payload).replace(" ", "") for one in log.events} == {
        '{"branch":"main"}'
    }


async def test_one_event_is_answered_with_its_place_and_a_repeat_with_the_first_ones(
    client: httpx.AsyncClient,
) -> None:
    first = await structured(client)
    again = await structured(client, data={"changed": True})

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["duplicate"] is False
    assert again.json() == first.json() | {"duplicate": True}
    assert first.json()["id"].startswith("evt_")
    assert first.headers["guild-position"] == first.json()["position"]
    assert again.headers["guild-position"] == first.json()["position"]


async def test_a_batch_is_answered_in_its_order_and_is_200_only_if_all_are_repeats(
    client: httpx.AsyncClient,
) -> None:
    async def post(*names: str) -> httpx.Response:
        batch = [event(id=name) for name in names]
        return await client.post(EVENTS, content=orjson.dumps(batch), headers=BATCH)

    first, mixed, again = await post("a", "b"), await post("c", "a"), await post("c", "b")

    assert [first.status_code, mixed.status_code, again.status_code] == [201, 201, 200]
    assert [one["duplicate"] for one in mixed.json()] == [False, True]
    assert mixed.json()[1]["id"] == first.json()[0]["id"]
    assert first.headers["guild-position"] == first.json()[1]["position"]


async def test_a_batch_is_taken_whole_or_not_at_all(
    client: httpx.AsyncClient, log: MemoryLog
) -> None:
    batch = [event(id="a"), event(id="b", time="yesterday"), event(id="c")]

    answer = await client.post(EVENTS, content=orjson.dumps(batch), headers=BATCH)

    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"pointer": "events[1].time", "detail": "is no time in the form of RFC 3339"}
    ]
    assert log.events == []


async def test_what_only_the_bus_knows_is_named_in_the_same_way(client: httpx.AsyncClient) -> None:
    forged = await structured(client, type="sage.incident.created")
    wrong = await structured(client, type="integration.sync.required", data={"system": 7})

    assert forged.json()["errors"][0]["pointer"] == "events[0].type"
    assert wrong.json()["errors"][0]["pointer"] == "events[0].data.system"


async def test_every_attribute_that_means_something_to_us_is_understood(
    client: httpx.AsyncClient, log: MemoryLog
) -> None:
    await structured(
        client,
        time="2026-03-01T13:00:00.25+01:00",
        subject="main",
        correlationid="cor-of-ours",
        causationid="why",
        partitionkey="branch-main",
        severitynumber=21,
        severitytext="FATAL",
        datasubject="ann@example.org",
        datacontenttype="application/vnd.ci+json; charset=utf-8",
        expirytime="2027-01-01T00:00:00Z",
        attempt=3,
        nightly=False,
        region=None,
    )

    (one,) = log.events
    assert one.occurred_at == datetime.fromisoformat("2026-03-01T12:00:00.250+00:00")
    assert (one.subject, one.correlation_id, one.causation_id) == ("main", "cor-of-ours", "why")
    assert one.aggregate_id == "ext:/ci/builds#branch-main"
    assert (one.priority, one.sealed_for) == (Priority.CRITICAL, "ann@example.org")
    assert one.attributes == {
        "expirytime": "2027-01-01T00:00:00Z",
        "attempt": 3,
        "nightly": False,
    }


async def test_an_event_without_a_correlation_belongs_to_its_request(
    client: httpx.AsyncClient, log: MemoryLog
) -> None:
    headers = STRUCTURED | {"X-Correlation-Id": "cor-of-the-request"}

    await client.post(EVENTS, content=orjson.dumps(event()), headers=headers)

    assert log.events[0].correlation_id == "cor-of-the-request"


@pytest.mark.parametrize(
    ("told", "priority"),
    [
        ({}, "normal"),
        ({"severitynumber": 5}, "low"),
        ({"severitynumber": 17, "severitytext": "low"}, "high"),
        ({"severitytext": "critical"}, "critical"),
        ({"severitytext": "High"}, "high"),
    ],
)
def test_a_severity_is_a_priority(told: dict[str, Any], priority: str) -> None:
    assert parsed(event(**told)).priority == priority


def parsed(value: object) -> Any:
    headers = Headers({"content-type": "application/cloudevents+json"})
    return event_in.parse(headers, orjson.dumps(value), LIMITS, 10).events[0]


@pytest.mark.parametrize(
    ("body", "headers", "data"),
    [
        (b"", {}, "null"),
        (b"", {"content-type": "application/json"}, "null"),
        (b"null", {"content-type": "application/json"}, "null"),
        (b' [1,\n 2.50, "\xc3\xa4"] ', {"content-type": "application/json"}, None),
        (b"true", {}, "true"),
        (b"{}", {"content-type": "application/vnd.ci+json"}, "{}"),
        (b"7", {"content-type": 'Application/JSON; charset="UTF-8"'}, "7"),
    ],
)
def test_binary_mode_carries_its_body_unchanged(
    body: bytes, headers: dict[str, str], data: str | None
) -> None:
    attributes = {
        "ce-specversion": "1.0",
        "ce-id": "a",
        "ce-source": "/s",
        "ce-type": "custom.a",
        "ce-severitynumber": "17",
        "ce-quoted": '"a \\"word\\""',
        "ce-euro": "%E2%82%AC%20%25",
    }

    arrived = event_in.parse(Headers(attributes | headers), body, LIMITS, 10)

    (one,) = arrived.events
    assert one.data == (body.decode() if data is None else data)
    assert one.priority is Priority.HIGH
    assert one.attributes == {"quoted": 'a "word"', "euro": "€ %"}
    assert arrived.batch is False


async def test_the_caller_and_nobody_else_is_the_author(
    client: httpx.AsyncClient, log: MemoryLog
) -> None:
    await structured(client, authid="somebody else", position="9-9-9")

    shown = (await client.get(EVENTS)).json()["events"][0]

    assert shown["authid"] == log.events[0].principal_id == "user_of_the_tests"
    assert shown["position"] == str(log.events[0].position)


async def test_when_publishing_is_full_the_answer_says_when_to_come_again(
    app: FastAPI, pools: dict[str, LocalPool], client: httpx.AsyncClient
) -> None:
    async def full(command: PublishEvents) -> None:
        raise Overloaded(2.5, "publishing")

    pools["bus"] = LocalPool({PublishEvents: full})

    answer = await structured(client)

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")


# --- Browsing ---------------------------------------------------------------------------------


async def test_events_are_listed_newest_first_in_pages_that_link_on(
    client: httpx.AsyncClient,
) -> None:
    batch = [event(id=str(number)) for number in range(5)]
    await client.post(EVENTS, content=orjson.dumps(batch), headers=BATCH)

    seen, url = [], f"{EVENTS}?limit=2&types=custom.*"
    while url:
        page = await client.get(url)
        seen += [one["id"] for one in page.json()["events"]]
        url = page.links.get("next", {}).get("url", "")
        assert bool(url) is (page.json()["next_cursor"] is not None)

    assert seen == ["4", "3", "2", "1", "0"]


async def test_a_listed_event_is_one_that_the_official_library_reads(
    client: httpx.AsyncClient,
) -> None:
    await structured(client, subject="main", region="eu")

    (shown,) = (await client.get(EVENTS)).json()["events"]
    read = JSONFormat().read(None, orjson.dumps(shown))

    assert (read.get_id(), read.get_source(), read.get_subject()) == (
        "build-17",
        "/ci/builds",
        "main",
    )
    assert read.get_data() == {"branch": "main"}
    assert read.get_extension("region") == "eu"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("types=custom.a.*", ["a"]),
        ("types=custom.a.*&types=custom.b", ["b", "a"]),
        ("subject=two", ["b"]),
        ("correlation_id=cor-a", ["a"]),
        ("order=asc", ["a", "b"]),
        ("since=2025-01-01T00:00:00Z&until=2025-12-31T00:00:00Z", []),
        ("since=2025-01-01T00:00:00Z", ["b", "a"]),
    ],
)
async def test_a_list_is_narrowed(
    client: httpx.AsyncClient, query: str, expected: list[str]
) -> None:
    await structured(client, id="a", type="custom.a.one", correlationid="cor-a")
    await structured(client, id="b", type="custom.b", subject="two")

    page = await client.get(f"{EVENTS}?{query}")

    assert [one["id"] for one in page.json()["events"]] == expected


async def test_a_guest_finds_none_of_it_and_another_guild_neither(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    await structured(client)
    guild = app.state.gateway.tokens.verify(client.headers["authorization"][7:]).guild_id

    async with client_of(app, {Permission.READ}, guild=guild) as guest, client_of(app) as other:
        answers = [await one.get(EVENTS) for one in (guest, other)]

    assert [answer.json()["events"] for answer in answers] == [[], []]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=101", "order=up", "cursor=AAAA", "types=a%20b", "since=now", "nonsense=1"],
)
async def test_what_cannot_be_listed_is_422(client: httpx.AsyncClient, query: str) -> None:
    answer = await client.get(f"{EVENTS}?{query}")

    assert answer.status_code == 422


# --- Schemas ----------------------------------------------------------------------------------


async def test_every_type_has_a_schema_at_the_address_that_events_name(
    client: httpx.AsyncClient,
) -> None:
    listed = (await client.get(f"{EVENTS}/schemas")).json()["schemas"]

    assert [one["type"] for one in listed] == list(events.registered())
    for one in listed:
        answer = await client.get(one["url"])
        schema = answer.json()
        assert answer.headers["content-type"] == "application/schema+json"
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert (schema["$id"], schema["version"]) == (one["url"], one["version"])
    assert {one["type"] for one in listed if one["public"]} == {
        "custom.event",
        "integration.sync.required",
        "integration.conflict.detected",
        "integration.recovery.completed",
    }


async def test_a_type_of_ones_own_has_the_schema_that_any_has(client: httpx.AsyncClient) -> None:
    await structured(client)
    (shown,) = (await client.get(EVENTS)).json()["events"]

    schema = (await client.get(shown["dataschema"])).json()

    assert schema["$id"] == f"{EVENTS}/schemas/custom.event"
    assert "custom.*" in schema["description"]


async def test_a_schema_that_is_known_is_not_sent_again(client: httpx.AsyncClient) -> None:
    url = f"{EVENTS}/schemas/sage.task.created"
    first = await client.get(url)

    known = await client.get(url, headers={"If-None-Match": f'"other", {first.headers["etag"]}'})
    changed = await client.get(url, headers={"If-None-Match": '"other"'})

    assert (known.status_code, known.content) == (304, b"")
    assert known.headers["etag"] == first.headers["etag"]
    assert "max-age" in first.headers["cache-control"]
    assert changed.content == first.content


async def test_a_type_that_nobody_registered_has_none(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"{EVENTS}/schemas/sage.unheard.of")

    assert answer.status_code == 404
