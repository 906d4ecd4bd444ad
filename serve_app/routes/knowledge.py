"""What the guild has learned."""

from typing import Annotated

from fastapi import Path, Query
from fastapi.responses import Response

from actors.knowledge.messages import (
    DeleteEntity,
    Entity,
    GetEntity,
    ListCategories,
    ListVersions,
    RestoreEntity,
)
from actors.runtime.message import Command
from serve_app.access import API
from serve_app.call import Call, Current
from serve_app.ids import EntityPath
from serve_app.route import new_router
from serve_app.schemas.common import Paging
from serve_app.schemas.knowledge import (
    CategoriesView,
    CategoryIn,
    CategoryView,
    EntitiesView,
    EntityFilter,
    EntityIn,
    EntityPatch,
    EntityView,
    StatusIn,
    VersionsView,
)

router = new_router()
_ALL = f"{API}/knowledge/entities"
_ONE = f"{API}/knowledge/entities/{{entity_id}}"
_CATEGORIES = f"{API}/knowledge/categories"


async def _change(call: Call, command: Command[Entity], status: int = 200) -> Response:
    """Sends a command that answers the entity."""
    outcome = await call.tell("knowledge", command)
    entity = outcome.unwrap()
    return call.reply(
        EntityView.model_validate(entity),
        status=status,
        version=entity.version,
        position=outcome.position,
        headers={"Location": f"{_ALL}/{entity.entity_id}"} if status == 201 else None,
    )


@router.get(_ALL, response_model=EntitiesView)
async def list_entities(call: Current, which: Annotated[EntityFilter, Query()]) -> Response:
    """Lists the entities that the caller may read, newest first."""
    page = await call.ask("knowledge", which.to_message(call.context))
    return call.page(EntitiesView.model_validate(page), _ALL, page.next_cursor)


@router.post(_ALL, response_model=EntityView, status_code=201)
async def create_entity(call: Current, body: EntityIn) -> Response:
    """Writes something down."""
    return await _change(call, body.to_message(call.origin), 201)


@router.get(_ONE, response_model=EntityView)
async def get_entity(call: Current, entity_id: EntityPath) -> Response:
    """Reads an entity."""
    entity = await call.ask("knowledge", GetEntity(context=call.context, entity_id=entity_id))
    return call.reply(EntityView.model_validate(entity), version=entity.version)


@router.patch(_ONE, response_model=EntityView)
async def update_entity(call: Current, entity_id: EntityPath, body: EntityPatch) -> Response:
    """Writes the next version."""
    return await _change(call, body.to_message(call.origin, entity_id, call.version))


@router.delete(_ONE, status_code=204)
async def delete_entity(call: Current, entity_id: EntityPath) -> Response:
    """Hides an entity from every list and search; its versions stay."""
    command = DeleteEntity(**call.origin, entity_id=entity_id, expected_version=call.version)
    outcome = await call.tell("knowledge", command)
    return call.empty(outcome.position)


@router.post(_ONE + ":change-status", response_model=EntityView)
async def change_status(call: Current, entity_id: EntityPath, body: StatusIn) -> Response:
    """Takes one step of the life cycle."""
    return await _change(call, body.to_message(call.origin, entity_id, call.expected_version))


@router.post(_ONE + ":restore", response_model=EntityView)
async def restore_entity(call: Current, entity_id: EntityPath) -> Response:
    """Makes a deleted entity active again."""
    return await _change(call, RestoreEntity(**call.origin, entity_id=entity_id))


@router.get(_ONE + "/versions", response_model=VersionsView)
async def list_versions(
    call: Current, entity_id: EntityPath, which: Annotated[Paging, Query()]
) -> Response:
    """Lists an entity's versions, newest first."""
    query = ListVersions(
        context=call.context, entity_id=entity_id, limit=which.limit, cursor=which.cursor
    )
    page = await call.ask("knowledge", query)
    path = f"{_ALL}/{entity_id}/versions"
    return call.page(VersionsView.model_validate(page), path, page.next_cursor)


@router.get(_ONE + "/versions/{version}", response_model=EntityView)
async def get_version(
    call: Current, entity_id: EntityPath, version: Annotated[int, Path(ge=1, le=2**31 - 1)]
) -> Response:
    """Reads an entity as it was."""
    query = GetEntity(context=call.context, entity_id=entity_id, version=version)
    entity = await call.ask("knowledge", query)
    return call.reply(EntityView.model_validate(entity), version=entity.version)


@router.get(_CATEGORIES, response_model=CategoriesView)
async def list_categories(call: Current) -> Response:
    """Reads the category tree."""
    categories = await call.ask("knowledge", ListCategories(context=call.context))
    return call.reply(CategoriesView.model_validate(categories))


@router.post(_CATEGORIES, response_model=CategoryView, status_code=201)
async def create_category(call: Current, body: CategoryIn) -> Response:
    """Adds a node to the category tree."""
    outcome = await call.tell("knowledge", body.to_message(call.origin))
    view = CategoryView.model_validate(outcome.unwrap())
    return call.reply(view, status=201, position=outcome.position)
