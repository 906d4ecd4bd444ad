import asyncio
import logging
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import structlog
import structlog.testing

from actors.errors import DeadlineExceeded, ElderGuildError, ValidationError
from actors.runtime import handling as handling_module
from actors.runtime import scope
from actors.runtime.handling import Handling
from actors.runtime.ledger import may_be_a_repeat
from actors.runtime.message import Command, Handlers, Message, Position
from actors.runtime.one_at_a_time import OneAtATime
from actors.runtime.ping import Ping
from actors.storage.inbox import AlreadyHandled, Recalled
from tests.unit.runtime.member_side import settled
from tests.unit.runtime.samples import CONTEXT, Abacus, Add, Echo, Wait

POSITION = Position(7, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recalling(Command[None]):
    """A command whose handler asks for earlier replies itself."""

    recalls: ClassVar[bool] = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick(Command[None]):
    """Comes by the thousand."""

    routine: ClassVar[bool] = True

    bad: bool = False


class Memory:
    """A `Ledger` in memory that counts the questions."""

    def __init__(self) -> None:
        self.replies: dict[str, Recalled[Any]] = {}
        self.asked = 0

    async def recall(self, command: Command[Any]) -> Recalled[Any] | None:
        self.asked += 1
        if command.request_hash == "other":
            raise ValidationError("Idempotency-Key", "was used for a different request")
        return self.replies.get(command.command_id)


class Recorder(Abacus):
    """Adds once: the second commit of a command id is refused."""

    def __init__(self, memory: Memory) -> None:
        super().__init__()
        self.memory = memory

    def handlers(self) -> Handlers:
        return {**super().handlers(), Add: self.add_once}

    async def add_once(self, command: Add) -> int:
        if command.command_id in self.memory.replies:
            raise AlreadyHandled
        total = await self.add(command)
        scope.note_position(POSITION)
        self.memory.replies[command.command_id] = Recalled(total, POSITION)
        return total


def add(command_id: str = "cmd_1", **fields: Any) -> Add:
    return Add(context=CONTEXT, command_id=command_id, **fields)


async def test_a_reply_carries_the_position_of_what_was_written() -> None:
    memory = Memory()

    outcome = await Handling(Recorder(memory).handlers(), memory).run(add())

    assert (outcome.reply, outcome.position) == (1, POSITION)


async def test_a_repeat_is_answered_by_the_first_reply_and_does_nothing() -> None:
    memory = Memory()
    sage = Recorder(memory)
    handling = Handling(sage.handlers(), memory)
    first = await asyncio.create_task(handling.run(add("key-of-a-client")))
    await asyncio.create_task(handling.run(add("another")))

    again = await asyncio.create_task(handling.run(add("key-of-a-client")))

    assert again == first
    assert sage.total == 2


async def test_a_new_id_of_our_own_is_not_looked_up() -> None:
    memory = Memory()

    await Handling(Recorder(memory).handlers(), memory).run(add("cmd_1"))

    assert memory.asked == 0


async def test_a_repeat_that_was_not_looked_up_is_refused_by_the_commit_and_recalled() -> None:
    memory = Memory()
    sage = Recorder(memory)
    handling = Handling(sage.handlers(), memory)
    first = await asyncio.create_task(handling.run(add("cmd_1")))

    again = await asyncio.create_task(handling.run(add("cmd_1")))

    assert again == first
    assert sage.total == 1


async def test_an_id_used_for_another_request_is_refused() -> None:
    memory = Memory()
    handling = Handling(Recorder(memory).handlers(), memory)

    outcome = await handling.run(add("key", request_hash="other"))

    assert isinstance(outcome.error, ValidationError)


async def test_a_ledger_that_forgot_what_the_commit_remembers_is_told_as_such() -> None:
    memory = Memory()
    memory.replies["cmd_1"] = Recalled(1, None)

    outcome = await Handling(Recorder(memory).handlers()).run(add("cmd_1"))

    assert isinstance(outcome.error, ElderGuildError)


def test_only_commands_that_may_have_been_seen_are_looked_up() -> None:
    assert not may_be_a_repeat(Echo(context=CONTEXT), 5)
    assert not may_be_a_repeat(add("cmd_1"), 1)
    assert may_be_a_repeat(add("cmd_1"), 2)
    assert may_be_a_repeat(add("incident/evt_1"), 1)
    assert not may_be_a_repeat(Recalling(context=CONTEXT, command_id="incident/evt_1"), 2)


async def test_a_handler_that_takes_too_long_is_stopped() -> None:
    sage = Abacus()

    outcome = await Handling(sage.handlers()).run(Wait(context=CONTEXT, name="a"), timeout_s=0.01)

    assert isinstance(outcome.error, DeadlineExceeded)


async def test_the_handler_knows_the_time_that_is_left() -> None:
    left: list[float] = []

    async def look(_: Echo) -> str:
        left.append(scope.remaining_s(100))
        return ""

    await Handling({Echo: look}).run(Echo(context=CONTEXT), timeout_s=3)

    assert 2 < left[0] <= 3


async def test_every_member_answers_a_ping() -> None:
    outcome = await Handling({}).run(Ping(context=CONTEXT))

    assert outcome.error is None
    assert outcome.reply is not None


async def test_who_waits_no_longer_leaves_the_queue_at_once() -> None:
    keys = OneAtATime()

    async with keys.turn("a"):
        for _ in range(3):
            given_up = asyncio.create_task(keys.turn("a").__aenter__())
            await settled()
            given_up.cancel()
            await settled()

        assert len(keys._waiting["a"]) == 0
    assert len(keys) == 0


async def test_turns_come_in_the_order_of_asking_and_leave_nothing_behind() -> None:
    keys = OneAtATime()
    order: list[int] = []

    async def work(number: int) -> None:
        async with keys.turn("a"):
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(work(number) for number in range(10)))

    assert order == list(range(10))
    assert len(keys) == 0


@pytest.mark.parametrize("granted", [False, True])
async def test_a_cancelled_turn_goes_to_the_next(granted: bool) -> None:
    keys = OneAtATime()
    gate = asyncio.Event()
    order: list[str] = []

    async def work(name: str) -> None:
        async with keys.turn("a"):
            order.append(name)
            await gate.wait()

    first, second, third = [
        asyncio.create_task(work(name)) for name in ("first", "second", "third")
    ]
    await settled()
    if granted:  # the turn is handed over and cancelled in the same round of the event loop
        gate.set()
        first.add_done_callback(lambda _: second.cancel())
    else:
        second.cancel()
    await settled()
    gate.set()
    await asyncio.gather(first, second, third, return_exceptions=True)

    assert order[0] == "first"
    assert order[-1] == "third"
    assert len(keys) == 0


@pytest.mark.parametrize(
    ("command", "levels"),
    [
        (add(), ["info"]),
        (Tick(context=CONTEXT, command_id="cmd_1"), ["debug"]),
        (Tick(context=CONTEXT, command_id="cmd_1", bad=True), ["info"]),
        (Echo(context=CONTEXT), ["debug"]),
    ],
    ids=["command", "routine", "routine that fails", "query"],
)
async def test_what_comes_by_the_thousand_is_logged_when_it_fails(
    command: Message[Any], levels: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # A test before this one may have set the process's log up, and its level with it.
    every_level = structlog.make_filtering_bound_logger(logging.NOTSET)
    log = structlog.wrap_logger(None, wrapper_class=every_level)
    monkeypatch.setattr(handling_module, "_log", log)

    async def tick(message: Tick) -> None:
        if message.bad:
            raise ValidationError("tick", "is bad")

    handling = Handling({**Abacus().handlers(), Tick: tick})

    with structlog.testing.capture_logs() as lines:
        await handling.run(command)

    assert [line["log_level"] for line in lines] == levels
