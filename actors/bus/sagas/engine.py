"""What a saga does next. Pure: the same state, event and results always give the same plan.

A delivery is decided several times: first with no results, then with those of the actions that
were planned, until nothing is left to be done and the state can be written. When another delivery
was first to write, it is decided again on the new state with the results at hand; that is how work
that is not wanted any more by then comes to be undone.
"""

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from actors.bus.sagas.definition import Definition, Facts, Step
from actors.events import StoredEvent
from actors.runtime.message import Command, GuildId


class SagaStatus(enum.StrEnum):
    """``compensated`` and ``failed`` are terminal; a completed one goes on when more happens."""

    RUNNING = "running"
    COMPLETED = "completed"
    COMPENSATING = "compensating"
    COMPENSATED = "compensated"
    FAILED = "failed"


_LIVE = frozenset({SagaStatus.RUNNING, SagaStatus.COMPLETED})
_ENDS = frozenset({SagaStatus.COMPLETED, SagaStatus.COMPENSATED, SagaStatus.FAILED})


class StepStatus(enum.StrEnum):
    """How a step stands, after the last event that led to it."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    COMPENSATED = "compensated"


@dataclass(frozen=True, slots=True)
class Done:
    """Work that can be undone."""

    step: str
    event_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SagaState:
    """Everything a saga knows.

    Attributes:
        done: what can be undone, in the order in which it was done.
        finished: how often it has come to an end.
        version: 0 before it is first written.
    """

    guild_id: GuildId
    saga_id: str
    kind: str
    correlation_id: str
    steps: Mapping[str, StepStatus]
    status: SagaStatus = SagaStatus.RUNNING
    facts: Facts = field(default_factory=dict)
    done: tuple[Done, ...] = ()
    finished: int = 0
    reason: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """Something to ask a pool.

    Attributes:
        is_undo: it takes something back.
        may_be_refused: a no of the sage is a result; else it makes the delivery fail.
    """

    step: str
    pool: str
    command: Command[Any]
    is_undo: bool
    may_be_refused: bool


@dataclass(frozen=True, slots=True)
class Accepted:
    """The sage has done it, now or before."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The sage says no, and would again."""

    reason: str


Results = Mapping[str, Accepted | Refused]
"""By command id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What comes next: ``actions`` to be done at once; or, where there are none, ``state``.

    Attributes:
        is_final: the event is handled with this state. Else it is to be written before anything
            more is done, and decided on again.
        has_ended: it came to an end just now.
    """

    state: SagaState
    actions: tuple[Action, ...] = ()
    is_final: bool = False
    has_ended: bool = False


def begin(definition: Definition, saga_id: str, event: StoredEvent) -> SagaState:
    """A saga of which nothing is known yet."""
    return SagaState(
        guild_id=event.guild_id,
        saga_id=saga_id,
        kind=definition.kind,
        correlation_id=event.correlation_id,
        steps={step.name: StepStatus.PENDING for step in definition.steps},
    )


def decide(definition: Definition, state: SagaState, event: StoredEvent, results: Results) -> Plan:
    """What the event means for the saga.

    Independent actions of one event are planned together; what is undone is undone one after the
    other, the last first.
    """
    facts = definition.learn(state.facts, event)
    own = [step for step in definition.steps if isinstance(event.payload, step.on)]
    wanted = [step for step in own if state.status in _LIVE and step.wanted(facts)]
    doing = tuple(_do(step, event) for step in wanted)
    if waiting := _without_result(doing, results):
        return Plan(state=state, actions=waiting)

    steps, done, reason = dict(state.steps), list(state.done), state.reason
    status = state.status
    for step, action in zip(wanted, doing, strict=True):
        match results[action.command.command_id]:
            case Accepted():
                steps[step.name] = StepStatus.DONE
                reason = "" if reason.startswith(f"{step.name}: ") else reason
                work = Done(step.name, event.event_id)
                if step.undo is not None and work not in done:
                    done.append(work)
            case Refused(said):
                steps[step.name] = StepStatus.FAILED
                reason = f"{step.name}: {said}"
                if step.refusal == "compensate":
                    status = SagaStatus.COMPENSATING
    after = replace(state, steps=steps, facts=facts, done=tuple(done), reason=reason, status=status)
    if status is SagaStatus.COMPENSATING and state.status is not status:
        return Plan(state=after)  # from here on there is no way back, whatever dies
    unwanted = tuple(step for step in own if step not in wanted)
    return _take_back(definition, state, after, unwanted, event, results)


def failing(state: SagaState, step: str, reason: str) -> SagaState:
    """The state with a step that fails, for people to see while it is tried again."""
    steps = {**state.steps, step: StepStatus.FAILED}
    return replace(state, steps=steps, reason=f"{step}: {reason}")


def _take_back(
    definition: Definition,
    before: SagaState,
    state: SagaState,
    unwanted: tuple[Step, ...],
    event: StoredEvent,
    results: Results,
) -> Plan:
    steps, done, reason = dict(state.steps), list(state.done), state.reason
    stuck = False
    for step, event_id in _to_undo(definition, state, unwanted, event):
        action = _undo(step, event_id, event)
        result = results.get(action.command.command_id)
        if result is None:
            return Plan(state=state, actions=(action,))
        work = Done(step.name, event_id)
        if work in done or isinstance(results.get(_do(step, event).command.command_id), Accepted):
            steps[step.name] = StepStatus.COMPENSATED
        else:
            steps[step.name] = _passed_over(state, step)
        done = [other for other in done if other != work]
        if isinstance(result, Refused):
            stuck, reason = True, f"{step.name}: cannot be undone: {result.reason}"
            steps[step.name] = StepStatus.FAILED
    for step in unwanted:
        if step.undo is None:
            steps[step.name] = _passed_over(state, step)
    status = _status(definition, state, stuck)
    has_ended = status in _ENDS and status is not before.status
    return Plan(
        state=replace(
            state,
            steps=steps,
            done=tuple(done),
            reason=reason,
            status=status,
            finished=state.finished + has_ended,
        ),
        is_final=True,
        has_ended=has_ended,
    )


def _to_undo(
    definition: Definition, state: SagaState, unwanted: tuple[Step, ...], event: StoredEvent
) -> Iterator[tuple[Step, str]]:
    """What was done and is not wanted, the last first; then what this event must never lead to."""
    for work in reversed(state.done):
        step = definition.step(work.step)
        if step is None or step.undo is None:
            continue
        if state.status is SagaStatus.COMPENSATING or not step.wanted(state.facts):
            yield step, work.event_id
    for step in unwanted:
        if step.undo is not None and Done(step.name, event.event_id) not in state.done:
            yield step, event.event_id


def _passed_over(state: SagaState, step: Step) -> StepStatus:
    """A saga that is being undone, or is, still shows what its steps came to."""
    before = state.steps.get(step.name, StepStatus.PENDING)
    if state.status in _LIVE or before is StepStatus.PENDING:
        return StepStatus.SKIPPED
    return before


def _status(definition: Definition, state: SagaState, stuck: bool) -> SagaStatus:
    match state.status:
        case SagaStatus.COMPENSATING:
            return SagaStatus.FAILED if stuck else SagaStatus.COMPENSATED
        case SagaStatus.COMPENSATED | SagaStatus.FAILED:
            return state.status
        case SagaStatus.RUNNING | SagaStatus.COMPLETED:
            complete = definition.is_complete(state.facts)
            return SagaStatus.COMPLETED if complete else SagaStatus.RUNNING


def _do(step: Step, event: StoredEvent) -> Action:
    return Action(
        step=step.name,
        pool=step.pool,
        command=step.command(event),
        is_undo=False,
        may_be_refused=step.refusal != "retry",
    )


def _undo(step: Step, event_id: str, event: StoredEvent) -> Action:
    assert step.undo is not None  # noqa: S101  # the caller has looked
    return Action(
        step=step.name,
        pool=step.pool,
        command=step.undo(event_id, event),
        is_undo=True,
        may_be_refused=True,
    )


def _without_result(actions: tuple[Action, ...], results: Results) -> tuple[Action, ...]:
    return tuple(action for action in actions if action.command.command_id not in results)
