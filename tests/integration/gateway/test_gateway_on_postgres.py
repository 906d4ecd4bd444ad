"""The gateway over sages that keep their things in PostgreSQL; only Ray is missing."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from actors.identity.postgres import PostgresIdentityStore
from actors.identity.sage import IdentitySage
from actors.identity.sessions.postgres import PostgresSessionStore
from actors.identity.sessions.sage import SessionSage
from actors.incident.postgres import PostgresIncidentStore
from actors.incident.sage import IncidentSage
from actors.knowledge.postgres import PostgresKnowledgeStore
from actors.knowledge.sage import KnowledgeSage
from actors.runtime.local import LocalPool
from actors.runtime.message import GuildId, Handlers
from actors.storage.database import Database
from actors.storage.inbox import Inbox
from actors.task.postgres import PostgresTaskStore
from actors.task.sage import TaskSage
from cluster import admin
from tests.fixtures.gateway import app_over, client_of, key, quick_passwords, settings
from tests.fixtures.incident import FoundEvidence
from tests.fixtures.services import PreparedDatabase
from tests.fixtures.storage import SECRET_KEY

pytestmark = pytest.mark.integration

TASKS = "/api/v1/tasks"
KEYS = 20
REPEATS = 8
ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Ground:
    """The application, and who was made with the first guild."""

    app: FastAPI
    first: admin.FirstGuild
    database: Database


@pytest.fixture
async def ground(fresh_database: PreparedDatabase) -> AsyncIterator[Ground]:
    config = settings().model_copy(update={"secret_key": SecretStr(SECRET_KEY)})
    first = await admin.ensure_first_guild(
        fresh_database.owner_url, fresh_database.app_url, config=config
    )
    assert first is not None
    database = await Database.open(fresh_database.app_url, config.database, connections=4)

    def pool(handlers: Handlers) -> LocalPool:
        return LocalPool(handlers, Inbox(database))

    incidents = PostgresIncidentStore(database)
    principals = PostgresIdentityStore(database, config.identity)
    identity = IdentitySage(principals, quick_passwords(config), config.identity)
    kept = PostgresSessionStore(database, config.identity)
    sessions = SessionSage(kept, kept, principals, config.identity)
    pools = {
        "incident": pool(IncidentSage(incidents, FoundEvidence(), config.incident).handlers()),
        "task": pool(TaskSage(PostgresTaskStore(database), config.task).handlers()),
        "knowledge": pool(
            KnowledgeSage(PostgresKnowledgeStore(database), config.knowledge).handlers()
        ),
        "identity": pool({**identity.handlers(), **sessions.handlers()}),
        "rag": LocalPool({}),
    }
    yield Ground(app_over(pools, config), first, database)
    await database.close()


@pytest.fixture
async def client(ground: Ground) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(ground.app, guild=ground.first.guild_id) as client:
        yield client


async def test_the_first_admin_signs_in_and_alertmanager_sends_an_alert(ground: Ground) -> None:
    transport = httpx.ASGITransport(ground.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        first = ground.first
        person = await client.post(
            "/oauth/login", json={"login": first.admin_login, "password": first.admin_password}
        )
        program = await client.post(
            "/oauth/token",
            data={"grant_type": "client_credentials"},
            auth=(first.alertmanager_client_id, first.alertmanager_client_secret),
        )
        assert (person.status_code, program.status_code) == (200, 200), program.text
        notification = {
            "version": "4",
            "groupKey": "{}",
            "status": "firing",
            "receiver": "guild",
            "alerts": [
                {
                    "status": "firing",
                    "labels": {"alertname": "DiskFull", "severity": "critical"},
                    "annotations": {},
                    "startsAt": "2026-03-01T12:00:00Z",
                    "endsAt": "0001-01-01T00:00:00Z",
                    "generatorURL": "",
                    "fingerprint": "c0ffee",
                }
            ],
        }
        accepted = await client.post(
            "/api/v1/alerts/alertmanager", json=notification, headers=bearer(program)
        )
        (incident_id,) = accepted.json()["incidents"]
        incident = await client.get(f"/api/v1/incidents/{incident_id}", headers=bearer(person))

    assert accepted.status_code == 202
    assert accepted.headers["guild-position"]
    assert incident.json()["severity"] == "critical"


def bearer(answer: httpx.Response) -> dict[str, str]:
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def test_each_key_acts_once_however_often_and_at_once_it_is_sent(
    ground: Ground, client: httpx.AsyncClient
) -> None:
    async def send(number: int) -> httpx.Response:
        body, headers = {"name": f"task {number}"}, {"Idempotency-Key": f"k{number}"}
        for _ in range(ATTEMPTS):
            answer = await client.post(TASKS, json=body, headers=headers)
            if answer.status_code not in {503, 504}:  # what a busy machine may answer
                break
        return answer

    answers = await asyncio.gather(
        *(send(number) for _ in range(REPEATS) for number in range(KEYS))
    )

    assert {answer.status_code for answer in answers} == {201}
    replies = {answer.content for answer in answers}
    positions = {(answer.content, answer.headers["guild-position"]) for answer in answers}
    assert len(replies) == len(positions) == KEYS
    async with ground.database.read(ground.first.guild_id) as tx:
        assert await tx.fetchval("SELECT count(*) FROM tasks") == KEYS


async def test_a_key_used_for_another_request_is_422(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "one"}
    await client.post(TASKS, json={"name": "a"}, headers=headers)

    answer = await client.post(TASKS, json={"name": "b"}, headers=headers)

    assert answer.status_code == 422


async def test_another_guilds_things_are_as_if_they_did_not_exist(
    ground: Ground, client: httpx.AsyncClient, fresh_database: PreparedDatabase
) -> None:
    stranger: GuildId = await admin.create_guild(fresh_database.owner_url, "strangers")
    bodies = {
        TASKS: {"name": "a"},
        "/api/v1/incidents": {"title": "a"},
        "/api/v1/knowledge/entities": {"title": "a", "content": "b"},
    }
    async with client_of(ground.app, guild=stranger) as other:
        for url, body in bodies.items():
            made = await client.post(url, json=body, headers=key())
            assert made.status_code == 201, made.text
            theirs = made.headers["location"]
            nowhere = theirs[:-4] + "zzzz"
            headers = {"X-Request-Id": "one", "If-Match": made.headers["etag"]}
            for method in ("GET", "PATCH"):
                foreign = await other.request(method, theirs, headers=headers, json={})
                missing = await other.request(method, nowhere, headers=headers, json={})

                assert foreign.status_code == 404, foreign.text
                assert foreign.content == missing.content
            assert (await other.get(url)).json()["items"] == []


async def test_without_postgres_the_answer_is_503_and_never_500(
    ground: Ground, client: httpx.AsyncClient
) -> None:
    await ground.database.close()

    read = await client.get(TASKS)
    written = await client.post(TASKS, json={"name": "a"}, headers=key())
    ready = await client.get("/readyz")

    assert [read.status_code, written.status_code, ready.status_code] == [503, 503, 503]
    assert read.headers["retry-after"]
    assert read.json()["type"].endswith(":dependency_unavailable")
