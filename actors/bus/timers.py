"""Timers that a guild sets for itself."""

from datetime import datetime, timedelta

import orjson

from actors import checks, clock
from actors.bus.messages import CancelTimer, GetTimer, ListTimers, SetTimer, Timer, TimerPage
from actors.bus.timers_store import TimerStore
from actors.errors import InvalidTransition, NotAuthorized, NotFound, ValidationError
from actors.runtime.message import GuildId, Handlers, Permission
from actors.settings import BusSettings
from actors.storage import cron
from actors.storage.timers import NewTimer

_NAME_MAX = 200
_STATES = frozenset({"pending", "fired", "cancelled"})
_SAGES = "sage."
"""How the principals begin on whose behalf sages act by themselves."""


class TimerDesk:
    """Sets, shows and cancels timers; the router fires them."""

    def __init__(
        self,
        store: TimerStore,
        settings: BusSettings,
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
            SetTimer: self.set,
            CancelTimer: self.cancel,
            GetTimer: self.get,
            ListTimers: self.page,
        }

    async def set(self, command: SetTimer) -> Timer:
        """A new timer."""
        timer = new_timer(command, self._settings, self._new_id("timer"), self._now())
        return await self._store.set(timer, command, self._settings.max_timers)

    async def cancel(self, command: CancelTimer) -> Timer:
        """One that waits no more. Those that a sage has set are an administrator's to cancel."""
        caller = command.context.caller
        timer = await self._timer(caller.guild_id, command.timer_id)
        if timer.created_by.startswith(_SAGES) and not caller.may(Permission.ADMIN):
            raise NotAuthorized(Permission.ADMIN)
        match timer.state:
            case "pending":
                return await self._store.cancel(command)
            case "cancelled":
                return timer
            case "fired":
                raise InvalidTransition("timer", timer.state, "cancelled")

    async def get(self, query: GetTimer) -> Timer:
        """One timer."""
        return await self._timer(query.context.caller.guild_id, query.timer_id)

    async def page(self, query: ListTimers) -> TimerPage:
        """A page, the next due first."""
        if not 1 <= query.limit <= self._settings.max_page:
            raise ValidationError("limit", f"is not between 1 and {self._settings.max_page}")
        if not set(query.states) <= _STATES:
            raise ValidationError("states", "holds a word that is no state")
        return await self._store.page(query)

    async def _timer(self, guild_id: GuildId, timer_id: str) -> Timer:
        found = await self._store.get(guild_id, checks.storable("timer_id", timer_id))
        if found is None:
            raise NotFound("timer", timer_id)
        return found


def new_timer(command: SetTimer, bounds: BusSettings, timer_id: str, now: datetime) -> NewTimer:
    """The timer that a command asks for. Pure.

    A time that has passed already is due at once.

    Raises:
        ValidationError: there is no such time, or too much to remember.
    """
    if (command.due_at is None) == (command.cron is None):
        raise ValidationError("due_at", "or cron must be given, and not both")
    if command.cron is None:
        due_at = _moment(command.due_at, now, bounds)
    else:
        cron.check(command.cron, command.timezone, now, bounds.min_cron_s)
        due_at = cron.next_time(command.cron, command.timezone, now)
    return NewTimer(
        timer_id=timer_id,
        name=checks.text("name", command.name, _NAME_MAX, required=True),
        due_at=due_at,
        cron=command.cron,
        timezone=command.timezone if command.cron is not None else "UTC",
        data=_checked_data(command, bounds),
    )


def _moment(due_at: datetime | None, now: datetime, bounds: BusSettings) -> datetime:
    if due_at is None or due_at.tzinfo is None:
        raise ValidationError("due_at", "is not a moment with an offset")
    if due_at > now + timedelta(days=bounds.max_timer_days):
        raise ValidationError("due_at", f"is more than {bounds.max_timer_days} days ahead")
    return max(due_at, now)


def _checked_data(command: SetTimer, bounds: BusSettings) -> dict[str, object]:
    data = dict(command.data)
    try:
        written = orjson.dumps(data)
    except TypeError as error:
        raise ValidationError("data", "is not a JSON object") from error
    if len(written) > bounds.max_timer_bytes:
        raise ValidationError("data", f"is longer than {bounds.max_timer_bytes} bytes")
    if b"\\u0000" in written:
        raise ValidationError("data", "holds a character that is none")
    return data
