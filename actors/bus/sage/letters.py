"""Dead letters: look, deliver again, or be done with them."""

from collections.abc import Callable
from dataclasses import replace

from actors import checks
from actors.bus.domain.sight import Sight
from actors.bus.messages import (
    DeadLetterPage,
    DiscardDeadLetters,
    ListDeadLetters,
    RedriveDeadLetters,
)
from actors.bus.store import DeadLetterStore
from actors.errors import ValidationError
from actors.runtime.message import Handlers
from actors.settings import BusSettings

_STATES = frozenset({"waiting", "requested", "redriven", "discarded"})
_NAME = 200


class DeadLetterSage:
    """Marks; the router delivers. Who asked, and when, stays with each letter."""

    def __init__(
        self,
        store: DeadLetterStore,
        settings: BusSettings,
        *,
        nudge: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._settings = settings
        self._nudge = nudge

    def handlers(self) -> Handlers:
        """Which method answers which message."""
        return {
            ListDeadLetters: self.page,
            RedriveDeadLetters: self.redrive,
            DiscardDeadLetters: self.discard,
        }

    async def page(self, query: ListDeadLetters) -> DeadLetterPage:
        """Some of them, newest first; without the events that the caller may not see."""
        checks.page_size(query.limit)
        checks.sought("subscription", query.subscription)
        if not query.states or not _STATES.issuperset(query.states):
            raise ValidationError("states", f"are not some of {', '.join(sorted(_STATES))}")
        page = await self._store.page(query)
        sight = Sight(query.context.caller)
        letters = tuple(
            one if one.event is None or sight.includes(one.event) else replace(one, event=None)
            for one in page.dead_letters
        )
        return replace(page, dead_letters=letters)

    async def redrive(self, command: RedriveDeadLetters) -> int:
        """How many will be delivered once more."""
        checks.text("subscription", command.subscription, _NAME, required=True)
        self._check_ids(command.event_ids)
        number = await self._store.redrive(
            command.subscription, command.event_ids, self._settings.max_redrive, cause=command
        )
        if number:
            self._nudge()
        return number

    async def discard(self, command: DiscardDeadLetters) -> int:
        """How many nobody will deliver any more."""
        checks.text("subscription", command.subscription, _NAME, required=True)
        self._check_ids(command.event_ids)
        if not command.event_ids:
            raise ValidationError("event_ids", "are not given: name what is discarded")
        return await self._store.discard(command.subscription, command.event_ids, cause=command)

    def _check_ids(self, event_ids: tuple[str, ...]) -> None:
        if len(event_ids) > self._settings.max_redrive:
            raise ValidationError("event_ids", f"are more than {self._settings.max_redrive}")
        for index, event_id in enumerate(event_ids):
            checks.text(f"event_ids[{index}]", event_id, _NAME, required=True)
