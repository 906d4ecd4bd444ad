"""What travels between a mailbox and a member: envelopes in batches, outcomes back.

Messages and outcomes are pickled one by one. So each has a known size, one that cannot be read
fails alone, and a batch is a few byte strings for Ray. Both ends are our own processes; Ray
pickles between them anyway and its network is the trust boundary.
"""

import pickle  # nosec B403  # see above
from typing import Any, NamedTuple

from actors.errors import ElderGuildError
from actors.metrics import Sample
from actors.runtime.identity import MemberIdentity
from actors.runtime.message import Message, Outcome
from actors.runtime.pickling import dumps


class Envelope(NamedTuple):
    """One message on its way.

    Attributes:
        ticket: number of the message within its mailbox; the reply carries it back.
        body: the pickled message.
        timeout_s: what was left when it was sent; the receiver counts down on its own clock.
        attempt: 1 for the first try; above it, the message may have been handled before.
        trace: where in a trace it was sent; see `tracing.carried`. Who does not trace sends none,
            so that members of the version before can read it.
    """

    ticket: int
    body: bytes
    timeout_s: float
    attempt: int
    trace: str = ""

    def __reduce__(self) -> tuple[type["Envelope"], tuple[Any, ...]]:
        return Envelope, tuple(self) if self.trace else tuple(self)[:-1]


class Batch(NamedTuple):
    """One call: what waited in one mailbox.

    Attributes:
        caller: id of the mailbox; unfinished work is collected under it.
        envelopes: in the order in which they were asked.
        left_waiting: messages still in the mailbox, so that the member knows the pressure on it.
        eager: another call costs little: answer as soon as one of them is done.
        oldest_wait_s: how long the oldest of those still there has waited.
    """

    caller: str
    envelopes: tuple[Envelope, ...]
    left_waiting: int
    eager: bool = False
    oldest_wait_s: float = 0.0


class Finished(NamedTuple):
    """The outcome of one message."""

    ticket: int
    body: bytes


class Answer(NamedTuple):
    """What a member has finished for one caller.

    Attributes:
        incarnation: id of the member's process. Tickets accepted by another one are lost.
        finished: outcomes, in the order in which they came about.
    """

    incarnation: str
    finished: tuple[Finished, ...]


class Snapshot(NamedTuple):
    """A member's state, for the supervisor, for metrics and for tests alike.

    Attributes:
        identity: who answers.
        incarnation: id of its process.
        ready: whether its dependencies were reached and messages are handled.
        draining: whether it refuses new messages.
        unfinished: messages running, or finished and not collected.
        waiting: messages still at its callers, as far as they said so lately.
        handled: messages handled since the process started.
        samples: its metrics.
        node: where it runs; empty where it cannot tell.
        oldest_wait_s: of the messages still at its callers, as far as they said so lately.
        busy: share of the time since it was last asked in which its event loop was at work.
    """

    identity: MemberIdentity
    incarnation: str
    ready: bool
    draining: bool
    unfinished: int
    waiting: int
    handled: int
    samples: tuple[Sample, ...]
    node: str = ""
    oldest_wait_s: float = 0.0
    busy: float = 0.0


def seal(message: Message[Any]) -> bytes:
    """The message as bytes.

    Raises:
        Exception: the message cannot be pickled, which is a bug of its class.
    """
    return dumps(message)


def unseal(body: bytes) -> Message[Any]:
    """The message within an envelope."""
    message: Message[Any] = pickle.loads(body)  # noqa: S301  # nosec B301  # see the module
    return message


def seal_outcome(outcome: Outcome[Any]) -> bytes:
    """The outcome as bytes; one that cannot be pickled becomes an error, alone."""
    try:
        return dumps(outcome)
    except Exception:
        failed: Outcome[Any] = Outcome(error=ElderGuildError("a reply that cannot travel"))
        return dumps(failed)


def unseal_outcome(body: bytes) -> Outcome[Any]:
    """The outcome that a member sealed."""
    outcome: Outcome[Any] = pickle.loads(body)  # noqa: S301  # nosec B301  # see the module
    return outcome
