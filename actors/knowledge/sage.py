"""The Knowledge sage: load, decide, commit."""

from dataclasses import replace
from datetime import timedelta

from actors import checks, clock
from actors.events import DeliverEvent, ReviewPublished, StoredEvent
from actors.knowledge.domain import access, categories, entities, reviews
from actors.knowledge.messages import (
    Categories,
    Category,
    ChangeStatus,
    CreateCategory,
    CreateEntity,
    DeleteEntity,
    Entity,
    EntityId,
    EntityPage,
    GetEntity,
    ListCategories,
    ListEntities,
    ListVersions,
    RestoreEntity,
    UpdateEntity,
    VersionPage,
)
from actors.knowledge.store import EntityFilter, KnowledgeStore
from actors.runtime.message import Caller, Command, Context, GuildId, Handlers
from actors.settings import KnowledgeSettings


class KnowledgeSage:
    """Keeps what was learned. Holds no state between messages."""

    def __init__(
        self,
        store: KnowledgeStore,
        settings: KnowledgeSettings,
        now: clock.Now = clock.now,
        new_id: clock.NewId = clock.new_id,
    ) -> None:
        self._store = store
        self._settings = settings
        self._now = now
        self._new_id = new_id

    def handlers(self) -> Handlers:
        """Which method answers which message."""
        return {
            CreateEntity: self.create,
            UpdateEntity: self.update,
            ChangeStatus: self.change_status,
            DeleteEntity: self.delete,
            RestoreEntity: self.restore,
            CreateCategory: self.create_category,
            GetEntity: self.get,
            ListVersions: self.versions,
            ListEntities: self.page,
            ListCategories: self.list_categories,
            DeliverEvent: self.deliver,
        }

    async def create(self, command: CreateEntity) -> Entity:
        """A new entity of the caller."""
        known = await self._categories(_guild(command.context))
        entity_id = EntityId(self._new_id("know"))
        return await self._commit(entities.create(command, entity_id, known, self._now()), command)

    async def update(self, command: UpdateEntity) -> Entity:
        """Its next version."""
        entity = await self._current(command)
        known = await self._categories(_guild(command.context))
        return await self._commit(entities.update(entity, command, known, self._now()), command)

    async def change_status(self, command: ChangeStatus) -> Entity:
        """A step of its life cycle."""
        entity = await self._current(command)
        return await self._commit(entities.change_status(entity, command, self._now()), command)

    async def delete(self, command: DeleteEntity) -> None:
        """It is hidden; its versions stay."""
        entity = await self._seen(command)
        change = entities.delete(entity, command, self._now())
        if change.event is not None:
            await self._store.commit(change, cause=command, reply=None)

    async def restore(self, command: RestoreEntity) -> Entity:
        """It is back."""
        entity = await self._seen(command)
        within = timedelta(days=self._settings.restore_within_days)
        change = entities.restore(entity, command, within, self._now())
        return await self._commit(change, command)

    async def create_category(self, command: CreateCategory) -> Category:
        """A node of the tree."""
        known = await self._categories(_guild(command.context))
        category = categories.create(command, known, self._settings.max_categories)
        await self._store.add_category(category, cause=command, reply=category)
        return category

    async def get(self, query: GetEntity) -> Entity:
        """One version; both the newest one and the one asked for must be open to the caller."""
        guild_id, caller = _guild(query.context), query.context.caller
        newest = await self._store.get(guild_id, query.entity_id)
        if query.version is None:
            return access.current(newest, query.entity_id, caller)
        access.seen(newest, query.entity_id, caller)
        asked = await self._store.get(guild_id, query.entity_id, query.version)
        return access.seen(asked, query.entity_id, caller)

    async def versions(self, query: ListVersions) -> VersionPage:
        """Which versions there are that the caller may read."""
        caller, limit = query.context.caller, checks.page_size(query.limit)
        newest = await self._store.get(caller.guild_id, query.entity_id)
        access.seen(newest, query.entity_id, caller)
        return await self._store.versions(
            caller.guild_id, query.entity_id, access.sight(caller), limit, query.cursor
        )

    async def page(self, query: ListEntities) -> EntityPage:
        """A page of what the caller may read."""
        wanted = EntityFilter(
            sight=access.sight(query.context.caller),
            category_id=checks.sought("category_id", query.category_id),
            tag=checks.sought("tag", query.tag),
            author_id=checks.sought("author_id", query.author_id),
        )
        if query.statuses:
            wanted = replace(wanted, statuses=access.listable(query.statuses, query.context.caller))
        limit = checks.page_size(query.limit)
        return await self._store.page(_guild(query.context), wanted, limit, query.cursor)

    async def list_categories(self, query: ListCategories) -> Categories:
        """The tree, by id."""
        known = await self._categories(_guild(query.context))
        return Categories(categories=tuple(known[name] for name in sorted(known)))

    async def deliver(self, command: DeliverEvent) -> None:
        """What another sage's event means for knowledge; under this sage's own identity."""
        event = command.event
        match event.payload:
            case ReviewPublished() as review:
                existing = await self._store.of_origin(event.guild_id, review.review_id)
                change = reviews.publish(event, review, existing, self._now())
            case _:
                raise LookupError(f"{command.subscription} delivers {event.type}")
        if change.event is not None:
            cause = replace(command, context=_own(event))
            await self._store.commit(change, cause=cause, reply=None)

    async def _commit(self, change: entities.Change, command: Command[Entity]) -> Entity:
        if change.event is not None:
            await self._store.commit(change, cause=command, reply=change.entity)
        return change.entity

    async def _seen(self, command: DeleteEntity | RestoreEntity) -> Entity:
        found = await self._store.get(_guild(command.context), command.entity_id)
        return access.seen(found, command.entity_id, command.context.caller)

    async def _current(self, command: UpdateEntity | ChangeStatus) -> Entity:
        found = await self._store.get(_guild(command.context), command.entity_id)
        return access.current(found, command.entity_id, command.context.caller)

    async def _categories(self, guild_id: GuildId) -> dict[str, Category]:
        own = await self._store.categories(guild_id)
        return {category.category_id: category for category in (*categories.BUILT_IN, *own)}


def _guild(context: Context) -> GuildId:
    return context.caller.guild_id


def _own(event: StoredEvent) -> Context:
    """Work that an event causes is the sage's own, and goes on under the event's correlation."""
    return Context(
        caller=Caller(guild_id=event.guild_id, principal_id=reviews.IDENTITY),
        correlation_id=event.correlation_id,
        causation_id=event.event_id,
    )
