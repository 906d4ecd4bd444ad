"""What surrounds the handling of one message: its deadline, and the position of what it wrote."""

import time
from contextvars import ContextVar
from dataclasses import dataclass

from actors.errors import DeadlineExceeded
from actors.runtime.message import Position


@dataclass(slots=True)
class Scope:
    """The handling of one message; one task owns it.

    Attributes:
        deadline: on this process's monotonic clock, seconds; None: no deadline.
        position: highest position written so far by this message.
    """

    deadline: float | None = None
    position: Position | None = None


_scope: ContextVar[Scope | None] = ContextVar("guild_scope", default=None)


def enter(timeout_s: float | None) -> Scope:
    """Begins the scope of the current task; the task's end ends it."""
    scope = Scope(deadline=None if timeout_s is None else time.monotonic() + timeout_s)
    _scope.set(scope)
    return scope


def remaining_s(default: float) -> float:
    """Seconds left for the current message, at most ``default``.

    Raises:
        DeadlineExceeded: nothing is left.
    """
    scope = _scope.get()
    if scope is None or scope.deadline is None:
        return default
    left = scope.deadline - time.monotonic()
    if left <= 0:
        raise DeadlineExceeded("the request")
    return min(left, default)


def note_position(position: Position) -> None:
    """Records that the current message's writes were committed at ``position``."""
    scope = _scope.get()
    if scope is not None and (scope.position is None or scope.position < position):
        scope.position = position
