"""The caller's side: what waits for one member goes together in one call.

A Ray call costs about the same whatever it carries, so the messages that arrive while calls are
under way share the next one. No reply waits for a slower one: see `Workload` and docs/adr/0001.
A member on this node is called directly, which costs little, so its messages leave at once.
"""

import asyncio
import dataclasses
import itertools
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from actors import clock, metrics
from actors.errors import DeadlineExceeded, Overloaded
from actors.runtime import batching, tracing
from actors.runtime.envelope import Answer, Batch, Envelope, unseal_outcome
from actors.runtime.message import Outcome
from actors.runtime.patience import Patience
from actors.settings import RuntimeSettings


class MemberLost(Exception):
    """The member did not answer. Stays within the runtime: the pool decides what follows.

    Attributes:
        sent: whether the message may have reached it and may have been handled.
        silent: it only did not answer in time; else nobody is there.
    """

    def __init__(self, member: str, sent: bool, silent: bool = False) -> None:
        super().__init__(member, sent, silent)
        self.member = member
        self.sent = sent
        self.silent = silent


class MemberPort(Protocol):
    """The way to one member. Every method raises `MemberLost` when the member is not there."""

    @property
    def name(self) -> str:
        """For logs."""
        ...

    @property
    def direct(self) -> bool:
        """Whether a call costs so little that nothing is gained by waiting for company."""
        ...

    async def submit(self, batch: Batch) -> Answer:
        """Hands a batch over; answers what was done within the linger time."""
        ...

    async def collect(self, caller: str) -> Answer:
        """Waits for leftovers."""
        ...

    async def close(self) -> None:
        """Lets go of the connection; what is under way is lost."""
        ...


class Mailbox:
    """Messages of this process for one member. Bounded; owned by one event loop."""

    def __init__(self, port: MemberPort, pool: str, settings: RuntimeSettings) -> None:
        self._port = port
        self._pool = pool
        self._settings = settings
        self._limits = batching.Limits(
            settings.max_batch,
            settings.max_batch_bytes,
            settings.calls_in_flight,
            settings.worth_a_call,
        )
        self._direct_limits = dataclasses.replace(
            self._limits, calls_in_flight=settings.direct_calls_in_flight, worth_a_call=1
        )
        self._caller = clock.new_id("box")
        self._tickets = itertools.count()
        self._waiting: OrderedDict[int, _Pending] = OrderedDict()
        self._sent: dict[int, _Pending] = {}
        self._owed: dict[int, str] = {}  # ticket → incarnation that accepted it
        self._in_flight = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._collecting = False
        self._pump_scheduled = False
        self._closed = False

    @property
    def load(self) -> int:
        """Messages that wait here or are at the member."""
        return len(self._waiting) + len(self._sent)

    @property
    def waiting(self) -> int:
        """Messages that have not left."""
        return len(self._waiting)

    async def ask(self, body: bytes, timeout_s: float, attempt: int) -> Outcome[Any]:
        """Sends one sealed message; returns its outcome.

        Cancelled or expired before it was sent, it never leaves. Later the work goes on and its
        outcome is dropped.

        Raises:
            Overloaded: too many wait already.
            DeadlineExceeded: no outcome in time.
            MemberLost: the member is gone, or this mailbox was closed.
        """
        if self._closed:
            raise MemberLost(self._port.name, sent=False)
        if len(self._waiting) >= self._settings.mailbox_capacity:
            metrics.REFUSED.labels(self._pool, "mailbox").inc()
            raise Overloaded(self._settings.retry_after_s, f"the {self._pool} pool")
        loop = asyncio.get_running_loop()
        now, reply = loop.time(), loop.create_future()
        deadline = now + timeout_s
        pending = _Pending(
            next(self._tickets), body, now, deadline, attempt, tracing.carried(), reply
        )
        self._waiting[pending.ticket] = pending
        if self._port.direct and len(self._waiting) >= self._settings.worth_a_call:
            self._pump()  # the member begins with these while we go on with the others
        else:
            self._schedule_pump(loop)
        try:
            async with asyncio.timeout_at(deadline):
                return unseal_outcome(await pending.reply)
        except TimeoutError:
            raise DeadlineExceeded("the request") from None
        finally:
            self._forget(pending.ticket)

    def close(self) -> None:
        """Takes no more messages and gives those that wait back; what was sent is still awaited."""
        self._closed = True
        waiting, self._waiting = self._waiting, OrderedDict()
        self._lose(waiting.values(), sent=False)

    async def abort(self) -> None:
        """Closes, and answers all that was sent as lost."""
        self.close()
        self._lose(self._sent.values(), sent=True)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._port.close()

    def _schedule_pump(self, loop: asyncio.AbstractEventLoop) -> None:
        """Pumps once the current round of the event loop is over: who asks now, shares the call."""
        if not self._pump_scheduled:
            self._pump_scheduled = True
            loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._pump_scheduled = False
        now = asyncio.get_running_loop().time()
        limits = self._direct_limits if self._port.direct else self._limits
        while batching.may_send(len(self._waiting), self._in_flight, limits):
            taken = batching.take(self._waiting.values(), now, limits)
            for gone in (*taken.batch, *taken.expired):
                del self._waiting[gone.ticket]
            if taken.batch:
                self._send(taken.batch, now)

    def _send(self, pendings: tuple["_Pending", ...], now: float) -> None:
        envelopes = tuple(
            Envelope(one.ticket, one.body, one.deadline - now, one.attempt, one.trace)
            for one in pendings
        )
        self._sent.update((one.ticket, one) for one in pendings)
        self._in_flight += 1
        metrics.BATCH_SIZE.labels(self._pool).observe(len(envelopes))
        left = next(iter(self._waiting.values()), None)
        batch = Batch(
            self._caller,
            envelopes,
            len(self._waiting),
            eager=self._port.direct,
            oldest_wait_s=0.0 if left is None else now - left.since,
        )
        self._spawn(self._submit(batch))

    async def _submit(self, batch: Batch) -> None:
        tickets = [envelope.ticket for envelope in batch.envelopes]
        try:
            async with Patience(self._settings.submit_timeout_s):
                answer = await self._port.submit(batch)
            self._deliver(answer)
            self._owed.update((one, answer.incarnation) for one in tickets if one in self._sent)
            self._collect_if_owed()
        except MemberLost as lost:
            self._lose([self._sent[one] for one in tickets if one in self._sent], sent=lost.sent)
        except TimeoutError:
            waited_for = [self._sent[one] for one in tickets if one in self._sent]
            self._lose(waited_for, sent=True, silent=True)
        finally:
            self._in_flight -= 1
            self._pump()

    def _collect_if_owed(self) -> None:
        if self._owed and not self._collecting:
            self._collecting = True
            self._spawn(self._collect())

    async def _collect(self) -> None:
        """Long-polls while something is owed. Never more than one such call is under way."""
        longest_s = self._settings.collect_timeout_s + self._settings.submit_timeout_s
        try:
            while self._owed:
                async with Patience(longest_s):
                    answer = await self._port.collect(self._caller)
                self._deliver(answer)
                self._lose(
                    [
                        self._sent[ticket]
                        for ticket, incarnation in self._owed.items()
                        if incarnation != answer.incarnation
                    ],
                    sent=True,
                )
        except (MemberLost, TimeoutError) as error:
            silent = isinstance(error, TimeoutError)
            self._lose([self._sent[one] for one in self._owed], sent=True, silent=silent)
        finally:
            self._collecting = False

    def _deliver(self, answer: Answer) -> None:
        for finished in answer.finished:
            pending = self._sent.get(finished.ticket)
            self._forget(finished.ticket)
            if pending is not None and not pending.reply.done():
                pending.reply.set_result(finished.body)

    def _lose(self, pendings: Iterable["_Pending"], *, sent: bool, silent: bool = False) -> None:
        for pending in tuple(pendings):
            self._forget(pending.ticket)
            if not pending.reply.done():
                pending.reply.set_exception(MemberLost(self._port.name, sent, silent))

    def _forget(self, ticket: int) -> None:
        self._waiting.pop(ticket, None)
        self._sent.pop(ticket, None)
        self._owed.pop(ticket, None)

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


@dataclass(slots=True, eq=False)
class _Pending:
    ticket: int
    body: bytes
    since: float
    deadline: float
    attempt: int
    trace: str
    reply: asyncio.Future[bytes]

    @property
    def size(self) -> int:
        return len(self.body)
