"""Publishing: check, wait for the commit, answer."""

from actors import clock, metrics
from actors.bus.domain import publishing
from actors.bus.messages import Published, PublishEvents
from actors.bus.store import PublishingStore
from actors.runtime import scope, tracing
from actors.runtime.message import Handlers
from actors.settings import BusSettings
from actors.storage.group_commit import GroupCommit, GroupLimits


class PublishingSage:
    """Takes events from outside. Holds only what waits for its commit."""

    def __init__(
        self,
        store: PublishingStore,
        settings: BusSettings,
        now: clock.Now = clock.now,
        new_ids: clock.NewIds = clock.new_ids,
    ) -> None:
        self._settings = settings
        self._now = now
        self._new_ids = new_ids
        self._groups = GroupCommit[publishing.Line, Published](store.append, limits(settings))

    def handlers(self) -> Handlers:
        """Which method answers which message."""
        return {PublishEvents: self.publish}

    async def publish(self, command: PublishEvents) -> tuple[Published, ...]:
        """Acknowledges what is committed; a repeat is recognised by the events' own identity."""
        lines = publishing.lines(command, self._settings, self._now(), self._new_ids)
        guild_id = command.context.caller.guild_id
        published = await self._groups.add(guild_id, lines, publishing.size_of(lines))
        scope.note_position(max(one.position for one in published))
        fresh: dict[str, int] = {}
        for line, one in zip(lines, published, strict=True):
            if not one.duplicate:
                name = publishing.label(line.type)
                fresh[name] = fresh.get(name, 0) + 1
                tracing.published(one.event_id, name, line.correlation_id)
        for name, number in fresh.items():
            metrics.EVENTS_PUBLISHED.labels(name).inc(number)
        return tuple(published)


def limits(settings: BusSettings) -> GroupLimits:
    """Bounds of the commits that publishers share."""
    return GroupLimits(
        what="publishing",
        items=settings.group_events,
        size_bytes=settings.group_bytes,
        in_flight=settings.groups_in_flight,
        patience_s=settings.group_patience_s,
        waiting=settings.max_waiting_events,
        attempts=settings.publish_attempts,
        retry_after_s=settings.retry_after_s,
        waiting_bytes=settings.max_waiting_bytes,
    )
