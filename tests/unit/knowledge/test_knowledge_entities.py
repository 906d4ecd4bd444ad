"""An entity, its values and its life cycle."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import (
    InvalidTransition,
    NotAuthorized,
    NotFound,
    ValidationError,
    VersionConflict,
)
from actors.events import KnowledgeCreated, KnowledgeDeleted, KnowledgeUpdated
from actors.knowledge.domain import access, categories, entities
from actors.knowledge.messages import (
    AccessLevel,
    ChangeStatus,
    CreateCategory,
    DeleteEntity,
    Entity,
    EntityId,
    EntityStatus,
    RestoreEntity,
    UpdateEntity,
)
from tests.fixtures.knowledge_builders import (
    ADMIN,
    ELDER,
    GUEST,
    KNOWN,
    NOON,
    USER,
    context,
    create_entity,
    new_entity,
)

LATER = NOON + timedelta(hours=1)
RETENTION = timedelta(days=90)


def update(expected_version: int = 1, **fields: object) -> UpdateEntity:
    return UpdateEntity(
        context=context(),
        command_id="1",
        entity_id="know_1",
        expected_version=expected_version,
        **fields,  # type: ignore[arg-type]
    )


def to_status(status: EntityStatus) -> ChangeStatus:
    return ChangeStatus(context=context(), command_id="1", entity_id="know_1", status=status)  # type: ignore[arg-type]


def deleted(entity: Entity) -> Entity:
    command = DeleteEntity(context=context(), command_id="1", entity_id=entity.entity_id)
    return entities.delete(entity, command, NOON).entity


def test_a_new_entity_belongs_to_its_author_and_its_event_carries_the_text() -> None:
    command = replace(
        create_entity(" Disk is full "), tags=("disk", "disk "), alert_names=("DiskFull",)
    )

    change = entities.create(command, EntityId("know_1"), KNOWN, NOON)

    entity = change.entity
    assert (entity.title, entity.tags, entity.version) == ("Disk is full", ("disk",), 1)
    assert (entity.author_id, entity.owner_id) == ("user_author", "user_author")
    assert entity.quality_score == 0.2
    assert change.event == KnowledgeCreated(
        entity_id="know_1",
        title="Disk is full",
        content=command.content,
        summary="",
        status="active",
        category_id="general",
        access_level="protected",
        tags=("disk",),
        alert_names=("DiskFull",),
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "  \t "),
        ("title", "x" * 501),
        ("title", "a\x00b"),
        ("content", ""),
        ("content", " \n "),
        ("content", "half \udfff"),
        ("content", "é" * (128 * 1024 + 1)),
        ("summary", "x" * 1001),
        ("category_id", "abc\n"),
        ("category_id", "a/b"),
        ("category_id", ""),
        ("category_id", "unheard_of"),
        ("tags", tuple(str(index) for index in range(11))),
        ("keywords", tuple(str(index) for index in range(51))),
        ("relevance_score", 1.01),
        ("confidence_score", float("nan")),
        ("metadata", {"a": float("inf")}),
        ("metadata", {"a": object()}),
        ("metadata", {"a": "b\x00"}),
        ("metadata", {"a": [[[[[[[[1]]]]]]]]}),
        ("metadata", {"a": "x" * 20_000}),
        ("labels", {str(index): "" for index in range(65)}),
    ],
)
def test_impossible_values_are_refused_by_their_field(field: str, value: object) -> None:
    command = replace(create_entity(), **{field: value})  # type: ignore[arg-type]

    with pytest.raises(ValidationError) as refused:
        entities.create(command, EntityId("know_1"), KNOWN, NOON)

    assert refused.value.field == field


def test_plain_json_is_kept_as_metadata() -> None:
    metadata = {"runs": 3, "mean": 0.5, "hosts": ["a", None], "on": True, "by": {"team": "ops"}}
    command = replace(create_entity(), metadata=metadata)

    entity = entities.create(command, EntityId("know_1"), KNOWN, NOON).entity

    assert entity.metadata == metadata


def test_an_update_is_the_next_version_and_leaves_what_is_not_given() -> None:
    entity = new_entity()

    change = entities.update(entity, update(content="y" * 600, tags=("a",)), KNOWN, LATER)

    after = change.entity
    assert (after.version, after.title, after.updated_at) == (2, entity.title, LATER)
    assert after.quality_score == 0.4
    assert isinstance(change.event, KnowledgeUpdated)
    assert change.event.content == "y" * 600


def test_an_update_that_says_what_is_so_makes_no_version() -> None:
    entity = new_entity()

    change = entities.update(entity, update(title=entity.title), KNOWN, LATER)

    assert (change.entity, change.event) == (entity, None)


def test_an_update_of_an_older_version_is_refused() -> None:
    with pytest.raises(VersionConflict):
        entities.update(replace(new_entity(), version=2), update(title="late"), KNOWN, LATER)


def test_only_the_owner_and_admins_say_who_may_read() -> None:
    entity = replace(new_entity(), owner_id="user_other")
    command = update(access_level=AccessLevel.PUBLIC)
    as_admin = replace(command, context=context("user_admin", ADMIN))

    with pytest.raises(NotAuthorized):
        entities.update(entity, command, KNOWN, LATER)

    after = entities.update(entity, as_admin, KNOWN, LATER).entity
    assert after.access_level is AccessLevel.PUBLIC


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (EntityStatus.DRAFT, EntityStatus.ACTIVE),
        (EntityStatus.ACTIVE, EntityStatus.INACTIVE),
        (EntityStatus.INACTIVE, EntityStatus.ACTIVE),
        (EntityStatus.INACTIVE, EntityStatus.ARCHIVED),
    ],
)
def test_the_life_cycle_goes_step_by_step(before: EntityStatus, after: EntityStatus) -> None:
    entity = replace(new_entity(), status=before)

    change = entities.change_status(entity, to_status(after), LATER)

    assert (change.entity.status, change.entity.version) == (after, 2)


def test_a_step_decided_on_an_older_version_is_refused() -> None:
    entity, command = replace(new_entity(), version=2), to_status(EntityStatus.INACTIVE)

    with pytest.raises(VersionConflict):
        entities.change_status(entity, replace(command, expected_version=1), LATER)


@given(
    before=st.sampled_from(sorted(EntityStatus)),
    steps=st.lists(
        st.sampled_from([EntityStatus.ACTIVE, EntityStatus.INACTIVE, EntityStatus.ARCHIVED]),
        max_size=5,
    ),
)
def test_archived_and_deleted_are_left_by_no_step(
    before: EntityStatus, steps: list[EntityStatus]
) -> None:
    entity = replace(new_entity(), status=before)

    for wanted in steps:
        try:
            after = entities.change_status(entity, to_status(wanted), LATER).entity
        except InvalidTransition:
            continue
        assert after == entity or after.version == entity.version + 1
        assert entity.status not in {EntityStatus.ARCHIVED, EntityStatus.DELETED} or after == entity
        entity = after


def test_deleting_hides_at_once_and_a_repeat_changes_nothing() -> None:
    entity = new_entity()
    command = DeleteEntity(context=context(), command_id="1", entity_id=entity.entity_id)

    change = entities.delete(entity, command, LATER)
    again = entities.delete(change.entity, command, LATER)

    gone = change.entity
    assert (gone.status, gone.deleted_at, gone.version) == (EntityStatus.DELETED, LATER, 2)
    assert change.event == KnowledgeDeleted(entity_id=entity.entity_id)
    assert again.event is None


def test_an_elder_restores_within_the_retention_time() -> None:
    gone = deleted(new_entity())
    command = RestoreEntity(context=context(), command_id="1", entity_id=gone.entity_id)
    as_user = replace(command, context=context("user_x", USER))

    back = entities.restore(gone, command, RETENTION, NOON + RETENTION).entity

    assert (back.status, back.deleted_at, back.version) == (EntityStatus.ACTIVE, None, 3)
    assert entities.restore(back, command, RETENTION, LATER).event is None
    with pytest.raises(NotFound):
        entities.restore(gone, command, RETENTION, NOON + RETENTION + timedelta(seconds=1))
    with pytest.raises(NotAuthorized):
        entities.restore(gone, as_user, RETENTION, LATER)


def test_only_what_was_deleted_is_restored() -> None:
    draft = replace(new_entity(), status=EntityStatus.DRAFT)
    command = RestoreEntity(context=context(), command_id="1", entity_id=draft.entity_id)

    with pytest.raises(InvalidTransition):
        entities.restore(draft, command, RETENTION, LATER)


@pytest.mark.parametrize(
    ("level", "readers"),
    [
        (AccessLevel.PUBLIC, {"guest", "user", "owner", "admin"}),
        (AccessLevel.PROTECTED, {"user", "owner", "admin"}),
        (AccessLevel.PRIVATE, {"owner", "admin"}),
        (AccessLevel.RESTRICTED, {"owner", "admin"}),
    ],
)
def test_what_one_may_not_read_is_not_there(level: AccessLevel, readers: set[str]) -> None:
    entity = replace(new_entity(), access_level=level, owner_id="owner")
    permissions = {"guest": GUEST, "user": USER, "owner": ELDER, "admin": ADMIN}

    found = set()
    for name, held in permissions.items():
        try:
            access.seen(entity, entity.entity_id, context(name, held).caller)
        except NotFound:
            continue
        found.add(name)

    assert found == readers


def test_the_default_categories_are_there_and_a_guild_adds_below_them() -> None:
    command = CreateCategory(
        context=context(), command_id="1", category_id="disk-io", name=" Disk ", parent_id="tools"
    )

    category = categories.create(command, KNOWN, 20)

    assert (category.name, category.parent_id, category.built_in) == ("Disk", "tools", False)
    assert len(KNOWN) == 11


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("category_id", "abc\n"),
        ("category_id", "a/b"),
        ("category_id", "x" * 65),
        ("category_id", "general"),
        ("parent_id", "nowhere"),
        ("name", "  "),
    ],
)
def test_impossible_categories_are_refused(field: str, value: str) -> None:
    command = CreateCategory(context=context(), command_id="1", category_id="disk", name="Disk")

    with pytest.raises(ValidationError) as refused:
        categories.create(replace(command, **{field: value}), KNOWN, 20)  # type: ignore[arg-type]

    assert refused.value.field == field


def test_a_guild_has_a_bounded_number_of_categories() -> None:
    command = CreateCategory(context=context(), command_id="1", category_id="disk", name="Disk")

    with pytest.raises(ValidationError, match="at most"):
        categories.create(command, KNOWN, len(KNOWN))
