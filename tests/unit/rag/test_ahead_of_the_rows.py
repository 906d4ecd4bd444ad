"""The log is read before its events are projected: older rows never win over what it said."""

from collections.abc import AsyncIterator

import pytest

from actors import events
from actors.events import Payload, StoredEvent
from actors.rag.messages import Search, SearchHits
from actors.runtime.message import Position
from actors.settings import IndexSettings
from tests.fixtures.rag_builders import (
    GUILD,
    OTHER_GUILD,
    context,
    delivery,
    incident_created,
    review,
    task_created,
)
from tests.fixtures.rag_members import MemberOfMany, MemoryPeers
from tests.fixtures.rag_memory import MemoryLog, MemoryRagStore, WordEmbedder

SETTINGS = IndexSettings(chunk_max_words=20, position_wait_s=0.01, max_removals=9, max_ahead=3)
TASK, INCIDENT, REVIEW = "task_1", "inc_1", "know_1"


class World:
    """One member whose log is read; the test says when an event is projected."""

    def __init__(self) -> None:
        self.log = MemoryLog()
        self.store = MemoryRagStore(self.log)
        self.member = self.new_member()

    def new_member(self) -> MemberOfMany:
        return MemberOfMany(
            "rag/1/0", MemoryPeers(), self.store, self.log, WordEmbedder(), SETTINGS
        )

    async def restart(self) -> None:
        await self.member.library.close()
        self.member = self.new_member()
        await self.member.join()

    def happened(self, source_id: str, version: int, payload: Payload) -> StoredEvent:
        self.log.append(GUILD, source_id, version, payload)
        return self.log.events[-1]

    async def read(self, source_id: str, version: int, payload: Payload) -> StoredEvent:
        event = self.happened(source_id, version, payload)
        await self.member.catch_up()
        return event

    async def project(self, event: StoredEvent) -> None:
        await self.member.pool.ask(delivery(event))
        await self.member.catch_up()

    async def search(self, text: str, min_position: Position | None = None) -> SearchHits:
        return await self.member.pool.ask(
            Search(context=context(), text=text, min_position=min_position)
        )

    async def found(self, text: str, min_position: Position | None = None) -> list[tuple[str, int]]:
        return [(hit.id, hit.version) for hit in (await self.search(text, min_position)).hits]


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    await made.member.join()
    yield made
    await made.member.library.close()


def deleted() -> Payload:
    return events.TaskDeleted(task_id=TASK)


def updated(status: str = "active") -> Payload:
    return events.KnowledgeUpdated(
        entity_id=REVIEW,
        title="Review: the store ran out of space",
        content="Log rotation was off after the last upgrade.",
        summary="",
        status=status,
        category_id="troubleshooting",
    )


async def test_what_was_deleted_does_not_come_back_with_an_older_row(world: World) -> None:
    created = await world.read(TASK, 1, task_created())
    gone = await world.read(TASK, 2, deleted())

    await world.project(created)
    after_the_row = await world.found("grow the volume")
    await world.project(gone)

    assert after_the_row == await world.found("grow the volume") == []


async def test_what_was_deleted_before_any_row_of_it_is_gone(world: World) -> None:
    await world.read(TASK, 1, task_created())
    await world.read(TASK, 2, deleted())

    assert await world.found("grow the volume") == []


async def test_what_was_deleted_when_its_row_was_there_stays_away_when_that_is_embedded(
    world: World,
) -> None:
    created = await world.read(TASK, 1, task_created())
    await world.project(created)
    await world.read(TASK, 2, deleted())

    await world.member.embed(GUILD)
    await world.member.catch_up()

    assert await world.found("grow the volume") == []


async def test_what_was_deleted_out_of_turn_does_not_come_back_when_its_turn_comes(
    world: World,
) -> None:
    world.happened(TASK, 1, task_created())
    for note in range(SETTINGS.tail_batch):
        world.log.append(OTHER_GUILD, f"custom_{note}", 1, events.CustomEvent(name="n", data="{}"))
    gone = world.happened(TASK, 2, deleted())

    out_of_turn = await world.found("grow the volume", gone.position)
    await world.member.library.catch_up()  # the first page, with the creation alone
    in_between = await world.found("grow the volume")

    assert world.member.library.position is not None
    assert world.member.library.position < gone.position
    assert out_of_turn == in_between == []


async def test_a_source_that_comes_back_is_found_again(world: World) -> None:
    created = await world.read(REVIEW, 1, review())
    archived = await world.read(REVIEW, 2, updated(status="archived"))
    while_away = await world.found("log rotation")
    back = await world.read(REVIEW, 3, updated())
    before_any_row = await world.found("log rotation")
    seen = []

    for event in (created, archived, back):
        await world.project(event)
        seen.append(await world.found("log rotation"))

    assert while_away == []
    assert before_any_row == [(REVIEW, 3)]
    assert seen == [[(REVIEW, 3)]] * 3


async def test_a_change_is_applied_to_what_was_read_and_not_stored_yet(world: World) -> None:
    created = await world.read(INCIDENT, 1, incident_created())
    resolved = await world.read(INCIDENT, 2, resolution())

    early = await world.found("rotation switched on")
    await world.project(created)
    with_the_older_row = await world.found("rotation switched on")
    await world.project(resolved)

    assert early == with_the_older_row == [(INCIDENT, 2)]
    assert await world.found("rotation switched on") == [(INCIDENT, 2)]
    assert await world.member.library.verify(GUILD)


def resolution() -> Payload:
    return events.IncidentResolved(
        incident_id=INCIDENT,
        title="The store's disk was full",
        resolution="Rotation was switched on.",
        root_cause="",
        resolved_by="usr_1",
        severity="high",
        labels={},
    )


async def test_more_removals_than_are_remembered_are_said_and_forgotten_when_stored(
    world: World,
) -> None:
    pending = []
    for number in range(SETTINGS.max_removals + 1):
        task_id = f"task_{number}"
        pending.append(await world.read(task_id, 1, task_created(task_id)))
        pending.append(await world.read(task_id, 2, events.TaskDeleted(task_id=task_id)))
    too_many = await world.search("grow the volume")

    for event in pending:
        await world.project(event)

    assert too_many.stale
    after = await world.search("grow the volume")
    assert (after.stale, after.hits) == (False, ())


async def test_what_was_deleted_and_never_known_is_forgotten_when_the_projection_is_past_it(
    world: World,
) -> None:
    for number in range(SETTINGS.max_removals + 1):
        task_id = f"task_{number}"
        last = await world.read(task_id, 2, events.TaskDeleted(task_id=task_id))
    too_many = await world.search("grow the volume")

    world.log.projected = last.position
    await world.member.catch_up()

    assert too_many.stale
    assert not (await world.search("grow the volume")).stale


async def test_what_was_deleted_is_remembered_as_long_as_its_row_may_come(world: World) -> None:
    created = await world.read(TASK, 1, task_created())
    await world.read(TASK, 2, deleted())
    for number in range(SETTINGS.max_removals - 1):
        other = f"other_{number}"
        await world.read(other, 2, events.TaskDeleted(task_id=other))

    world.log.projected = created.position
    await world.project(created)

    assert await world.found("grow the volume") == []


async def test_what_was_deleted_and_not_stored_yet_stays_away_after_a_restart(
    world: World,
) -> None:
    created = await world.read(TASK, 1, task_created())
    await world.project(created)
    await world.read(TASK, 2, deleted())
    world.log.projected = created.position

    await world.restart()
    before_the_tail = await world.found("grow the volume")
    await world.member.catch_up()

    assert before_the_tail == await world.found("grow the volume") == []


async def test_a_restart_reads_nothing_again_where_nothing_was_deleted(world: World) -> None:
    created = await world.read(TASK, 1, task_created())
    await world.project(created)
    await world.read(REVIEW, 1, review())
    world.log.projected = created.position

    await world.restart()

    assert world.member.library.position == await world.log.end()
