"""What clients did, operation by operation. Pure."""

import enum
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

import orjson


class HistoryError(ValueError):
    """The history contradicts itself: whoever wrote it down is broken, and it proves nothing."""


class Phase(enum.StrEnum):
    """A client begins an operation, then learns its outcome, or never does.

    ``FAIL``: it certainly did not happen. ``INFO``: nobody knows, and it may still happen.
    """

    INVOKE = "invoke"
    OK = "ok"
    FAIL = "fail"
    INFO = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the history: an attempt to publish one event.

    Attributes:
        client: who attempts; one attempt at a time of each event.
        at: seconds on one clock for all clients.
        event: the identity its publisher gave it; the same in every attempt.
        aggregate: whose order it belongs to.
        amount: its effect: what a counter of the aggregate rises by.
        stored_as: of an ``OK``: the id that the log gave it.
    """

    phase: Phase
    client: str
    at: float
    event: str
    aggregate: str
    amount: int
    stored_as: str = ""

    def to_line(self) -> bytes:
        """One line of a file."""
        return orjson.dumps(asdict(self)) + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> "Entry":
        """The entry that `to_line` wrote. Raises ValueError for half a line."""
        fields = orjson.loads(line)
        return cls(**fields | {"phase": Phase(fields["phase"])})


@dataclass(slots=True, kw_only=True)
class Publishing:
    """Everything that was attempted with one event.

    Attributes:
        invoked_at: when the first attempt began; before that it cannot have happened.
        acknowledged_at: when the first ``OK`` came; by then it has happened. None: none came.
        attempts: how many began.
        failed: how many certainly did not happen.
        stored_as: ids it was acknowledged under; more than one is one too many.
    """

    event: str
    aggregate: str
    amount: int
    invoked_at: float
    acknowledged_at: float | None = None
    attempts: int = 0
    acknowledged: int = 0
    failed: int = 0
    stored_as: set[str] = field(default_factory=set)

    @property
    def open_attempts(self) -> int:
        """How many attempts have an outcome that nobody learnt."""
        return self.attempts - self.acknowledged - self.failed

    @property
    def impossible(self) -> bool:
        """Whether it certainly did not happen."""
        return self.failed == self.attempts

    @property
    def unknown(self) -> bool:
        """Whether it may have happened or not."""
        return self.acknowledged_at is None and not self.impossible


def fold(entries: Iterable[Entry]) -> dict[str, Publishing]:
    """What became of each event. An attempt without an end is one whose outcome is unknown.

    Raises:
        HistoryError: an end without a beginning, or one identity with two contents.
    """
    found: dict[str, Publishing] = {}
    begun: set[tuple[str, str]] = set()
    for entry in entries:
        one = found.get(entry.event)
        attempt = entry.client, entry.event
        if entry.phase is Phase.INVOKE:
            if attempt in begun:
                raise HistoryError(f"{entry.client} attempts {entry.event} twice at a time")
            begun.add(attempt)
            if one is None:
                one = found[entry.event] = Publishing(
                    event=entry.event,
                    aggregate=entry.aggregate,
                    amount=entry.amount,
                    invoked_at=entry.at,
                )
        elif attempt not in begun:
            raise HistoryError(f"{entry.client} ends {entry.event} without having begun it")
        else:
            begun.remove(attempt)
        assert one is not None  # noqa: S101  # what was begun is there
        if (one.aggregate, one.amount) != (entry.aggregate, entry.amount):
            raise HistoryError(f"{entry.event} has two contents")
        _note(one, entry)
    return found


def _note(one: Publishing, entry: Entry) -> None:
    match entry.phase:
        case Phase.INVOKE:
            one.attempts += 1
            one.invoked_at = min(one.invoked_at, entry.at)
        case Phase.OK:
            one.acknowledged += 1
            first = one.acknowledged_at
            one.acknowledged_at = entry.at if first is None else min(first, entry.at)
            one.stored_as.add(entry.stored_as)
        case Phase.FAIL:
            one.failed += 1
        case Phase.INFO:
            return
