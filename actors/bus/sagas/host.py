"""Runs sagas: decide, ask the pools, commit; and tells people how they stand."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import structlog

from actors import checks
from actors.bus.messages import GetSaga, ListSagas, Saga, SagaPage
from actors.bus.sagas import engine
from actors.bus.sagas.definition import Definition
from actors.bus.sagas.engine import Accepted, Action, Plan, Refused, SagaState, SagaStatus
from actors.bus.sagas.store import SagaStore
from actors.errors import (
    ElderGuildError,
    InvalidTransition,
    NotFound,
    ValidationError,
    VersionConflict,
)
from actors.events import DeliverEvent, SagaFinished
from actors.runtime import scope
from actors.runtime.message import Handlers
from actors.runtime.pool import Asker
from actors.settings import SagaSettings

_log = structlog.get_logger("elders_guild.bus")
_NO = (ValidationError, InvalidTransition, NotFound)
"""What a sage answers when asking again would not help."""

_OUTCOMES: Mapping[SagaStatus, Literal["completed", "compensated", "failed"]] = {
    SagaStatus.COMPLETED: "completed",
    SagaStatus.COMPENSATED: "compensated",
    SagaStatus.FAILED: "failed",
}


class SagaHost:
    """Handles what the router delivers to sagas, and questions about them.

    A crash between the actions and the commit repeats the actions, whose ids their sages know.
    """

    def __init__(
        self,
        store: SagaStore,
        pool: Callable[[str], Asker],
        settings: SagaSettings,
        definitions: Sequence[Definition],
    ) -> None:
        self._store = store
        self._pool = pool
        self._settings = settings
        self._definitions = {one.subscription: one for one in definitions}

    def handlers(self) -> Handlers:
        """Which method answers which message."""
        return {DeliverEvent: self.deliver, GetSaga: self.get, ListSagas: self.page}

    async def deliver(self, command: DeliverEvent) -> None:
        """Takes one event as far as it leads.

        Raises:
            ElderGuildError: of a sage that could not be asked, or says no and must not; deliver
                again. What was done by then is not done a second time.
        """
        definition = self._definitions.get(command.subscription)
        if definition is None:
            raise LookupError(f"no saga hears {command.subscription}")
        saga_id = definition.saga_id(command.event)
        if saga_id is None:
            return
        results: dict[str, Accepted | Refused] = {}
        for attempt in range(1, self._settings.commit_attempts + 1):
            try:
                await self._advance(definition, saga_id, command, results)
            except VersionConflict:  # another event of this saga was first: see what it changed
                if attempt == self._settings.commit_attempts:
                    raise
            else:
                return

    async def get(self, query: GetSaga) -> Saga:
        """One saga."""
        found = await self._store.get(query.context.caller.guild_id, query.saga_id)
        if found is None:
            raise NotFound("saga", query.saga_id)
        return found

    async def page(self, query: ListSagas) -> SagaPage:
        """A page of sagas, the newest first."""
        if not 1 <= query.limit <= self._settings.page:
            raise ValidationError("limit", f"is not between 1 and {self._settings.page}")
        if not set(query.states) <= set(SagaStatus):
            raise ValidationError("states", "holds a word that is no state")
        checks.sought("cursor", query.cursor)
        return await self._store.page(query)

    async def _advance(
        self,
        definition: Definition,
        saga_id: str,
        command: DeliverEvent,
        results: dict[str, Accepted | Refused],
    ) -> None:
        event = command.event
        found = await self._store.load(event.guild_id, saga_id)
        state = found or engine.begin(definition, saga_id, event)
        while True:
            plan = engine.decide(definition, state, event, results)
            if plan.actions:
                await self._perform(plan.actions, state, results)
            elif plan.is_final:
                await self._store.commit(plan.state, command, _happened(plan))
                return
            else:
                state = await self._store.keep(plan.state)

    async def _perform(
        self,
        actions: Sequence[Action],
        state: SagaState,
        results: dict[str, Accepted | Refused],
    ) -> None:
        """All at once; what was done is among the results even if another one fails."""
        answers = await asyncio.gather(*map(self._ask, actions), return_exceptions=True)
        failed: list[tuple[Action, BaseException]] = []
        for action, answer in zip(actions, answers, strict=True):
            if isinstance(answer, BaseException):
                failed.append((action, answer))
            else:
                results[action.command.command_id] = answer
        if failed:
            action, error = failed[0]
            await self._show(state, action, error)
            raise error

    async def _ask(self, action: Action) -> Accepted | Refused:
        timeout_s = scope.remaining_s(self._settings.action_timeout_s)
        try:
            await self._pool(action.pool).ask(action.command, timeout_s=timeout_s)
        except _NO as said:
            if not action.may_be_refused:
                raise
            _log.warning(
                "saga_step_refused",
                step=action.step,
                undo=action.is_undo,
                code=said.code,
                correlation_id=action.command.context.correlation_id,
            )
            return Refused(f"{said.code}: {said}")
        return Accepted()

    async def _show(self, state: SagaState, action: Action, error: BaseException) -> None:
        """Writes down a failure that time alone will not mend, once."""
        if not isinstance(error, ElderGuildError) or error.retryable:
            return
        shown = engine.failing(state, action.step, f"{error.code}: {error}")
        if shown == state:
            return
        try:
            await self._store.keep(shown)
        except ElderGuildError as away:  # what failed is what the caller has to hear
            _log.warning("saga_not_written", saga_id=state.saga_id, code=away.code)


def _happened(plan: Plan) -> tuple[SagaFinished, ...]:
    if not plan.has_ended:
        return ()
    state = plan.state
    return (
        SagaFinished(
            saga_id=state.saga_id,
            kind=state.kind,
            outcome=_OUTCOMES[state.status],
            reason=state.reason,
        ),
    )
