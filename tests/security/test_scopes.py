"""Keys, cursors, replays and answers: each belongs to a guild, a key to a principal."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from actors import clock
from actors.runtime.message import GuildId, Permission
from tests.fixtures.answering import Answering, answering
from tests.fixtures.bus_builders import GUILD as BUS_GUILD
from tests.fixtures.gateway import GUILD, OTHER_GUILD, at, client_of, key

pytestmark = pytest.mark.asyncio(loop_scope="module")

API = "/api/v1"
ENTITIES = f"{API}/knowledge/entities"
ELDER = frozenset(Permission) - {Permission.ADMIN}
USER = frozenset({Permission.READ, Permission.WRITE, Permission.RAG})
MARK = "zirconium"
BODIES: dict[str, dict[str, Any]] = {
    "incidents": {"title": MARK},
    "tasks": {"name": MARK},
    "knowledge/entities": {"title": MARK, "content": MARK, "category_id": "general"},
    "knowledge/categories": {"category_id": "alloys", "name": MARK},
    "rag/documents": {"content": f"# {MARK}", "external_id": "one"},
    "rag/documents:batch": {"documents": [{"content": f"# {MARK}", "external_id": "two"}]},
    "timers": {"name": MARK, "cron": "0 8 * * mon", "timezone": "UTC", "data": {}},
}
OTHERS = {"another principal": "somebody_else", "another guild": "somebody"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def guild() -> AsyncIterator[Answering]:
    async with answering() as made:
        yield made


def ids_in(value: object) -> set[str]:
    """Ids of entities, wherever in an answer they stand."""
    match value:
        case dict():
            named = {one for name, one in value.items() if name.endswith("_id") and one}
            return {one for one in named if isinstance(one, str)}.union(
                *map(ids_in, value.values())
            )
        case list():
            return set().union(*map(ids_in, value))
        case _:
            return set()


def other_words(body: Any) -> Any:
    """The same body about something else."""
    match body:
        case dict():
            return {name: other_words(value) for name, value in body.items()}
        case list():
            return [other_words(value) for value in body]
        case "alloys" | "one" | "two":
            return f"{body}-of-another"
        case str():
            return body.replace(MARK, "hafnium")
        case _:
            return body


@pytest.mark.parametrize("who", OTHERS)
@pytest.mark.parametrize("path", BODIES)
async def test_a_key_says_nothing_to_who_did_not_use_it(
    guild: Answering, path: str, who: str
) -> None:
    url, same_key, home = f"{API}/{path}", key(), GuildId(clock.new_id("guild"))
    there = home if who == "another principal" else GuildId(clock.new_id("guild"))
    async with client_of(guild.app, guild=home, principal="somebody") as first:
        mine = await first.post(url, json=BODIES[path], headers=same_key)

    async with client_of(guild.app, guild=there, principal=OTHERS[who]) as other:
        theirs = await other.post(url, json=other_words(BODIES[path]), headers=same_key)

    assert mine.status_code in (200, 201), mine.text
    assert theirs.status_code in (200, 201), theirs.text
    assert MARK not in theirs.text
    assert not (ids_in(mine.json()) & ids_in(theirs.json())) - {"general", "somebody"}


LISTS = ["incidents", "tasks", "knowledge/entities"]


@pytest.mark.parametrize("path", LISTS)
async def test_a_cursor_leads_only_to_what_its_bearer_may_see(guild: Answering, path: str) -> None:
    url, nobody = f"{API}/{path}", GuildId(clock.new_id("guild"))
    async with client_of(guild.app) as first:
        for _ in range(3):
            body = BODIES[path] | ({"access_level": "private"} if "entities" in path else {})
            await first.post(url, json=body, headers=key())
        page = (await first.get(url, params={"limit": 1})).json()
    assert page["next_cursor"]
    follow = {"limit": 100, "cursor": page["next_cursor"]}

    async with client_of(guild.app, guild=nobody) as stranger:
        foreign = await stranger.get(url, params=follow)
    async with client_of(guild.app, {Permission.READ}, principal="guest") as guest:
        seen = await guest.get(url, params=follow)

    for answer in (foreign, seen):
        assert answer.status_code == 200
        assert answer.json()["items"] == []
        assert "link" not in answer.headers


async def test_versions_are_paged_only_for_who_may_read_them(guild: Answering) -> None:
    async with client_of(guild.app, principal="owner") as owner:
        body = BODIES["knowledge/entities"] | {"access_level": "private"}
        entity_id = (await owner.post(ENTITIES, json=body, headers=key())).json()["entity_id"]
        for version in (1, 2):
            changed = {"title": f"{MARK} {version}"}
            await owner.patch(f"{ENTITIES}/{entity_id}", json=changed, headers=at(version))
        url = f"{ENTITIES}/{entity_id}/versions"
        page = (await owner.get(url, params={"limit": 1})).json()
    follow = {"limit": 100, "cursor": page["next_cursor"]}

    async with client_of(guild.app, USER, principal="other") as user:
        hidden = await user.get(url, params=follow)
    async with client_of(guild.app, guild=OTHER_GUILD, principal="owner") as stranger:
        foreign = await stranger.get(url, params=follow)

    assert [hidden.status_code, foreign.status_code] == [404, 404]


async def test_replays_timers_and_subscriptions_are_of_their_guild(
    guild: Answering,
) -> None:
    async with client_of(guild.app, ELDER, BUS_GUILD) as elder:
        await elder.put(f"{API}/subscriptions/orders", json={"sink": {"kind": "pull"}})
        replay = (
            await elder.post(
                f"{API}/replays",
                json={"subscription": "orders", "begin": "beginning", "end": "end"},
                headers=key(),
            )
        ).json()
        timer = (await elder.post(f"{API}/timers", json=BODIES["timers"], headers=key())).json()
    missing = {
        "GET subscriptions/orders": None,
        "POST subscriptions/orders:pause": None,
        "POST subscriptions/orders:pull": {"max_events": 1},
        f"GET replays/{replay['replay_id']}": None,
        f"POST replays/{replay['replay_id']}:cancel": None,
        f"GET timers/{timer['timer_id']}": None,
        f"POST timers/{timer['timer_id']}:cancel": None,
    }

    async with client_of(guild.app, ELDER, OTHER_GUILD) as stranger:
        lists = [
            await stranger.get(f"{API}/{name}") for name in ("replays", "subscriptions", "timers")
        ]
        refused = [
            await stranger.request(route.split()[0], f"{API}/{route.split()[1]}", json=body)
            for route, body in missing.items()
        ]

    assert [answer.json()["items"] for answer in lists] == [[], [], []]
    assert [answer.status_code for answer in refused] == [404] * len(missing)
    assert all(MARK not in answer.text for answer in (*lists, *refused))


async def test_x16_what_one_has_read_is_not_kept_for_who_may_not(guild: Answering) -> None:
    async with client_of(guild.app, principal="owner") as owner:
        body = {
            "title": f"the secret {MARK}",
            "content": f"the secret {MARK} is kept in the cellar",
            "category_id": "general",
            "access_level": "private",
        }
        entity = (await owner.post(ENTITIES, json=body, headers=key())).json()
        url = f"{ENTITIES}/{entity['entity_id']}"
        question = {"question": f"where is the secret {MARK} kept"}
        warmed = [await owner.get(url) for _ in range(3)]
        await owner.post(f"{API}/rag/query", json=question)

        others = []
        for permissions, guild_id in ((USER, GUILD), (USER, OTHER_GUILD), (ELDER, OTHER_GUILD)):
            async with client_of(guild.app, permissions, guild_id, "other") as other:
                others.append(await other.get(url))
                answer = await other.post(f"{API}/rag/query", json=question)
                assert "cellar" not in answer.text
        moved = await owner.patch(url, json={"title": "moved"}, headers=at(1))
        seen = await owner.get(url)

    assert [one.status_code for one in warmed] == [200] * 3
    assert [one.status_code for one in others] == [404] * 3
    assert moved.status_code == 200
    assert (seen.json()["title"], seen.headers["etag"]) == ("moved", '"2"')


async def test_x16_an_update_is_found_at_once_by_who_was_told_of_it(guild: Answering) -> None:
    document = {"external_id": "page", "content": "The pump is blue."}
    search = {"query": "the pump is", "mode": "lexical", "filters": {"types": ["document"]}}
    async with client_of(guild.app) as client:
        await client.post(f"{API}/rag/documents", json=document, headers=key())
        await guild.settle()
        await client.post(f"{API}/rag/search", json=search)  # warms whatever there is
        red = document | {"content": "The pump is red."}
        await client.post(f"{API}/rag/documents", json=red, headers=key())
        told = str(await guild.log.end())
        await guild.settle()

        found = await client.post(f"{API}/rag/search", json=search | {"min_position": told})

    assert found.status_code == 200
    texts = [hit["text"] for hit in found.json()["hits"]]
    assert "The pump is red." in texts
    assert "The pump is blue." not in texts
