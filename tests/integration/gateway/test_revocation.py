"""A revoked token on two replicas over one PostgreSQL. There is no Redis here at all."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import pairwise

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from actors.identity.postgres import PostgresIdentityStore
from actors.identity.sage import IdentitySage
from actors.identity.sessions.postgres import PostgresSessionStore
from actors.identity.sessions.sage import SessionSage
from actors.runtime.local import LocalPool
from actors.settings import GatewaySettings, GuildSettings
from actors.storage.database import Database
from actors.storage.inbox import Inbox
from actors.storage.vault import Vault
from cluster import admin
from serve_app.http import create_app
from serve_app.readiness import PoolOf
from serve_app.revocations import Revocations
from tests.fixtures.gateway import at, client_of, quick_passwords, settings
from tests.fixtures.oauth import People, grant, log_in, people, visitor, works
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import SECRET_KEY

pytestmark = pytest.mark.integration

WITHIN_S = 2.0


class Looking(Revocations):
    """Remembers when each look began that has ended."""

    def __init__(self, settings: GatewaySettings, clock: "Clock") -> None:
        super().__init__(settings, watched=True, monotonic=clock)
        self.began: list[float] = []

    async def look(self, pool: PoolOf) -> None:
        began = time.monotonic()
        await super().look(pool)
        self.began.append(began)

    def since(self, moment: float) -> int:
        """Looks that began after it and have ended."""
        return sum(one > moment for one in self.began)


class Clock:
    """The gateways' clock for ages, which can be put forward."""

    ahead_s = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead_s


@dataclass(frozen=True, slots=True)
class Replicas:
    """Two gateways with a list each, an administrator and a visitor."""

    lists: tuple[Looking, Looking]
    clients: tuple[httpx.AsyncClient, httpx.AsyncClient]
    admin: httpx.AsyncClient
    people: People
    database: Database
    clock: Clock


async def replica(
    config: GuildSettings, pool: LocalPool, clock: Clock, stack: AsyncExitStack
) -> tuple[FastAPI, Looking]:
    """Has looked once, and watches its list until the stack is closed."""
    revocations = Looking(config.gateway, clock)
    await revocations.look(lambda _: pool)
    watching = asyncio.create_task(revocations.watch(lambda _: pool))
    stack.callback(watching.cancel)
    return create_app(config, lambda _: pool, revocations=revocations), revocations


@pytest.fixture
async def replicas(fresh_database: PreparedDatabase) -> AsyncIterator[Replicas]:
    config = settings(revocation_timeout_s=60.0).model_copy(
        update={"secret_key": SecretStr(SECRET_KEY)}
    )
    guild = await admin.create_guild(fresh_database.owner_url, "hall")
    database = await Database.open(
        fresh_database.app_url, config.database, connections=4, vault=Vault.of(config)
    )
    store = PostgresIdentityStore(database, config.identity)
    kept = PostgresSessionStore(database, config.identity)
    handlers = {
        **IdentitySage(store, quick_passwords(config), config.identity).handlers(),
        **SessionSage(kept, kept, store, config.identity).handlers(),
    }
    pool = LocalPool(handlers, Inbox(database))
    everybody = await people(pool, guild)
    clock = Clock()
    async with AsyncExitStack() as stack:
        (first, one), (second, another) = [
            await replica(config, pool, clock, stack) for _ in range(2)
        ]
        clients = [await stack.enter_async_context(visitor(app)) for app in (first, second)]
        chief = await stack.enter_async_context(
            client_of(first, guild=guild, principal="user_admin")
        )
        yield Replicas((one, another), (clients[0], clients[1]), chief, everybody, database, clock)
    await database.close()


async def until_refused(
    client: httpx.AsyncClient, looking: Looking, tokens: dict[str, object], revoked_at: float
) -> None:
    """Until the access token is refused: no later than by the first whole look since."""
    async with asyncio.timeout(60):
        while True:
            looks = looking.since(revoked_at)
            if not await works(client, tokens):
                return
            assert looks == 0
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("how", ["logout", "theft", "disable", "role", "client", "token"])
async def test_a_revoked_token_is_refused_on_every_replica_from_its_next_look_on(
    replicas: Replicas, how: str
) -> None:
    here, there = replicas.clients
    tokens = await log_in(here)
    if how == "client":
        known = {"client_id": "robot", "client_secret": "s" * 43}
        tokens = (await grant(here, "client_credentials", **known)).json()
    assert [await works(client, tokens) for client in (here, there)] == [True, True]
    elder = f"/api/v1/users/{replicas.people.elder.principal_id}"

    match how:
        case "logout":
            answer = await here.post("/oauth/revoke", data={"token": tokens["refresh_token"]})
        case "theft":
            await grant(here, "refresh_token", refresh_token=tokens["refresh_token"])
            await grant(there, "refresh_token", refresh_token=tokens["refresh_token"])
            answer = await here.get("/healthz")
        case "disable":
            answer = await replicas.admin.post(f"{elder}:disable")
        case "role":
            answer = await replicas.admin.patch(elder, json={"role": "guest"}, headers=at(1))
        case "client":
            answer = await replicas.admin.post("/api/v1/clients/robot:disable")
        case _:
            answer = await there.post("/oauth/revoke", data={"token": tokens["access_token"]})
    assert answer.status_code == 200, answer.text
    revoked_at = time.monotonic()
    await asyncio.gather(
        *(
            until_refused(client, looking, tokens, revoked_at)
            for client, looking in zip(replicas.clients, replicas.lists, strict=True)
        )
    )


async def test_lists_are_looked_at_so_often_that_two_seconds_are_kept(replicas: Replicas) -> None:
    for looking in replicas.lists:
        async with asyncio.timeout(60):
            while len(looking.began) < 5:  # noqa: ASYNC110  # told to nobody
                await asyncio.sleep(0.05)
        _, *pauses = [later - one for one, later in pairwise(looking.began)]

        assert min(pauses) <= WITHIN_S / 2  # the others may be those of a busy machine


async def test_without_the_list_administrators_are_refused_first(replicas: Replicas) -> None:
    tokens = await log_in(replicas.clients[0])
    before = await replicas.admin.get("/api/v1/users")

    await replicas.database.close()
    replicas.clock.ahead_s = 10.0

    assert before.status_code == 200
    assert (await replicas.admin.get("/api/v1/users")).status_code == 503
    assert await works(replicas.clients[0], tokens)
