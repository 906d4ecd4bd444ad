"""A guild learns how much meaning shall weigh, from what is said of its searches."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

import pytest

from actors.errors import DependencyUnavailable, NotFound, ValidationError
from actors.events import IncidentResolved
from actors.rag.messages import (
    Filters,
    ForgetFeedback,
    GetLearntWeight,
    GiveFeedback,
    LearntWeight,
    Search,
)
from actors.runtime.message import GuildId
from actors.settings import IndexSettings
from actors.storage.inbox import AlreadyHandled
from tests.fixtures.feedback_memory import MemoryFeedbackStore
from tests.fixtures.rag_builders import (
    GUILD,
    OTHER_GUILD,
    context,
    delivery,
    event,
    incident_created,
    number,
)
from tests.fixtures.rag_members import MemberOfMany, MemoryPeers
from tests.fixtures.reembedding_contract import TARGET, switch_model
from tests.fixtures.reembedding_memory import MemoryReembeddingStore
from tests.fixtures.two_legs import DOCUMENTS, TopicEmbedder, document, question

TAUGHT = range(15)
HELD_OUT = range(15, DOCUMENTS)


@dataclass(frozen=True, slots=True)
class World:
    """Members of one pool, the first of which is asked."""

    members: Sequence[MemberOfMany]
    store: MemoryReembeddingStore
    said: MemoryFeedbackStore
    embedder: TopicEmbedder
    ids: dict[int, str]

    @property
    def first(self) -> MemberOfMany:
        return self.members[0]

    async def ranks(self, topics: Sequence[int], *, member: int = 0) -> list[int]:
        """Where the document of each topic stands when it is asked for."""
        found = []
        for topic in topics:
            query = Search(context=context(), text=question(topic))
            hits = await self.members[member].pool.ask(query)
            found.append([hit.id for hit in hits.hits].index(self.ids[topic]) + 1)
        return found

    async def teach(self, topics: Sequence[int], *, relevant: bool = True, of: int = 0) -> None:
        """Says of the documents ``of`` topics behind whether they answer the question."""
        for topic in topics:
            await self.first.pool.ask(
                feedback(topic, self.ids[(topic + of) % DOCUMENTS], relevant=relevant)
            )
        for member in self.members:
            await member.catch_up()

    async def weight(self, guild_id: GuildId = GUILD) -> LearntWeight:
        return await self.first.pool.ask(GetLearntWeight(context=context(guild_id)))


async def world_of(settings: IndexSettings, *names: str) -> World:
    peers, store, embedder = MemoryPeers(), MemoryReembeddingStore(), TopicEmbedder()
    said = MemoryFeedbackStore(store)
    members = [
        MemberOfMany(
            name, peers, store, store.log, embedder, settings, members=names, feedback=said
        )
        for name in names
    ]
    for member in members:
        await member.join()
    ids = {}
    for topic in range(DOCUMENTS):
        ids[topic] = (await members[0].pool.ask(document(topic))).document_id
    for member in members:
        await member.catch_up()
        await member.embed(GUILD)
    for member in members:
        await member.catch_up()
    return World(members, store, said, embedder, ids)


@pytest.fixture(params=["whole", "in shards"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    settings = IndexSettings()
    if request.param == "in shards":
        settings = IndexSettings(shards=3, replicas=1, gather_timeout_s=30)
    made = await world_of(settings, "rag-0", "rag-1")
    yield made
    for member in made.members:
        await member.library.close()


def feedback(topic: int, source_id: str, *, relevant: bool = True) -> GiveFeedback:
    return GiveFeedback(
        context=context(),
        command_id=f"cmd_{number()}",
        query=question(topic),
        source_id=source_id,
        relevant=relevant,
    )


def resolved(incident_id: str, *helped: str) -> IncidentResolved:
    return IncidentResolved(
        incident_id=incident_id,
        title=question(3),
        resolution="Done.",
        root_cause="",
        resolved_by="usr_1",
        severity="high",
        labels={},
        helped=helped,
    )


async def test_what_was_never_asked_is_found_better_after_feedback(world: World) -> None:
    before = await world.ranks(HELD_OUT)

    await world.teach(TAUGHT)

    after = await world.weight()
    assert set(before) == {2}
    assert set(await world.ranks(HELD_OUT)) == {1}
    assert (after.bias, after.feedbacks) == (0.5, len(TAUGHT))
    assert after.even_share == pytest.approx(0.6225, abs=1e-4)


async def test_a_few_words_change_nothing(world: World) -> None:
    await world.teach(range(9))

    assert (await world.weight()).bias == 0
    assert set(await world.ranks(HELD_OUT)) == {2}


async def test_each_member_has_learnt_the_same_and_who_starts_later_too(world: World) -> None:
    await world.teach(TAUGHT)
    await world.first.library.load()

    biases = [member.library.weights.bias(GUILD) for member in world.members]

    assert biases == [0.5, 0.5]
    assert set(await world.ranks(HELD_OUT, member=1)) == {1}


async def test_a_search_that_must_know_the_feedback_is_weighed_with_it(world: World) -> None:
    for topic in TAUGHT:
        await world.first.pool.ask(feedback(topic, world.ids[topic]))
    position = await world.store.log.end()

    found = [
        await member.pool.ask(
            Search(context=context(), text=question(20), min_position=position, wait_s=0.01)
        )
        for member in world.members
    ]

    assert [hits.hits[0].id for hits in found] == [world.ids[20]] * 2
    assert [hits.dense_weight for hits in found] == [pytest.approx(0.6225, abs=1e-4)] * 2


async def test_with_another_model_a_guild_begins_anew(world: World) -> None:
    await world.teach(TAUGHT)

    await world.store.switch(switch_model(), TARGET, 1_000)
    await world.first.catch_up()
    await world.first.library.settled()

    assert world.first.library.weights.bias(GUILD) == 0
    assert (await world.weight()).feedbacks == 0


async def test_what_was_said_to_be_no_answer_sinks(world: World) -> None:
    await world.teach(range(25), relevant=False, of=1)

    assert (await world.weight()).bias > 0


async def test_saying_it_again_does_not_make_it_truer(world: World) -> None:
    for _ in range(20):
        await world.teach(range(3))

    weight = await world.weight()
    assert (weight.bias, weight.feedbacks) == (0, 3)


async def test_what_was_learnt_can_be_forgotten(world: World) -> None:
    await world.teach(TAUGHT)

    forgotten = await world.first.pool.ask(
        ForgetFeedback(context=context(), command_id=f"cmd_{number()}")
    )
    for member in world.members:
        await member.catch_up()

    assert forgotten == await world.weight()
    assert (forgotten.bias, forgotten.feedbacks, forgotten.since) == (0, 0, None)
    assert set(await world.ranks(HELD_OUT)) == {2}


async def test_another_guild_learns_nothing_from_it(world: World) -> None:
    await world.teach(TAUGHT)

    assert await world.weight(OTHER_GUILD) == LearntWeight(
        bias=0.0, even_share=0.5, feedbacks=0, since=None
    )
    assert world.first.library.weights.bias(OTHER_GUILD) == 0


async def test_feedback_of_what_search_does_not_know_is_refused(world: World) -> None:
    with pytest.raises(NotFound):
        await world.first.pool.ask(feedback(1, "doc_unknown"))

    with pytest.raises(ValidationError):
        await world.first.pool.ask(replace(feedback(1, world.ids[1]), query=" "))

    assert (await world.weight()).feedbacks == 0


async def test_without_an_embedder_nothing_can_be_learnt(world: World) -> None:
    world.embedder.away = True

    with pytest.raises(DependencyUnavailable):
        await world.first.pool.ask(feedback(1, world.ids[1]))

    assert (await world.weight()).feedbacks == 0


async def test_a_source_that_the_filters_leave_out_says_nothing(world: World) -> None:
    outside = Filters(kinds=frozenset({"runbook"}))

    for topic in TAUGHT:
        await world.first.pool.ask(replace(feedback(topic, world.ids[topic]), filters=outside))

    weight = await world.weight()
    assert (weight.bias, weight.feedbacks) == (0, len(TAUGHT))


async def test_what_helped_to_resolve_an_incident_is_learnt_from_once(world: World) -> None:
    created = event(incident_created("inc_1", title=question(3)), "inc_1", 1)
    await world.first.pool.ask(delivery(created))
    ended = event(resolved("inc_1", world.ids[3], "doc_gone"), "inc_1", 2)
    heard = replace(delivery(ended), subscription="rag.outcomes", command_id="rag.outcomes/1")

    await world.first.pool.ask(heard)

    assert (await world.weight()).feedbacks == 1
    (kept,) = await world.said.kept(GUILD)
    assert kept.source_id == world.ids[3]
    assert kept.judgement.curve[-1] == 1
    with pytest.raises(AlreadyHandled):
        await world.first.pool.ask(heard)


async def test_an_incident_that_nothing_helped_with_says_nothing(world: World) -> None:
    ended = event(resolved("inc_1"), "inc_1", 2)

    await world.first.pool.ask(replace(delivery(ended), subscription="rag.outcomes"))

    assert (await world.weight()).feedbacks == 0
