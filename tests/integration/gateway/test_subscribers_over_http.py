"""A subscriber that has nothing but HTTP, over the real bus, the real router and PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from actors.bus.actor import BusMember
from actors.events import DeliverEvent, DeliverEvents
from actors.router.actor import RouterActor
from actors.runtime.identity import MemberIdentity
from actors.runtime.local import LocalPool
from actors.runtime.message import GuildId, Permission
from actors.settings import DatabaseSettings, settings
from actors.storage.database import Database
from tests.fixtures.bus_builders import new_event, publish
from tests.fixtures.gateway import app_over, client_of, key
from tests.fixtures.one_database import OneDatabase
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import new_guild

pytestmark = pytest.mark.integration

API = "/api/v1"
ORDERS = f"{API}/subscriptions/orders"
ELDER = frozenset(Permission) - {Permission.ADMIN}
DELIVERY = {"ack_deadline_s": 60, "max_attempts": 2, "backoff_s": [0]}


class BusHost(OneDatabase):
    """Has the test's database, and tells the test's router."""

    def __init__(self, database: Database, url: str) -> None:
        super().__init__(database)
        self.settings = self.settings.model_copy(update={"database_url": SecretStr(url)})
        self.routers: list[RouterActor] = []
        self._closers = []
        self._nudges: set[asyncio.Task[None]] = set()

    def nudge_router(self) -> None:
        for router in self.routers:
            nudge = asyncio.create_task(router.nudge())
            self._nudges.add(nudge)
            nudge.add_done_callback(self._nudges.discard)

    def pool(self, name: str) -> LocalPool:
        return LocalPool({})


@dataclass(frozen=True, slots=True)
class Ground:
    """A guild, its gateway, and the bus that it publishes through."""

    app: FastAPI
    guild: GuildId
    bus: LocalPool

    async def publish(self, *names: str) -> list[str]:
        """Publishes one event of each name; answers their positions."""
        published = [
            await self.bus.ask(publish(new_event(name), guild_id=self.guild)) for name in names
        ]
        return [str(one.position) for (one,) in published]


@pytest.fixture
async def ground(
    fresh_database: PreparedDatabase, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Ground]:
    monkeypatch.setenv("GUILD_LOG_DATABASE_URL", fresh_database.log_url)
    monkeypatch.setenv("GUILD_ROUTER__REDRIVE_POLL_S", "0.1")
    monkeypatch.setenv("GUILD_ROUTER__REFRESH_S", "0.1")
    monkeypatch.delenv("REDIS_URL", raising=False)
    settings.cache_clear()
    guild = await new_guild(fresh_database)
    database = await Database.open(fresh_database.app_url, DatabaseSettings(), connections=4)
    host = BusHost(database, fresh_database.app_url)
    member = BusMember(MemberIdentity(pool="bus", generation=1, number=0))
    bus = LocalPool(await member.open(host), host.ledger)
    host.routers.append(router := routing_to_nobody())
    yield Ground(app_over({"bus": bus}), guild, bus)
    await router.stop()
    await host.close()
    await database.close()
    settings.cache_clear()


def routing_to_nobody() -> RouterActor:
    """The router; what it delivers to the sages is taken and forgotten."""

    async def take(_: object) -> None:
        return None

    async def close() -> None:
        return None

    actor = RouterActor()
    pool = LocalPool({DeliverEvent: take, DeliverEvents: take})
    pools: Any = SimpleNamespace(pool=lambda _: pool, close=close)
    actor._pools = pools  # its work begins at the next turn of the loop
    return actor


@pytest.fixture
async def client(ground: Ground) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(ground.app, ELDER, ground.guild) as client:
        yield client


async def declare(client: httpx.AsyncClient, url: str = ORDERS, **changes: Any) -> httpx.Response:
    body = {
        "filter": {"types": ["custom.*"]},
        "sink": {"kind": "pull"},
        "delivery": DELIVERY,
        "begin": "beginning",
    }
    made = await client.put(url, json=body | changes)
    assert made.status_code == 201, made.text
    return made


async def pull(client: httpx.AsyncClient, wait_s: float = 9.0, url: str = ORDERS) -> Any:
    answer = await client.post(f"{url}:pull", json={"wait_s": wait_s, "max_events": 50})
    assert answer.status_code == 200, answer.text
    return answer.json()["events"]


async def give(client: httpx.AsyncClient, verb: str, *pulled: Any) -> httpx.Response:
    body = {"ack_ids": [one["ack_id"] for one in pulled]}
    return await client.post(f"{ORDERS}:{verb}", json=body)


async def all_names(client: httpx.AsyncClient, number: int, url: str = ORDERS) -> list[str]:
    """Pulls and acknowledges so many events; answers what their publisher called them."""
    names: list[str] = []
    while len(names) < number:
        pulled = await pull(client, url=url)
        assert pulled, f"only {names} came"
        body = {"ack_ids": [one["ack_id"] for one in pulled]}
        assert (await client.post(f"{url}:ack", json=body)).status_code == 204
        names += [one["event"]["id"] for one in pulled]
    return names


async def until(look: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(20):
        while not await look():  # noqa: ASYNC110  # the router works in a transaction of its own
            await asyncio.sleep(0.05)


async def progress(client: httpx.AsyncClient, url: str = ORDERS) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(url)).json()["progress"]
    return found


async def letters(client: httpx.AsyncClient, state: str) -> list[dict[str, Any]]:
    answer = await client.get(f"{API}/deadletters?subscription=orders&state={state}")
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


async def end_leases(prepared: PreparedDatabase) -> None:
    """As time would; only a superuser may touch other guilds' rows."""
    connection = await asyncpg.connect(prepared.admin_url)
    await connection.execute("UPDATE pull_deliveries SET available_at = now()")
    await connection.close()


async def test_an_event_is_acknowledged_late_given_up_redriven_and_done(
    ground: Ground, client: httpx.AsyncClient, fresh_database: PreparedDatabase
) -> None:
    await declare(client)
    await ground.publish("first")
    (first,) = await pull(client)
    acked = [await give(client, "ack", first) for _ in range(2)]

    await ground.publish("second")
    (lent,) = await pull(client)
    await end_leases(fresh_database)
    late = await give(client, "ack", lent)
    (again,) = await pull(client)
    given_up = await give(client, "nack", again)
    (letter,) = await letters(client, "waiting")
    dead = (await progress(client))["dead_letters"]
    redriven = await client.post(
        f"{API}/deadletters:redrive",
        json={"subscription": "orders", "event_ids": [letter["event_id"]]},
    )
    (once_more,) = await pull(client)
    done = await give(client, "ack", once_more)

    assert [answer.status_code for answer in acked] == [204, 204]
    assert late.status_code == 409
    assert late.json()["type"].endswith(":late_ack")
    assert late.json()["event_id"] == letter["event_id"]
    assert (lent["attempt"], again["attempt"], given_up.status_code) == (1, 2, 204)
    assert (letter["reason"], letter["attempts"]) == ("refused by the subscriber", 2)
    assert letter["event"] == once_more["event"]
    assert dead == 1
    assert (redriven.status_code, redriven.json()) == (202, {"requested": 1})
    assert (once_more["event"]["id"], done.status_code) == ("second", 204)
    await until(lambda: _has(letters(client, "redriven"), 1))
    (settled,) = await letters(client, "redriven")
    assert (settled["requested_by"], settled["redriven_at"] is None) == ("user_of_the_tests", False)
    assert await letters(client, "waiting") == []


async def _has(found: Awaitable[list[Any]], number: int) -> bool:
    return len(await found) == number


async def test_what_is_behind_is_seen_and_worked_off(
    ground: Ground, client: httpx.AsyncClient
) -> None:
    await declare(client)
    before = await progress(client)
    names = [f"order-{number}" for number in range(20)]
    await ground.publish(*names)

    async def all_wait() -> bool:
        return bool((await progress(client))["waiting"] == 20)

    await until(all_wait)
    got = await all_names(client, 20)

    async def nothing_is_behind() -> bool:
        now = await progress(client)
        return (now["lag"], now["waiting"]) == (0, 0) and now["cursor"] is not None

    await until(nothing_is_behind)
    assert before["lag"] == 0
    assert got == names


async def test_a_paused_subscription_waits_and_loses_nothing(
    ground: Ground, client: httpx.AsyncClient
) -> None:
    await declare(client)
    paused = await client.post(f"{ORDERS}:pause")
    await ground.publish("meanwhile")

    async def waits() -> bool:
        found = await progress(client)
        return bool(max(found["lag"], found["waiting"]) == 1)

    nothing = await pull(client, wait_s=0.5)
    await until(waits)  # in the log, or where the router put it before it heard of the pause
    resumed = await client.post(f"{ORDERS}:resume")
    got = await all_names(client, 1)

    assert (paused.json()["state"], nothing) == ("paused", [])
    assert (resumed.json()["state"], got) == ("active", ["meanwhile"])


async def test_who_seeks_the_beginning_hears_all_of_it_again_and_once_for_one_key(
    ground: Ground, client: httpx.AsyncClient
) -> None:
    await declare(client)
    await ground.publish("a", "b", "c")
    first = await all_names(client, 3)
    once = key()

    sought = [
        await client.post(f"{ORDERS}:seek", json={"to": "beginning"}, headers=once)
        for _ in range(2)
    ]
    second = await all_names(client, 3)

    assert first == second == ["a", "b", "c"]
    assert [answer.json()["generation"] for answer in sought] == [2, 2]
    assert await pull(client, wait_s=0.3) == []


async def test_a_stretch_is_heard_again_by_the_subscription_that_is_named(
    ground: Ground, client: httpx.AsyncClient
) -> None:
    other = f"{API}/subscriptions/others"
    await declare(client)
    await declare(client, other)
    positions = await ground.publish("a", "b", "c", "d")
    assert sorted(await all_names(client, 4) + await all_names(client, 4, other)) == [*"aabbccdd"]

    begun = await client.post(
        f"{ORDERS}:replay",
        json={"begin": {"position": positions[0]}, "end": {"position": positions[2]}},
        headers=key(),
    )
    again = await all_names(client, 2)

    async def it_is_over() -> bool:
        shown = (await client.get(begun.headers["location"])).json()
        return (shown["state"], shown["delivered"]) == ("completed", 2)

    await until(it_is_over)
    assert begun.status_code == 202
    assert again == ["b", "c"]
    assert await pull(client, wait_s=0.3) == await pull(client, wait_s=0.0, url=other) == []
    late = await client.post(f"{begun.headers['location']}:cancel")
    assert late.status_code == 409


async def test_a_put_that_is_repeated_under_its_key_was_made_once(
    ground: Ground, client: httpx.AsyncClient
) -> None:
    body, once = {"sink": {"kind": "pull"}}, key()

    answers = [await client.put(ORDERS, json=body, headers=once) for _ in range(2)]
    different = await client.put(ORDERS, json=body | {"begin": "beginning"}, headers=once)

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content == answers[1].content
    assert different.status_code == 422


async def test_a_position_of_another_log_is_410(client: httpx.AsyncClient) -> None:
    await declare(client)

    gone = await client.post(f"{ORDERS}:seek", json={"to": {"position": "9-100-1"}}, headers=key())

    assert gone.status_code == 410
    assert gone.json()["type"].endswith(":position_of_another_epoch")


async def test_another_guild_neither_sees_nor_pulls_it(
    ground: Ground, client: httpx.AsyncClient, fresh_database: PreparedDatabase
) -> None:
    await declare(client)
    await ground.publish("ours")
    stranger = await new_guild(fresh_database)

    async with client_of(ground.app, ELDER, stranger) as other:
        missing = await other.post(f"{ORDERS}:pull", json={})
        await declare(other)
        theirs = await pull(other, wait_s=0.5)

    assert (missing.status_code, theirs) == (404, [])
    assert await all_names(client, 1) == ["ours"]
