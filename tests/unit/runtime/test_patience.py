import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from actors.errors import DeadlineExceeded
from actors.runtime.patience import Patience
from tests.unit.runtime.member_side import SETTINGS, Connection, ask, mailbox, settled
from tests.unit.runtime.samples import CONTEXT, Abacus, Wait


class Loop(asyncio.SelectorEventLoop):
    """An event loop whose clock the test moves on."""

    stood_still_s = 0.0

    def time(self) -> float:
        return super().time() + self.stood_still_s


def run(work: Callable[[Loop], Coroutine[Any, Any, None]]) -> None:
    loop = Loop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(work(loop))


async def _pass(loop: Loop, seconds: float, steps: int = 1) -> None:
    for _ in range(steps):
        loop.stood_still_s += seconds / steps
        await settled()


def test_silence_ends_the_wait() -> None:
    async def work(loop: Loop) -> None:
        async def wait() -> None:
            async with Patience(4.0):
                await loop.create_future()

        waiting = asyncio.create_task(wait())
        await _pass(loop, 3.5, steps=7)
        early = waiting.done()
        await _pass(loop, 1.0, steps=2)

        assert not early
        with pytest.raises(TimeoutError):
            await waiting

    run(work)


def test_what_came_while_this_process_stood_still_is_heard() -> None:
    async def work(loop: Loop) -> None:
        answer: asyncio.Future[str] = loop.create_future()

        async def wait() -> str:
            async with Patience(4.0):
                return await answer

        waiting = asyncio.create_task(wait())
        await settled()
        await _pass(loop, 60.0)  # it is read, which takes a few rounds
        answer.set_result("here")

        assert await waiting == "here"

    run(work)


def test_a_member_is_not_lost_because_its_caller_stood_still() -> None:
    async def work(loop: Loop) -> None:
        sage = Abacus()
        connection = Connection(sage)
        box = mailbox(connection, SETTINGS)
        asked = asyncio.create_task(ask(box, Wait(context=CONTEXT, name="long"), timeout_s=600))
        while not sage.started:
            await settled()
        await _pass(loop, 0.1)  # its batch is answered, and it is waited for by a long poll

        await _pass(loop, 60.0)
        sage.gate("long").set()

        assert await asked == "long"

    run(work)


def test_who_asked_still_hears_of_the_deadline() -> None:
    async def work(loop: Loop) -> None:
        connection = Connection(Abacus())
        connection.hold = asyncio.Event()
        box = mailbox(connection, SETTINGS)
        asked = asyncio.create_task(ask(box, Wait(context=CONTEXT, name="long"), timeout_s=5))
        await settled()

        await _pass(loop, 60.0)

        with pytest.raises(DeadlineExceeded):
            await asked

    run(work)
