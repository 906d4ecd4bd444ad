"""The Knowledge sage over the memory store: who reads what, versions, and published reviews."""

from dataclasses import replace
from datetime import timedelta

import pytest

from actors.clock import derived_id
from actors.errors import ElderGuildError, NotFound, ValidationError, VersionConflict
from actors.events import IncidentAcknowledged, KnowledgeCreated, KnowledgeUpdated
from actors.knowledge.messages import (
    AccessLevel,
    ChangeStatus,
    CreateCategory,
    DeleteEntity,
    Entity,
    EntityStatus,
    EntitySummary,
    GetEntity,
    ListCategories,
    ListEntities,
    ListVersions,
    RestoreEntity,
    UpdateEntity,
)
from actors.knowledge.sage import KnowledgeSage
from actors.runtime.local import LocalPool
from actors.runtime.message import Context
from actors.settings import KnowledgeSettings
from tests.fixtures.knowledge_builders import (
    GUEST,
    GUILD,
    NOON,
    OTHER_GUILD,
    USER,
    context,
    create_entity,
    delivery,
    key,
    review,
)
from tests.fixtures.knowledge_memory import MemoryKnowledgeStore


@pytest.fixture
def store() -> MemoryKnowledgeStore:
    return MemoryKnowledgeStore()


@pytest.fixture
def pool(store: MemoryKnowledgeStore) -> LocalPool:
    sage = KnowledgeSage(store, KnowledgeSettings(), now=lambda: NOON)
    return LocalPool(sage.handlers(), store)


async def read(
    pool: LocalPool, entity_id: str, version: int | None = None, by: Context | None = None
) -> Entity:
    query = GetEntity(context=by or context(), entity_id=entity_id, version=version)
    return await pool.ask(query)


async def listed(
    pool: LocalPool, by: Context | None = None, **filters: object
) -> tuple[EntitySummary, ...]:
    query = ListEntities(context=by or context(), **filters)  # type: ignore[arg-type]
    return (await pool.ask(query)).entities


async def test_an_edit_is_seen_at_once_and_the_old_version_stays(pool: LocalPool) -> None:
    entity = await pool.ask(create_entity("old"))
    edit = UpdateEntity(
        context=context(),
        command_id=key(),
        entity_id=entity.entity_id,
        expected_version=1,
        title="new",
    )

    await pool.ask(edit)

    assert (await read(pool, entity.entity_id)).title == "new"
    assert (await read(pool, entity.entity_id, 1)).title == "old"
    versions = await pool.ask(ListVersions(context=context(), entity_id=entity.entity_id))
    assert [version.version for version in versions.versions] == [2, 1]
    with pytest.raises(VersionConflict):
        await pool.ask(replace(edit, command_id=key()))


async def test_a_deleted_entity_is_hidden_and_its_versions_are_not(pool: LocalPool) -> None:
    entity = await pool.ask(create_entity())
    user = context("user_x", USER)
    deleted = frozenset({EntityStatus.DELETED})

    await pool.ask(DeleteEntity(context=context(), command_id=key(), entity_id=entity.entity_id))

    with pytest.raises(NotFound):
        await read(pool, entity.entity_id)
    assert await read(pool, entity.entity_id, 1) == entity
    assert await listed(pool) == ()
    assert await listed(pool, user, statuses=deleted) == ()
    assert len(await listed(pool, statuses=deleted)) == 1


async def test_a_restored_entity_is_there_again(pool: LocalPool) -> None:
    entity = await pool.ask(create_entity())
    await pool.ask(DeleteEntity(context=context(), command_id=key(), entity_id=entity.entity_id))

    await pool.ask(RestoreEntity(context=context(), command_id=key(), entity_id=entity.entity_id))

    assert (await read(pool, entity.entity_id)).version == 3


async def test_a_repeated_delete_is_no_error(pool: LocalPool, store: MemoryKnowledgeStore) -> None:
    entity = await pool.ask(create_entity())
    delete = DeleteEntity(context=context(), command_id=key(), entity_id=entity.entity_id)

    await pool.ask(delete)
    await pool.ask(replace(delete, command_id=key()))

    assert len(store.events) == 2


async def test_a_change_of_status_is_told(pool: LocalPool, store: MemoryKnowledgeStore) -> None:
    entity = await pool.ask(create_entity())

    after = await pool.ask(
        ChangeStatus(
            context=context(),
            command_id=key(),
            entity_id=entity.entity_id,
            status=EntityStatus.INACTIVE,
        )
    )

    event = store.events[-1][0]
    assert after.status is EntityStatus.INACTIVE
    assert isinstance(event, KnowledgeUpdated)
    assert event.status == "inactive"


async def test_nobody_reads_or_changes_what_is_not_for_them(pool: LocalPool) -> None:
    private = replace(create_entity(), access_level=AccessLevel.PRIVATE)
    entity = await pool.ask(private)
    stranger = context("user_x", USER)
    edit = UpdateEntity(
        context=stranger,
        command_id=key(),
        entity_id=entity.entity_id,
        expected_version=1,
        title="mine",
    )

    for by in (stranger, context("guest_1", GUEST), context(guild_id=OTHER_GUILD)):
        with pytest.raises(NotFound):
            await read(pool, entity.entity_id, by=by)
        with pytest.raises(NotFound):
            await read(pool, entity.entity_id, 1, by=by)
        assert await listed(pool, by) == ()
    with pytest.raises(NotFound):
        await pool.ask(edit)


async def test_a_version_that_was_private_stays_so(pool: LocalPool) -> None:
    entity = await pool.ask(replace(create_entity(), access_level=AccessLevel.PRIVATE))
    await pool.ask(
        UpdateEntity(
            context=context(),
            command_id=key(),
            entity_id=entity.entity_id,
            expected_version=1,
            access_level=AccessLevel.PUBLIC,
        )
    )
    guest = context("guest_1", GUEST)

    assert (await read(pool, entity.entity_id, by=guest)).version == 2
    with pytest.raises(NotFound):
        await read(pool, entity.entity_id, 1, by=guest)
    page = await pool.ask(ListVersions(context=guest, entity_id=entity.entity_id))
    assert [version.version for version in page.versions] == [2]


async def test_a_guild_uses_the_categories_it_added(pool: LocalPool) -> None:
    add = CreateCategory(
        context=context(), command_id=key(), category_id="disk", name="Disk", parent_id="tools"
    )
    entity = replace(create_entity(), category_id="disk")
    with pytest.raises(ValidationError, match="category_id"):
        await pool.ask(entity)

    await pool.ask(add)
    made = await pool.ask(replace(entity, command_id=key()))

    tree = (await pool.ask(ListCategories(context=context()))).categories
    assert made.category_id == "disk"
    assert len(tree) == 12
    assert [category.category_id for category in tree if not category.built_in] == ["disk"]


async def test_a_published_review_becomes_knowledge(
    pool: LocalPool, store: MemoryKnowledgeStore
) -> None:
    await pool.ask(delivery(review()))

    entity = await store.of_origin(GUILD, "rev_1")
    assert entity is not None
    assert entity.entity_id == derived_id("know", NOON, "rev_1")
    assert (entity.status, entity.category_id) == (EntityStatus.ACTIVE, "troubleshooting")
    assert entity.source_references == ("inc_1", "rev_1")
    assert (entity.author_id, entity.created_by) == ("user_lead", "sage.knowledge")
    event, correlation_id, principal_id = store.events[0]
    assert isinstance(event, KnowledgeCreated)
    assert (event.alert_names, event.labels) == (("DiskFull",), {"service": "store"})
    assert (correlation_id, principal_id) == ("cor_incident", "sage.knowledge")


async def test_a_second_delivery_makes_nothing_twice(
    pool: LocalPool, store: MemoryKnowledgeStore
) -> None:
    command = delivery(review())
    fresh = KnowledgeSage(store, KnowledgeSettings(), now=lambda: NOON)

    await pool.ask(command)
    await pool.ask(command)
    await LocalPool(fresh.handlers()).ask(command)  # a member that remembers nothing

    assert len(await listed(pool)) == 1
    assert len(store.events) == 1


async def test_a_review_published_again_is_a_new_version_of_the_same_entity(
    pool: LocalPool, store: MemoryKnowledgeStore
) -> None:
    await pool.ask(delivery(review()))

    await pool.ask(delivery(review("What we know now"), NOON + timedelta(days=1)))

    entity = await store.of_origin(GUILD, "rev_1")
    assert entity is not None
    assert (entity.version, entity.title) == (2, "What we know now")
    assert entity.entity_id == derived_id("know", NOON, "rev_1")
    assert len(await listed(pool)) == 1


async def test_a_review_whose_entity_was_deleted_stays_deleted(
    pool: LocalPool, store: MemoryKnowledgeStore
) -> None:
    await pool.ask(delivery(review()))
    (entity,) = await listed(pool)
    await pool.ask(DeleteEntity(context=context(), command_id=key(), entity_id=entity.entity_id))

    await pool.ask(delivery(review("Once more")))

    assert await listed(pool) == ()
    assert len(store.events) == 2


async def test_a_review_that_does_not_fit_is_cut_and_never_lost(
    pool: LocalPool, store: MemoryKnowledgeStore
) -> None:
    wide = replace(
        review("t" * 600),
        summary="s" * 2000,
        content=" ",
        tags=tuple(f"tag {index}" for index in range(12)),
    )

    await pool.ask(delivery(wide))

    entity = await store.of_origin(GUILD, "rev_1")
    assert entity is not None
    assert (len(entity.title), len(entity.summary), len(entity.tags)) == (500, 1000, 10)
    assert entity.content == "s" * 2000


async def test_an_event_that_nobody_asked_for_is_a_fault_and_not_a_silence(
    pool: LocalPool,
) -> None:
    with pytest.raises(ElderGuildError):
        await pool.ask(
            delivery(IncidentAcknowledged(incident_id="inc_1", acknowledged_by="user_lead"))
        )


@pytest.mark.parametrize("field", ["category_id", "tag", "author_id"])
async def test_a_list_is_not_filtered_by_what_cannot_be_stored(pool: LocalPool, field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        await listed(pool, None, **{field: "a\x00b"})
