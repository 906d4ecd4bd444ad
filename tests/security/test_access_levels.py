"""Each role, access level and owner, each way to read: what one may not read is not there."""

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
import pytest_asyncio

from actors import events
from actors.bus.domain.sight import Sight
from actors.identity.domain import PERMISSIONS
from actors.identity.messages import Role
from actors.rag.messages import FindEvidence
from actors.runtime.message import Caller, Context, Permission
from tests.fixtures.answering import Answering, answering
from tests.fixtures.bus_builders import stored_event
from tests.fixtures.gateway import GUILD, at, client_of, key

pytestmark = pytest.mark.asyncio(loop_scope="module")  # one guild for the whole table

ENTITIES = "/api/v1/knowledge/entities"
LEVELS = ("public", "protected", "private", "restricted")
MARK = "turbopump"
HOLDS = {
    **{role.value: PERMISSIONS[role] for role in Role},
    "sage": PERMISSIONS[Role.SAGE] | {Permission.KNOWLEDGE},
}
OPEN = {name: {"public", "protected"} for name in HOLDS} | {
    "guest": {"public"},
    "admin": set(LEVELS),
}
TABLE = list(itertools.product(HOLDS, LEVELS, (False, True)))
HIDDEN = [(role, level) for role, level, owned in TABLE if not owned and level not in OPEN[role]]


@dataclass(slots=True)
class Written:
    """What one owner wrote: an entity of each level."""

    guild: Answering
    ids: dict[str, str]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def written() -> AsyncIterator[Written]:
    async with answering() as guild:
        async with client_of(guild.app, principal="owner") as owner:
            ids = {level: await _create(owner, level) for level in LEVELS}
        await guild.settle()
        yield Written(guild, ids)


async def _create(owner: httpx.AsyncClient, level: str) -> str:
    body = {
        "title": f"The {level} {MARK}",
        "content": f"The {level} {MARK} is restarted with the {level} lever, twice a {level} day.",
        "category_id": "general",
        "access_level": level,
    }
    made = await owner.post(ENTITIES, json=body, headers=key())
    entity: dict[str, Any] = made.json()
    assert entity["status"] == "active"
    return str(entity["entity_id"])


def body_of(answer: httpx.Response) -> dict[str, Any]:
    """Without what every answer has of its own."""
    body: dict[str, Any] = answer.json()
    return {name: value for name, value in body.items() if name not in ("request_id", "instance")}


@pytest.mark.parametrize(("role", "level", "owned"), TABLE)
async def test_an_entity_is_read_by_whom_it_is_open_to_and_is_missing_for_the_others(
    written: Written, role: str, level: str, owned: bool
) -> None:
    there, missing = written.ids[level], f"know_{'0' * 26}"
    principal = "owner" if owned else "somebody"
    expected = 200 if owned or level in OPEN[role] else 404

    async with client_of(written.guild.app, HOLDS[role], principal=principal) as client:
        answers = [
            (
                await client.get(f"{ENTITIES}/{there}{path}"),
                await client.get(f"{ENTITIES}/{missing}{path}"),
            )
            for path in ("", "/versions", "/versions/1")
        ]
        listed = (await client.get(ENTITIES, params={"limit": 100})).json()["items"]

    assert [found.status_code for found, _ in answers] == [expected] * 3
    assert (there in {one["entity_id"] for one in listed}) is (expected == 200)
    if expected == 404:
        assert all(body_of(found) == body_of(absent) for found, absent in answers)


@pytest.mark.parametrize(("role", "level"), HIDDEN)
async def test_who_may_not_read_an_entity_learns_nothing_by_changing_it(
    written: Written, role: str, level: str
) -> None:
    there, missing = written.ids[level], f"know_{'0' * 26}"
    status = {"status": "archived"}

    async with client_of(written.guild.app, HOLDS[role], principal="somebody") as client:
        answers = [
            (
                await client.patch(f"{ENTITIES}/{one}", json={"title": "mine"}, headers=at(99)),
                await client.delete(f"{ENTITIES}/{one}", headers=at(99)),
                await client.post(f"{ENTITIES}/{one}:change-status", json=status, headers=at(99)),
                await client.post(f"{ENTITIES}/{one}:restore"),
            )
            for one in (there, missing)
        ]

    for refused, absent in zip(*answers, strict=True):
        assert refused.status_code == absent.status_code
        assert refused.status_code in (403, 404)
        assert body_of(refused) == body_of(absent)


@pytest.mark.parametrize(("role", "level", "owned"), TABLE)
async def test_search_and_answers_hold_what_is_open_and_nothing_else(
    written: Written, role: str, level: str, owned: bool
) -> None:
    asked = f"the {level} {MARK}"
    principal = "owner" if owned else "somebody"
    allowed = Permission.ADMIN in HOLDS[role] or Permission.RAG in HOLDS[role]
    found = level in ("public", "protected")

    async with client_of(written.guild.app, HOLDS[role], principal=principal) as client:
        searches = [
            await client.post("/api/v1/rag/search", json={"query": asked, "mode": mode, **more})
            for mode in ("lexical", "dense", "hybrid", "exact")
            for more in ({}, {"filters": {"access_levels": [level]}})
        ]
        answer = await client.post("/api/v1/rag/query", json={"question": asked})

    assert {one.status_code for one in (*searches, answer)} == {200 if allowed else 403}
    if not allowed:
        assert all(MARK not in one.text for one in (*searches, answer))
        return
    for one in searches:
        hits = {hit["id"] for hit in one.json()["hits"]}
        assert (written.ids[level] in hits) is found
    cited = {one["source_id"] for one in answer.json()["citations"]}
    retrieved = {hit["id"] for hit in answer.json()["retrieved"]}
    assert (written.ids[level] in retrieved) is found
    assert cited <= {written.ids["public"], written.ids["protected"]}
    assert f"{level} lever" not in answer.text or found


async def test_a_dossier_is_made_of_what_everybody_may_read_who_may_read_incidents(
    written: Written,
) -> None:
    caller = Caller(guild_id=GUILD, principal_id="sage.incident")
    find = FindEvidence(
        context=Context(caller=caller, correlation_id="cor_1"),
        incident_id="inc_1",
        title=f"the public protected private restricted {MARK}",
        limit=50,
    )

    evidence = await written.guild.rag.ask(find)

    ids = {line.source_id for line in evidence.similar}
    assert ids == {written.ids["public"], written.ids["protected"]}


@pytest.mark.parametrize(("role", "level", "owned"), TABLE)
async def test_an_event_shows_knowledge_to_whom_it_is_open(
    role: str, level: str, owned: bool
) -> None:
    payload = events.KnowledgeCreated(
        entity_id="know_1",
        title=MARK,
        content=MARK,
        summary="",
        status="active",
        category_id="general",
        access_level=level,
    )
    principal = "owner" if owned else "somebody"
    caller = Caller(guild_id=GUILD, principal_id=principal, permissions=HOLDS[role])

    seen = Sight(caller).includes(replace(stored_event(), payload=payload))

    assert seen is (level in OPEN[role] & {"public", "protected"})


async def test_feedback_on_what_no_search_finds_is_as_on_what_is_not_there(
    written: Written,
) -> None:
    async with client_of(written.guild.app, HOLDS["user"], principal="somebody") as client:
        answers = [
            await client.post(
                "/api/v1/rag/feedback", json={"query": MARK, "document": one, "relevant": True}
            )
            for one in (written.ids["private"], written.ids["restricted"], f"know_{'0' * 26}")
        ]

    assert [answer.status_code for answer in answers] == [404] * 3
    assert body_of(answers[0]) == body_of(answers[1]) == body_of(answers[2])


INCIDENT_PATHS = ("", "/alerts", "/timeline", "/dossier", "/review")


@pytest.mark.parametrize("role", HOLDS)
async def test_incidents_and_tasks_are_there_for_everybody_but_guests(
    written: Written, role: str
) -> None:
    app = written.guild.app
    async with client_of(app, principal="owner") as owner:
        incident = (
            await owner.post("/api/v1/incidents", json={"title": MARK}, headers=key())
        ).json()["incident_id"]
        await owner.post(f"/api/v1/incidents/{incident}:resolve", json={"resolution": "done"})
        await owner.post(f"/api/v1/incidents/{incident}/review", headers=key())
        task = (await owner.post("/api/v1/tasks", json={"name": MARK}, headers=key())).json()
    paths = [f"/api/v1/incidents/{incident}{path}" for path in INCIDENT_PATHS]
    paths += [f"/api/v1/tasks/{task['task_id']}{path}" for path in ("", "/relations")]
    absent = [
        path.replace(incident, f"inc_{'0' * 26}").replace(task["task_id"], f"task_{'0' * 26}")
        for path in paths
    ]

    async with client_of(app, HOLDS[role], principal="owner") as client:
        found = [await client.get(path) for path in paths]
        missing = [await client.get(path) for path in absent]
        lists = [await client.get(path) for path in ("/api/v1/incidents", "/api/v1/tasks")]

    if role == "guest":
        assert [one.status_code for one in found] == [404] * len(paths)
        assert [body_of(one) for one in found] == [body_of(one) for one in missing]
        assert all(MARK not in one.text for one in lists)
    else:
        shown = [one.status_code for one in found]
        assert shown == [404 if path.endswith("/dossier") else 200 for path in paths]
        assert all(MARK in one.text for one in lists)


@pytest.mark.parametrize("role", HOLDS)
@pytest.mark.parametrize("level", ["public", "protected"])
async def test_a_document_is_read_by_whom_it_is_open_to(
    written: Written, role: str, level: str
) -> None:
    app, name = written.guild.app, f"{role}/{level}"
    async with client_of(app, principal="owner") as owner:
        document = {"content": f"# {name}", "external_id": name, "access_level": level}
        stored = await owner.post("/api/v1/rag/documents", json=document, headers=key())
        url = f"/api/v1/rag/documents/{stored.json()['document_id']}"

    async with client_of(app, HOLDS[role], principal="somebody") as client:
        found = [await client.get(url), await client.get(url, params={"version": 1})]
        missing = await client.get(f"/api/v1/rag/documents/doc_{'0' * 26}")

    seen = level in OPEN[role]
    assert [one.status_code for one in found] == [200 if seen else 404] * 2
    assert seen or [body_of(one) for one in found] == [body_of(missing)] * 2


async def test_a_version_that_was_protected_stays_so_and_hides_what_a_guest_may_not_see(
    written: Written,
) -> None:
    app, document = written.guild.app, {"external_id": "turned", "access_level": "protected"}
    async with client_of(app, principal="owner") as owner:
        for body in ({"content": "one"}, {"content": "two"}, {"access_level": "public"}):
            sent = {"content": "three"} | document | body
            stored = await owner.post("/api/v1/rag/documents", json=sent, headers=key())
    url = f"/api/v1/rag/documents/{stored.json()['document_id']}"

    async with client_of(app, HOLDS["guest"]) as guest:
        newest = await guest.get(url)
        earlier = [await guest.get(url, params={"version": number}) for number in (1, 2)]

    assert (newest.status_code, newest.json()["version"]) == (200, 3)
    assert [one.status_code for one in earlier] == [404, 404]
