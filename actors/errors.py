"""The expected failures of the guild, as types that carry data.

Everything else that is raised is a bug, and is allowed to crash and be restarted.

Two rules keep these errors whole across processes (Ray pickles them): every constructor argument
goes to ``super().__init__``, and the sentence is made in ``__str__``. ``code`` and ``retryable``
are class attributes and stay so.
"""

from typing import ClassVar


class ElderGuildError(Exception):
    """Base of every failure a caller may expect.

    Attributes:
        code: stable machine-readable name, also the last part of the problem type.
        retryable: whether the same request may succeed later without being changed.
    """

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False


class ValidationError(ElderGuildError):
    """The request is well formed but says something impossible. Never echoes the input."""

    code = "validation_error"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(field, reason)
        self.field = field
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.field}: {self.reason}"


class NotAuthenticated(ElderGuildError):
    """Nobody we know is asking."""

    code = "not_authenticated"

    def __init__(self, reason: str = "credentials are missing or not valid") -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class NotAuthorized(ElderGuildError):
    """The caller is known and may not do this."""

    code = "not_authorized"

    def __init__(self, permission: str) -> None:
        super().__init__(permission)
        self.permission = permission

    def __str__(self) -> str:
        return f"this needs the permission {self.permission}"


class NotFound(ElderGuildError):
    """No such thing for this caller; also the answer for another guild's key."""

    code = "not_found"

    def __init__(self, kind: str, key: str) -> None:
        super().__init__(kind, key)
        self.kind = kind
        self.key = key

    def __str__(self) -> str:
        return f"no such {self.kind}"


class InvalidTransition(ElderGuildError):
    """The state machine has no such step from here."""

    code = "invalid_transition"

    def __init__(self, kind: str, current: str, wanted: str) -> None:
        super().__init__(kind, current, wanted)
        self.kind = kind
        self.current = current
        self.wanted = wanted

    def __str__(self) -> str:
        return f"a {self.kind} that is {self.current} cannot become {self.wanted}"


class Cycle(ElderGuildError):
    """The relation would close a ring. HTTP 409; the problem lists ``ids`` as ``cycle``."""

    code = "cycle"

    def __init__(self, ids: tuple[str, ...]) -> None:
        super().__init__(ids)
        self.ids = ids

    def __str__(self) -> str:
        return f"this would close a ring of {len(self.ids)}: {' → '.join(self.ids)}"


class VersionConflict(ElderGuildError):
    """Somebody else changed it first: load it again and decide again."""

    code = "version_conflict"
    retryable = True

    def __init__(self, kind: str, key: str) -> None:
        super().__init__(kind, key)
        self.kind = kind
        self.key = key

    def __str__(self) -> str:
        return f"the {self.kind} was changed by somebody else meanwhile"


class Overloaded(ElderGuildError):
    """A bound was reached; nothing was done. Try again after ``retry_after_s`` seconds."""

    code = "overloaded"
    retryable = True

    def __init__(self, retry_after_s: float, what: str = "the service") -> None:
        super().__init__(retry_after_s, what)
        self.retry_after_s = retry_after_s
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} is full; try again in {self.retry_after_s:g} s"


class DependencyUnavailable(ElderGuildError):
    """Something we need does not answer: a database, a pool without members."""

    code = "dependency_unavailable"
    retryable = True

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def __str__(self) -> str:
        return f"{self.name} is not available"


class HandlerLost(DependencyUnavailable):
    """The process that worked on this died or fell silent. The work may or may not have been done.

    Everything it was working on fails alike, and one of them may have been the cause.
    """

    def __str__(self) -> str:
        return f"a process of {self.name} was lost while it handled this"


class DeadlineExceeded(ElderGuildError):
    """The time the caller gave has passed. The work may or may not have been done."""

    code = "deadline_exceeded"
    retryable = True

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} took longer than the time it was given"


class StaleIndex(ElderGuildError):
    """Search has not yet read as far as the position that was asked for. Nothing is wrong."""

    code = "stale_index"
    retryable = True

    def __init__(self, wanted: str, reached: str) -> None:
        super().__init__(wanted, reached)
        self.wanted = wanted
        self.reached = reached

    def __str__(self) -> str:
        return f"search has reached {self.reached} and not yet {self.wanted}"


class PositionOfAnotherEpoch(ElderGuildError):
    """The log was moved to another server since; positions of before mean nothing in it.

    HTTP 410: drop the position and read again.
    """

    code = "position_of_another_epoch"

    def __init__(self, given: int, present: int) -> None:
        super().__init__(given, present)
        self.given = given
        self.present = present

    def __str__(self) -> str:
        return f"the position is of epoch {self.given} of the log, which is now {self.present}"


class LateAck(ElderGuildError):
    """The lease of this attempt has passed; the event is, or was, another attempt's. HTTP 409."""

    code = "late_ack"

    def __init__(self, event_id: str) -> None:
        super().__init__(event_id)
        self.event_id = event_id

    def __str__(self) -> str:
        return "the lease of this attempt has passed: the event may be delivered again"


class Gone(ElderGuildError):
    """Whoever should take this wants nothing any more, now or later. HTTP 410."""

    code = "gone"

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what

    def __str__(self) -> str:
        return f"{self.what} wants nothing any more"
