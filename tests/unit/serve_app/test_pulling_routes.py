"""Pulling over HTTP, over the real sage."""

from collections.abc import AsyncIterator

import httpx
import pytest

from actors.runtime.local import LocalPool
from actors.runtime.message import Permission
from actors.settings import BusSettings, GuildSettings
from serve_app.schemas.pulling import PulledEventsView, PulledView
from tests.fixtures.bus_builders import GUILD, new_event, stored_event
from tests.fixtures.gateway import SECRET, app_over, client_of
from tests.fixtures.memory_bus import MemoryBus

URL = "/api/v1/subscriptions/orders"
EVIDENCE = '{"total":123456789012345678901234567890,"price":0.10}'


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(GuildSettings(bus=BusSettings(max_pull=50)))


@pytest.fixture
async def client(bus: MemoryBus) -> AsyncIterator[httpx.AsyncClient]:
    config = GuildSettings(jwt_secret=SECRET, bus=BusSettings(pull_wait_s=5.0))
    app = app_over({"bus": LocalPool(bus.handlers())}, config)
    elder = frozenset(Permission) - {Permission.ADMIN}
    async with client_of(app, elder, GUILD) as client:
        policy = {"max_attempts": 2, "backoff_s": [0]}
        body = {"sink": {"kind": "pull"}, "delivery": policy}
        assert (await client.put(URL, json=body)).status_code == 201
        yield client


async def pull(client: httpx.AsyncClient, **asked: object) -> httpx.Response:
    return await client.post(f"{URL}:pull", json=asked)


async def one_on_loan(client: httpx.AsyncClient, bus: MemoryBus) -> str:
    await bus.waits(GUILD, "orders", stored_event())
    (pulled,) = (await pull(client)).json()["events"]
    ack_id: str = pulled["ack_id"]
    return ack_id


async def test_a_pulled_event_is_a_cloudevent_with_its_data_as_published(
    client: httpx.AsyncClient, bus: MemoryBus
) -> None:
    event = stored_event(new_event("order-17", data=EVIDENCE, attributes={"region": "eu"}))
    await bus.waits(GUILD, "orders", event)

    answer = await pull(client)

    (pulled,) = answer.json()["events"]
    assert EVIDENCE in answer.text
    assert answer.headers["cache-control"] == "no-store"
    assert pulled["attempt"] == 1
    assert pulled["lease_until"].endswith("Z")
    carried = pulled["event"]
    assert (carried["specversion"], carried["id"], carried["source"]) == (
        "1.0",
        "order-17",
        "/shop",
    )
    assert (carried["type"], carried["region"]) == ("custom.order.placed", "eu")
    assert pulled.keys() == PulledView.model_fields.keys()
    PulledEventsView.model_validate(answer.json())


async def test_nothing_that_waits_is_an_empty_list(client: httpx.AsyncClient) -> None:
    answer = await pull(client, max_events=5, wait_s=0)

    assert (answer.status_code, answer.json()) == (200, {"events": []})


async def test_an_acknowledgement_may_be_repeated_and_is_204(
    client: httpx.AsyncClient, bus: MemoryBus
) -> None:
    ack_id = await one_on_loan(client, bus)

    answers = [await client.post(f"{URL}:ack", json={"ack_ids": [ack_id]}) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [204, 204]
    assert (await pull(client)).json()["events"] == []


async def test_a_late_acknowledgement_is_409_late_ack(
    client: httpx.AsyncClient, bus: MemoryBus
) -> None:
    ack_id = await one_on_loan(client, bus)
    bus.pulls.now_s += 31

    for verb in ("ack", "nack"):
        late = await client.post(f"{URL}:{verb}", json={"ack_ids": [ack_id]})

        assert late.status_code == 409
        assert late.json()["type"] == "urn:elders-guild:problem:late_ack"


async def test_what_is_given_back_is_pulled_again_until_it_is_given_up(
    client: httpx.AsyncClient, bus: MemoryBus
) -> None:
    first = await one_on_loan(client, bus)
    nack = {"reason": "the ledger is closed", "delay_s": 0}
    given_back = await client.post(f"{URL}:nack", json=nack | {"ack_ids": [first]})
    (again,) = (await pull(client)).json()["events"]

    given_up = await client.post(f"{URL}:nack", json=nack | {"ack_ids": [again["ack_id"]]})

    assert (given_back.status_code, given_up.status_code) == (204, 204)
    assert again["attempt"] == 2
    assert list(bus.pulls.dead.values()) == [(2, "the ledger is closed")]


@pytest.mark.parametrize(
    ("verb", "body", "pointer"),
    [
        ("pull", {"max_events": 0}, "max_events"),
        ("pull", {"max_events": 51}, "max_events"),
        ("pull", {"max_events": 1.5}, "body/max_events"),
        ("pull", {"wait_s": 5.5}, "wait_s"),
        ("pull", {"wait_s": -1}, "body/wait_s"),
        ("pull", {"wait_s": "1"}, "body/wait_s"),
        ("pull", {"wait_ms": 100}, "body/*"),
        ("ack", {}, "body/ack_ids"),
        ("ack", {"ack_ids": []}, "body/ack_ids"),
        ("ack", {"ack_ids": "7-1.1"}, "body/ack_ids"),
        ("ack", {"ack_ids": ["7-1.1", "7-1"]}, "ack_ids[1]"),
        ("ack", {"ack_ids": [f"7-{n}.1" for n in range(51)]}, "ack_ids"),
        ("nack", {"ack_ids": ["7-1.1"], "delay_s": -1}, "body/delay_s"),
        ("nack", {"ack_ids": ["7-1.1"], "delay_s": 3601}, "delay_s"),
        ("nack", {"ack_ids": ["7-1.1"], "reason": "x" * 501}, "body/reason"),
        ("nack", {"ack_ids": ["7-1.1"], "delay": 1}, "body/*"),
    ],
)
async def test_what_makes_no_sense_is_422_and_named(
    client: httpx.AsyncClient, verb: str, body: dict[str, object], pointer: str
) -> None:
    refused = await client.post(f"{URL}:{verb}", json=body)

    assert refused.status_code == 422, refused.text
    assert [one["pointer"] for one in refused.json()["errors"]] == [pointer]


async def test_only_a_subscription_that_is_pulled_can_be_pulled(client: httpx.AsyncClient) -> None:
    streamed = "/api/v1/subscriptions/streamed"
    await client.put(streamed, json={"sink": {"kind": "sse"}})

    for verb, body in (("pull", {}), ("ack", {"ack_ids": ["7-1.1"]})):
        wrong = await client.post(f"{streamed}:{verb}", json=body)
        missing = await client.post(f"/api/v1/subscriptions/nobody:{verb}", json=body)

        assert (wrong.status_code, missing.status_code) == (422, 404)
