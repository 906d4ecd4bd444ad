import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from actors.errors import DependencyUnavailable
from actors.runtime.envelope import Batch, Envelope, seal, unseal_outcome
from actors.runtime.host import Host
from actors.runtime.identity import MemberIdentity
from actors.runtime.member import Member
from actors.runtime.message import Handlers, Message, Outcome
from actors.runtime.nudge import Nudger
from actors.runtime.pools import Pools
from actors.runtime.ray_members import load_member_class, pool_settings
from actors.settings import GuildSettings, PoolSettings, RuntimeSettings
from tests.unit.runtime.member_side import settled
from tests.unit.runtime.samples import CONTEXT, Abacus, Echo

IDENTITY = MemberIdentity("echo", 1, 0)


class EchoMember(Member):
    """Opens when the test lets it."""

    def __init__(self, identity: MemberIdentity, *failures: Exception) -> None:
        super().__init__(identity)
        self._settings = GuildSettings(runtime=RuntimeSettings(restart_backoff_s=0.001))
        self.failures = list(failures)
        self.closed: list[str] = []

    async def open(self, host: Host) -> Handlers:
        host.on_close(self._close("first"))
        if self.failures:
            raise self.failures.pop(0)
        host.on_close(self._close("second"))
        return Abacus().handlers()

    def _close(self, name: str) -> Callable[[], Awaitable[None]]:
        async def close() -> None:
            self.closed.append(name)

        return close


async def ask(member: Member, message: Message[str]) -> Outcome[str]:
    batch = Batch("box_1", (Envelope(0, seal(message), 5.0, 1),), 0)
    (finished,) = (await member.submit(batch)).finished
    return unseal_outcome(finished.body)


async def ready(member: Member) -> None:
    for _ in range(2000):
        if (await member.health()).ready:
            return
        await asyncio.sleep(0.001)
    raise AssertionError("the member did not open")


async def test_a_member_opens_once_and_answers() -> None:
    member = EchoMember(IDENTITY)
    await ready(member)

    outcome = await ask(member, Echo(context=CONTEXT, text="hello"))

    assert outcome.reply == "hello"
    assert (await member.health()).handled == 1


async def test_a_member_that_cannot_open_yet_says_so_and_tries_again() -> None:
    member = EchoMember(IDENTITY, DependencyUnavailable("postgres"), RuntimeError("a bug"))

    before = await member.health()
    early = await ask(member, Echo(context=CONTEXT))
    await ready(member)

    assert not before.ready
    assert isinstance(early.error, DependencyUnavailable)
    assert early.error.name == "echo"
    assert member.closed == ["first", "first"]
    assert (await ask(member, Echo(context=CONTEXT, text="x"))).reply == "x"


async def test_a_draining_member_refuses_and_says_so() -> None:
    member = EchoMember(IDENTITY)
    await ready(member)

    await member.drain()

    assert isinstance((await ask(member, Echo(context=CONTEXT))).error, DependencyUnavailable)
    assert (await member.health()).draining


async def test_a_member_that_stops_closes_the_last_opened_first() -> None:
    member = EchoMember(IDENTITY)
    await ready(member)

    await member.stop()

    assert member.closed == ["second", "first"]


async def test_a_member_has_no_handlers_of_its_own() -> None:
    member = Member(IDENTITY)

    health = await member.health()
    await settled()

    assert not health.ready
    await member.stop()


async def test_one_failing_closer_does_not_keep_the_others_open() -> None:
    closed: list[str] = []
    settings = GuildSettings()
    host = Host(settings, Pools(settings), Nudger(lambda: None, 1))

    async def fine() -> None:
        closed.append("fine")

    async def broken() -> None:
        raise RuntimeError("broken")

    host.on_close(fine)
    host.on_close(broken)

    await host.close()

    assert closed == ["fine"]


async def test_nudges_are_sent_at_once_then_once_a_period() -> None:
    sent: list[float] = []
    loop = asyncio.get_running_loop()
    nudger = Nudger(lambda: sent.append(loop.time()), 0.01)

    for _ in range(100):
        nudger.nudge()
    at_once = len(sent)
    while len(sent) < 2:  # noqa: ASYNC110  # of those that came meanwhile one is sent by itself
        await asyncio.sleep(0)
    while len(sent) < 4:
        nudger.nudge()
        await asyncio.sleep(0)
    nudger.close()

    assert at_once == 1
    assert all(later - one >= 0.009 for one, later in pairwise(sent))


async def test_a_lone_nudge_is_sent_once() -> None:
    sent: list[bool] = []
    nudger = Nudger(lambda: sent.append(True), 0.001)

    nudger.nudge()
    await asyncio.sleep(0.02)

    assert sent == [True]
    nudger.close()


def test_a_member_class_is_found_by_its_path() -> None:
    assert load_member_class("tests.fixtures.echo_member:EchoMember").__name__ == "EchoMember"
    with pytest.raises(TypeError):
        load_member_class("actors.errors:NotFound")
    with pytest.raises(AttributeError):
        load_member_class("actors.errors:Nothing")


def test_a_pool_without_settings_of_its_own_has_the_usual_ones() -> None:
    assert pool_settings(GuildSettings(), "echo") == PoolSettings()
    assert pool_settings(GuildSettings(), "rag").memory_mib == 1024
