"""The loop through HTTP: in order, once, and patient with what fails on the way."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import httpx
import pytest
from rich.console import Console

from cluster.api import Api, ApiProblem, may_repeat, with_client_credentials, with_password
from cluster.demo import judge
from cluster.loop import Step, play_loop
from cluster.story import Story
from tests.unit.demo.fake_guild import OURS, FakeGuild

SILENT = Console(quiet=True)


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    async def at_once(_: float) -> None:
        return None

    monkeypatch.setattr(asyncio, "sleep", at_once)


@pytest.fixture
def guild() -> FakeGuild:
    return FakeGuild()


@pytest.fixture
async def person(guild: FakeGuild) -> AsyncIterator[Api]:
    sign_in = with_password("admin", "secret")
    async with Api("http://guild", sign_in, transport=guild.transport()) as api:
        yield api


@pytest.fixture
async def intake(guild: FakeGuild) -> AsyncIterator[Api]:
    sign_in = with_client_credentials("alertmanager", "secret")
    async with Api("http://guild", sign_in, transport=guild.transport()) as api:
        yield api


def story(instance: str) -> Story:
    return Story(deployment="demo", instance=instance, run_id=instance)


async def test_the_loop_takes_its_steps_in_order(
    guild: FakeGuild, person: Api, intake: Api
) -> None:
    taken: list[str] = []

    async def note(step: Step) -> None:
        taken.append(step.name)

    result = await play_loop(intake, person, story("a"), after=note)

    assert taken == [
        *("alert", "dossier", "tasks", "acknowledge", "assign", "assess", "respond"),
        *("start", "complete", "resolve", "draft", "edit", "publish", "knowledge", "search"),
    ]
    assert [step.name for step in result.steps] == taken
    assert result.task_ids == ("task_1_2", "task_1_1")
    assert result.finished_task_id == "task_1_1"
    assert result.correlated()


async def test_the_second_dossier_shows_the_first_review(person: Api, intake: Api) -> None:
    first = await play_loop(intake, person, story("a"))
    second = await play_loop(intake, person, story("b"))

    assert second.incident_id != first.incident_id
    assert second.rank_of(first.entity_id) == 1
    assert judge([first, second], SILENT)


async def test_a_story_that_was_often_published_is_still_found(person: Api, intake: Api) -> None:
    ids = {(await play_loop(intake, person, story(str(n)), wait_s=0)).entity_id for n in range(25)}

    assert len(ids) == 25


async def test_a_guild_that_does_not_learn_fails_the_demonstration(
    guild: FakeGuild, person: Api, intake: Api
) -> None:
    guild.learns = False

    results = [await play_loop(intake, person, story(name)) for name in "ab"]

    assert not judge(results, SILENT)


async def test_a_foreign_correlation_id_fails_the_demonstration(person: Api, intake: Api) -> None:
    result = await play_loop(intake, person, story("a"))

    mixed = replace(result, correlation_ids=frozenset({result.correlation_id, "cor_other"}))

    assert judge([result], SILENT)
    assert not judge([mixed], SILENT)


async def test_trouble_on_the_way_repeats_requests_and_no_effect(
    guild: FakeGuild, person: Api, intake: Api
) -> None:
    def every_second_one_fails() -> Iterator[httpx.Response | Exception | None]:
        while True:
            yield httpx.ConnectError("refused")
            yield None
            yield httpx.Response(503, headers=OURS)
            yield httpx.Response(404)  # a proxy without routes
            yield None

    guild.trouble = every_second_one_fails()

    result = await play_loop(intake, person, story("a"))

    assert max(step.attempts for step in result.steps) > 1
    assert guild.effects.count("publish incidents/inc_1/review") == 1
    assert len(set(guild.keys)) == len(guild.effects)


async def test_playing_a_story_again_changes_nothing(
    guild: FakeGuild, person: Api, intake: Api
) -> None:
    first = await play_loop(intake, person, story("a"))
    effects = [effect for effect in guild.effects if "search" not in effect]

    second = await play_loop(intake, person, story("a"))

    assert [effect for effect in guild.effects if "search" not in effect] == effects
    assert (second.incident_id, second.entity_id) == (first.incident_id, first.entity_id)


async def test_a_refusal_is_one_sentence_with_its_reason(guild: FakeGuild, person: Api) -> None:
    refusal = httpx.Response(
        409,
        json={"detail": "an incident that is merged cannot become resolved", "errors": []},
        headers={**OURS, "Content-Type": "application/problem+json"},
    )
    guild.trouble = iter([refusal])

    with pytest.raises(ApiProblem, match="409: an incident that is merged") as raised:
        await person.post("/incidents/inc_1:resolve", {})

    assert raised.value.status == 409


async def test_nothing_is_repeated_for_ever(guild: FakeGuild) -> None:
    guild.trouble = iter(lambda: httpx.Response(503, headers=OURS), None)
    sign_in = with_password("admin", "secret")

    async with Api(
        "http://guild", sign_in, patience_s=0.05, transport=guild.transport()
    ) as impatient:
        with pytest.raises(ApiProblem, match=r"no good answer in 0\.05 s"):
            await impatient.get("/incidents/inc_1")


async def test_an_expired_token_is_replaced_once(guild: FakeGuild, person: Api) -> None:
    guild.trouble = iter([httpx.Response(401, headers=OURS)])

    reply = await person.post("/rag/search", {})

    assert reply.attempts == 2


@pytest.mark.parametrize(
    ("response", "again"),
    [
        (httpx.Response(503, headers=OURS), True),
        (httpx.Response(504, headers=OURS), True),
        (httpx.Response(429, headers=OURS), True),
        (httpx.Response(500), True),
        (httpx.Response(404), True),
        (httpx.Response(500, headers=OURS), False),
        (httpx.Response(404, headers=OURS), False),
        (httpx.Response(422, headers=OURS), False),
        (httpx.Response(403), False),
    ],
)
def test_only_what_may_fare_better_is_repeated(response: httpx.Response, again: bool) -> None:
    assert may_repeat(response) is again


def test_the_same_labels_have_the_same_fingerprint_and_others_another() -> None:
    notifications = [story(name).notification() for name in ("a", "a", "b")]

    fingerprints = [one["alerts"][0]["fingerprint"] for one in notifications]

    assert fingerprints[0] == fingerprints[1] != fingerprints[2]
