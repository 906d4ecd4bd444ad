"""What crosses a process: messages, who sends them, and the outcome of each."""

import enum
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, NewType, TypeVar, get_args

from typing_extensions import get_original_bases

from actors.errors import ElderGuildError

ReplyT = TypeVar("ReplyT")

GuildId = NewType("GuildId", str)

_POSITION = re.compile(r"([1-9][0-9]{0,8})-([0-9]{1,19})-([0-9]{1,18})")


class Permission(enum.StrEnum):
    """What a caller may do; the same words are the OAuth scopes. ``ADMIN`` implies the others."""

    READ = "read"
    WRITE = "write"
    DELETE = "delete"
    ADMIN = "admin"
    KNOWLEDGE = "sage.knowledge"
    TASK = "sage.task"
    INCIDENT = "sage.incident"
    RAG = "sage.rag"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who is asking: always one identity inside one guild."""

    guild_id: GuildId
    principal_id: str
    permissions: frozenset[Permission] = frozenset()

    def may(self, permission: Permission) -> bool:
        """Whether the permission is held, directly or through ``ADMIN``."""
        return permission in self.permissions or Permission.ADMIN in self.permissions


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Where a message comes from.

    Attributes:
        caller: identity and guild on whose behalf the work is done.
        correlation_id: one id from the first alert to the last effect.
        causation_id: id of the event or request that directly caused this message.
    """

    caller: Caller
    correlation_id: str
    causation_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Message(Generic[ReplyT]):
    """A frozen request for one reply of type ``ReplyT``.

    The deadline is not a field: clocks of two machines differ, so the envelope carries the time
    that is left, and each process counts it down on its own monotonic clock (`runtime.scope`).
    """

    context: Context

    @property
    def key(self) -> str | None:
        """Messages of one key go to one member and run one at a time; None: any member."""
        return None

    @property
    def turn(self) -> tuple[GuildId, str] | None:
        """What it takes turns for: guilds choose some keys themselves, and may choose alike."""
        key = self.key
        return None if key is None else (self.context.caller.guild_id, key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query(Message[ReplyT]):
    """Asks and changes nothing; may be repeated on any member."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command(Message[ReplyT]):
    """Changes something, once: a repeat with the same ``command_id`` answers the first reply.

    Attributes:
        routine: it comes by the thousand and is written down elsewhere: that it went well is logged
            at level debug only.
        recalls: its handler looks for earlier replies itself, those of a whole group at once.
        command_id: from the client's ``Idempotency-Key``, from the event that is delivered, or
            made at the gateway (prefix ``cmd_``).
        request_hash: digest of what the client sent under its key; a repeat must match. Empty
            where the id is not the client's.
    """

    routine: ClassVar[bool] = False
    recalls: ClassVar[bool] = False

    command_id: str
    request_hash: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(Command[ReplyT]):
    """A command whose sender counts the attempts, and repeats them itself.

    When a member dies with it, the pool gives it to no other one: it may be what killed it.

    Attributes:
        apart: a handler has died of it, perhaps: it is kept away from what others wait for.
    """

    apart: bool = False


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """A place in the event log, comparable within one epoch of it.

    Sequence order is not commit order, so a position is the writing transaction's id first and
    the sequence number within it second. The epoch changes when a log moves to another server,
    whose transaction ids say nothing about the old ones; what comes from outside is compared by
    `actors.storage.log_state` before it is used.
    """

    xid: int
    seq: int
    epoch: int = 1

    def __str__(self) -> str:
        return f"{self.epoch}-{self.xid}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """The position that ``str(position)`` wrote.

        Raises:
            ValueError: the text is no position.
        """
        match = _POSITION.fullmatch(text)
        if match is None:
            raise ValueError("not a position")
        epoch, xid, seq = map(int, match.groups())
        return cls(xid, seq, epoch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome(Generic[ReplyT]):
    """What became of one message: a reply, or the error that was expected of it.

    Attributes:
        reply: the answer; None where ``error`` is set.
        error: an expected failure. An unexpected one makes the member log it and answer a bare
            `ElderGuildError`, whose text says nothing of the inside.
        position: where the log stood when this message's own writes were committed.
    """

    reply: ReplyT | None = None
    error: ElderGuildError | None = field(default=None)
    position: Position | None = None

    def unwrap(self) -> ReplyT:
        """The reply, or raises the error."""
        if self.error is not None:
            raise self.error
        return self.reply  # type: ignore[return-value]  # None is the reply where ReplyT is None


Handler = Callable[[Any], Awaitable[Any]]
Handlers = Mapping[type[Message[Any]], Handler]
"""Which method answers which message type; every sage's ``handlers()`` returns one."""


def reply_type(message_type: type[Message[Any]]) -> Any:
    """The declared reply of a message class: ``Incident`` for ``Command[Incident]``.

    Raises:
        TypeError: the class does not name its reply.
    """
    for base in get_original_bases(message_type):
        arguments = get_args(base)
        if arguments and not isinstance(arguments[0], TypeVar):
            return arguments[0]
    raise TypeError(f"{message_type.__name__} does not name its reply type")
