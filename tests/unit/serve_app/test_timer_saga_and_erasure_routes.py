"""Timers, sagas and erasures over HTTP, over the real sages."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from actors import clock
from actors.bus.sagas.engine import SagaState, SagaStatus, StepStatus
from actors.runtime.local import LocalPool
from actors.runtime.message import GuildId, Permission
from tests.fixtures.bus_builders import GUILD
from tests.fixtures.gateway import app_over, client_of, key, settings
from tests.fixtures.memory_bus import MemoryBus

API = "/api/v1"
ELDER = frozenset(Permission) - {Permission.ADMIN}


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(settings())


@pytest.fixture
def app(bus: MemoryBus) -> FastAPI:
    return app_over({"bus": LocalPool(bus.handlers())})


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app, ELDER, GUILD) as client:
        yield client


async def test_a_timer_is_set_shown_and_cancelled(client: httpx.AsyncClient) -> None:
    body = {"name": "report", "due_at": "2031-01-01T00:00:00+01:00", "data": {"of": ["a", 1]}}

    made = await client.post(f"{API}/timers", json=body, headers=key())
    url = made.headers["location"]
    shown = await client.get(url)
    waiting = await client.get(f"{API}/timers")
    cancelled = [await client.post(f"{url}:cancel") for _ in range(2)]

    assert (made.status_code, shown.json()) == (201, made.json())
    assert made.json()["due_at"] == "2030-12-31T23:00:00.000Z"
    assert (made.json()["state"], made.json()["data"]) == ("pending", {"of": ["a", 1]})
    assert waiting.json()["items"] == [made.json()]
    assert [one.json()["state"] for one in cancelled] == ["cancelled"] * 2
    assert (await client.get(f"{API}/timers")).json()["items"] == []
    everything = await client.get(f"{API}/timers?state=pending&state=cancelled")
    assert len(everything.json()["items"]) == 1


async def test_a_timer_may_come_again_and_again(client: httpx.AsyncClient) -> None:
    body = {"name": "report", "cron": "0 8 * * mon", "timezone": "Europe/Berlin"}

    made = await client.post(f"{API}/timers", json=body, headers=key())

    assert (made.json()["cron"], made.json()["timezone"]) == ("0 8 * * mon", "Europe/Berlin")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "body/name"),
        ({"name": "a"}, "due_at"),
        ({"name": "a", "due_at": "2031-01-01T00:00:00Z", "cron": "0 8 * * *"}, "due_at"),
        ({"name": "a", "due_at": "2131-01-01T00:00:00Z"}, "due_at"),
        ({"name": "a", "due_at": "2031-01-01"}, "body/due_at"),
        ({"name": "a", "cron": "* * * * * *"}, "cron"),
        ({"name": "a", "cron": "0 0 30 feb *"}, "cron"),
        ({"name": "a", "cron": "0 8 * * *", "timezone": "../../etc/passwd"}, "timezone"),
        ({"name": "a", "due_at": "2031-01-01T00:00:00Z", "data": []}, "body/data"),
        ({"name": "a", "due_at": "2031-01-01T00:00:00Z", "data": {"a": "x" * 20_000}}, "data"),
        ({"name": "a", "due_at": "2031-01-01T00:00:00Z", "state": "fired"}, "body/state"),
    ],
)
async def test_a_timer_that_makes_no_sense_is_422_and_named(
    client: httpx.AsyncClient, body: dict[str, object], pointer: str
) -> None:
    refused = await client.post(f"{API}/timers", json=body, headers=key())

    assert refused.status_code == 422, refused.text
    assert [one["pointer"] for one in refused.json()["errors"]] == [pointer]
    assert (await client.get(f"{API}/timers")).json()["items"] == []


async def test_sagas_are_shown_with_their_steps(client: httpx.AsyncClient, bus: MemoryBus) -> None:
    state = SagaState(
        guild_id=GUILD,
        saga_id=clock.new_id("saga"),
        kind="incident_loop",
        correlation_id="cor_1",
        steps={"dossier": StepStatus.DONE, "tasks": StepStatus.PENDING},
        status=SagaStatus.RUNNING,
    )
    await bus.sagas.keep(state)

    one = await client.get(f"{API}/sagas/{state.saga_id}")
    running = await client.get(f"{API}/sagas?state=running")

    assert (one.json()["kind"], one.json()["state"]) == ("incident_loop", "running")
    assert one.json()["steps"] == {"dossier": "done", "tasks": "pending"}
    assert running.json()["items"] == [one.json()]
    assert (await client.get(f"{API}/sagas?state=failed")).json()["items"] == []


async def test_erasing_answers_a_digest_and_is_for_administrators(
    app: FastAPI, client: httpx.AsyncClient, bus: MemoryBus
) -> None:
    refused = await client.post(f"{API}/erasures", json={"subject": "ada"}, headers=key())
    async with client_of(app, {Permission.ADMIN}, GUILD) as admin:
        erased = await admin.post(f"{API}/erasures", json={"subject": "ada"}, headers=key())
        blank = await admin.post(f"{API}/erasures", json={"subject": " "}, headers=key())

    assert (refused.status_code, erased.status_code, blank.status_code) == (403, 200, 422)
    assert bus.erased == ["ada"]
    assert erased.json().keys() == {"subject_digest", "erased_at"}
    assert "ada" not in erased.text.replace(erased.json()["subject_digest"], "")


@pytest.mark.parametrize("subject", ["", " ", " ada", "ada ", "a\nda", "a" * 501])
async def test_who_is_to_be_erased_is_taken_to_the_letter_or_refused(
    app: FastAPI, bus: MemoryBus, subject: str
) -> None:
    async with client_of(app, {Permission.ADMIN}, GUILD) as admin:
        answer = await admin.post(f"{API}/erasures", json={"subject": subject}, headers=key())

    assert answer.status_code == 422
    assert bus.erased == []


@pytest.mark.parametrize(("place", "prefix"), [("timers", "timer"), ("sagas", "saga")])
async def test_what_is_no_id_or_nobodys_is_not_found(
    client: httpx.AsyncClient, place: str, prefix: str
) -> None:
    for name in (clock.new_id(prefix), "a", "a'--", f"{prefix}_{'z' * 27}"):
        assert (await client.get(f"{API}/{place}/{name}")).status_code == 404


async def test_another_guild_sees_none_of_it(app: FastAPI, client: httpx.AsyncClient) -> None:
    body = {"name": "a", "due_at": "2031-01-01T00:00:00Z"}
    timer = await client.post(f"{API}/timers", json=body, headers=key())

    async with client_of(app, ELDER, GuildId(clock.new_id("guild"))) as stranger:
        url = timer.headers["location"]
        assert (await stranger.get(url)).status_code == 404
        assert (await stranger.post(f"{url}:cancel")).status_code == 404
        for place in ("timers", "sagas"):
            assert (await stranger.get(f"{API}/{place}")).json()["items"] == []
