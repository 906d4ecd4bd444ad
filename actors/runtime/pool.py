"""How anybody calls a sage: finds a member, and asks once more where that is safe."""

import asyncio
import math
import random
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol

import structlog

from actors import metrics
from actors.errors import (
    DeadlineExceeded,
    DependencyUnavailable,
    ElderGuildError,
    HandlerLost,
    Overloaded,
    VersionConflict,
)
from actors.resilience import CLOSED, Breaker, RetryPolicy, after_failure, pause_before_retry
from actors.runtime import placement, tracing
from actors.runtime.directory import Directory
from actors.runtime.envelope import seal
from actors.runtime.identity import MemberIdentity
from actors.runtime.mailbox import Mailbox, MemberLost, MemberPort
from actors.runtime.message import Command, Delivery, Message, Outcome, Query, ReplyT
from actors.runtime.one_at_a_time import OneAtATime
from actors.settings import RuntimeSettings

_log = structlog.get_logger("elders_guild.runtime")


class Asker(Protocol):
    """A pool as its callers see it."""

    async def ask(self, message: Message[ReplyT], *, timeout_s: float | None = None) -> ReplyT:
        """Sends the message and returns its reply.

        Cancelling the call cancels the wait. Work that has reached a member goes on.

        Args:
            message: what to ask.
            timeout_s: seconds the whole of it may take; None: the configured default.

        Raises:
            ElderGuildError: the expected failure that the sage, or the way to it, answered.
        """
        ...

    async def ask_outcome(
        self, message: Message[ReplyT], *, timeout_s: float | None = None
    ) -> Outcome[ReplyT]:
        """Like `ask`, with the position of what was written; failures are values here."""
        ...


class Pool:
    """The members of one sage, as an `Asker`. Shared by all callers of one process.

    Messages of one key leave this process one by one, each when the earlier one is answered, and so
    are handled in the order in which they were asked. Nothing else would keep it: the key's owner
    changes with the pool, Ray runs calls of an async actor in any order, and what a lost member had
    is sent again. What is kept apart, as its handler may have died of it, takes no turn: others of
    its key, such as the same event for another subscription, do not wait for it.
    """

    def __init__(
        self,
        name: str,
        directory: Directory,
        connect: Callable[[MemberIdentity], MemberPort],
        settings: RuntimeSettings,
        process_id: str,
    ) -> None:
        self._name = name
        self._asking = f"ask {name}"
        self._directory = directory
        self._connect = connect
        self._settings = settings
        self._process_id = process_id
        self._mailboxes: dict[MemberIdentity, Mailbox] = {}
        self._breakers: dict[MemberIdentity, Breaker] = {}
        self._preferred: list[MemberIdentity] = []
        self._keys = OneAtATime()
        self._suspect_at: MemberIdentity | None = None
        self._died_at = -math.inf
        directory.on_change(self._follow_roster)
        self._follow_roster()

    async def ask(self, message: Message[ReplyT], *, timeout_s: float | None = None) -> ReplyT:
        """See `Asker.ask`."""
        outcome = await self.ask_outcome(message, timeout_s=timeout_s)
        return outcome.unwrap()

    async def ask_outcome(
        self, message: Message[ReplyT], *, timeout_s: float | None = None
    ) -> Outcome[ReplyT]:
        """See `Asker.ask_outcome`."""
        deadline = time.monotonic() + (timeout_s or self._settings.default_timeout_s)
        with tracing.span(self._asking, tracing.Kind.CLIENT) as span:
            outcome = await self._ask_in_turn(message, deadline)
            if outcome.error is not None:
                span.fail(outcome.error.code)
            return outcome

    async def _ask_in_turn(self, message: Message[ReplyT], deadline: float) -> Outcome[ReplyT]:
        key = message.turn
        if key is None or (isinstance(message, Delivery) and message.apart):
            return await self._ask_until_done(message, deadline)
        if self._keys.waiting >= self._settings.mailbox_capacity:
            metrics.REFUSED.labels(self._name, "key").inc()
            return Outcome(error=Overloaded(self._settings.retry_after_s, f"the {self._name} pool"))
        async with AsyncExitStack() as turn:
            try:
                async with asyncio.timeout(deadline - time.monotonic()):
                    await turn.enter_async_context(self._keys.turn(key))
            except TimeoutError:
                return Outcome(error=DeadlineExceeded("the request"))
            return await self._ask_until_done(message, deadline)

    async def _ask_until_done(self, message: Message[ReplyT], deadline: float) -> Outcome[ReplyT]:
        body = seal(message)
        started = time.monotonic()
        attempt = 1
        while True:
            patience_s = started + self._settings.failover_budget_s - time.monotonic()
            outcome = await self._attempt(message, body, deadline, attempt, patience_s)
            if outcome.error is None:
                return outcome
            policy = _policy(self._name, message, outcome.error, self._settings)
            if policy is None:
                return outcome
            now = time.monotonic()
            pause_s = pause_before_retry(
                policy,
                attempt=attempt,
                elapsed_s=now - started,
                left_s=deadline - now,
                dice=random.random(),  # noqa: S311  # nosec B311  # spreads load, hides nothing
            )
            if pause_s is None:
                return outcome
            metrics.ASKS_RETRIED.labels(self._name, outcome.error.code).inc()
            await asyncio.sleep(pause_s)
            attempt += 1

    async def ask_member(
        self, member: MemberIdentity, message: Message[ReplyT], *, timeout_s: float
    ) -> ReplyT:
        """Asks this member and no other, once.

        Raises:
            DependencyUnavailable: it takes no messages, or was lost with this one.
            ElderGuildError: what it answered.
        """
        if member not in self._preferred:
            raise DependencyUnavailable(self._name)
        deadline = time.monotonic() + timeout_s
        with tracing.span(self._asking, tracing.Kind.CLIENT, member=member.name):
            outcome: Outcome[ReplyT] = await self._ask(member, seal(message), deadline, attempt=1)
            return outcome.unwrap()

    async def close(self) -> None:
        """Answers all that wait."""
        await asyncio.gather(*(mailbox.abort() for mailbox in self._mailboxes.values()))

    @property
    def waiting(self) -> int:
        """Messages that have not left this process."""
        return self._keys.waiting + sum(one.waiting for one in self._mailboxes.values())

    async def _attempt(
        self,
        message: Message[ReplyT],
        body: bytes,
        deadline: float,
        attempt: int,
        patience_s: float,
    ) -> Outcome[ReplyT]:
        if not self._preferred:
            patience_s = min(deadline - time.monotonic(), patience_s)
            if not await self._directory.wait_for_members(self._name, patience_s):
                return Outcome(error=DependencyUnavailable(self._name))
        if isinstance(message, Delivery) and message.apart:
            return await self._attempt_apart(body, deadline, attempt)
        return await self._ask(self._choose(message.key), body, deadline, attempt)

    async def _attempt_apart(self, body: bytes, deadline: float, attempt: int) -> Outcome[Any]:
        """One at a time, to a member that takes nothing else meanwhile, while another one works."""
        member = None
        if self._suspect_at is None:
            member = placement.apart(
                self._allowed(),
                calm_s=time.monotonic() - self._died_at,
                pause_s=self._settings.suspect_pause_s,
                lone_pause_s=self._settings.lone_suspect_s,
            )
        if member is None:
            return Outcome(error=DependencyUnavailable(self._name))
        self._suspect_at = member
        try:
            return await self._ask(member, body, deadline, attempt)
        finally:
            self._suspect_at = None

    async def _ask(
        self, member: MemberIdentity, body: bytes, deadline: float, attempt: int
    ) -> Outcome[Any]:
        mailbox = self._mailbox(member)
        try:
            left_s = deadline - time.monotonic()
            outcome: Outcome[Any] = await mailbox.ask(body, left_s, attempt)
        except MemberLost as lost:
            self._avoid(member, died=lost.sent and not lost.silent)
            kind = HandlerLost if lost.sent else DependencyUnavailable
            return Outcome(error=kind(self._name))
        except (Overloaded, DeadlineExceeded) as refused:
            return Outcome(error=refused)
        if _not_ready(self._name, outcome.error):
            self._avoid(member, died=False)
        elif member in self._breakers:
            del self._breakers[member]
        return outcome

    def _choose(self, key: str | None) -> MemberIdentity:
        allowed = self._allowed()
        candidates = [one for one in allowed if one != self._suspect_at] or allowed
        candidates = candidates or self._preferred
        if key is not None:
            return placement.for_key(key, candidates)
        load = {member: mailbox.load for member, mailbox in self._mailboxes.items()}
        dice = random.random(), random.random()  # noqa: S311  # nosec B311
        return placement.for_any(candidates, load, self._settings.fill_before_spreading, dice)

    def _allowed(self) -> list[MemberIdentity]:
        now = time.monotonic()
        return [one for one in self._preferred if self._breakers.get(one, CLOSED).allows(now)]

    def _mailbox(self, member: MemberIdentity) -> Mailbox:
        if member not in self._mailboxes:
            port = self._connect(member)
            self._mailboxes[member] = Mailbox(port, self._name, self._settings)
        return self._mailboxes[member]

    def _avoid(self, member: MemberIdentity, *, died: bool) -> None:
        now = time.monotonic()
        breaker = self._breakers.get(member, CLOSED)
        if not breaker.allows(now):
            return  # all that was there is lost at once: that is one failure
        if died:
            self._died_at = now
        _log.warning("member_avoided", member=member.name, died=died)
        self._breakers[member] = after_failure(
            breaker,
            now=now,
            avoid_s=self._settings.avoid_s,
            max_avoid_s=self._settings.avoid_s * 4,
        )

    def _follow_roster(self) -> None:
        members = self._directory.members(self._name)
        self._preferred = placement.ranked(self._process_id, members)
        for gone in self._mailboxes.keys() - set(members):
            self._mailboxes.pop(gone).close()
            self._breakers.pop(gone, None)


def _policy(
    pool: str, message: Message[Any], error: ElderGuildError, settings: RuntimeSettings
) -> RetryPolicy | None:
    """How long this failure of this message is worth another try; None: not at all.

    Only what may be repeated is repeated: a query, or a command, which carries its id. A message
    that a full mailbox refused is not: that would only keep the mailbox full. Nor is a delivery
    that its member was lost with, for the same reason: it might take the next one with it.
    """
    if not error.retryable or not isinstance(message, Query | Command):
        return None
    match error:
        case HandlerLost() if isinstance(message, Delivery):
            return None
        case DependencyUnavailable() if _not_ready(pool, error):
            return RetryPolicy(settings.failover_budget_s, settings.retry_delay_s)
        case DependencyUnavailable():
            return RetryPolicy(settings.retry_budget_s, settings.retry_delay_s)
        case VersionConflict():
            return RetryPolicy(settings.retry_budget_s, settings.retry_delay_s, max_attempts=3)
        case _:
            return None


def _not_ready(pool: str, error: ElderGuildError | None) -> bool:
    """Whether the member itself could not answer, as opposed to something behind it."""
    return isinstance(error, DependencyUnavailable) and error.name == pool
