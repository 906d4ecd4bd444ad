"""The limit over all replicas: what is asked of the shared count, and what happens without it."""

import asyncio
from collections import Counter

from actors.errors import DependencyUnavailable
from actors.runtime.message import Caller, GuildId
from actors.settings import RateSettings
from serve_app.limiter import Limiter

NOON = 1_800_000_000.0


class MemoryCount:
    """The shared count, in this process."""

    def __init__(self) -> None:
        self.values: Counter[str] = Counter()
        self.asked = 0
        self.away = False

    async def add(self, key: str, amount: int, ttl_s: int) -> int:
        self.asked += 1
        await asyncio.sleep(0)
        if self.away:
            raise DependencyUnavailable("redis")
        self.values[key] += amount
        return self.values[key]


class Clock:
    """Time that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


def caller(name: str = "user_a", guild: str = "guild_a") -> Caller:
    return Caller(guild_id=GuildId(guild), principal_id=name)


def limiter(shared: MemoryCount | None, clock: Clock, **changed: float) -> Limiter:
    fields = {"principal": 100, "guild": 1_000, "lease_share": 0.1, "alone_share": 0.25}
    return Limiter(RateSettings.model_validate({**fields, **changed}), shared, clock)


async def served(by: Limiter, requests: int, who: Caller | None = None) -> int:
    verdicts = [await by.admit(who or caller()) for _ in range(requests)]
    return sum(not verdict.refused_by for verdict in verdicts)


async def test_two_replicas_serve_one_quota() -> None:
    shared, clock = MemoryCount(), Clock()
    one, two = limiter(shared, clock), limiter(shared, clock)

    total = 0
    for _ in range(100):
        total += await served(one, 1) + await served(two, 1)

    assert total == 100


async def test_the_shared_count_is_asked_once_for_a_lease_and_never_when_all_is_spent() -> None:
    shared, clock = MemoryCount(), Clock()
    by = limiter(shared, clock)

    assert await served(by, 500) == 100

    assert shared.asked == 10 + 1  # ten leases of the principal, one of the guild


async def test_who_asks_at_once_waits_for_one_draw_that_is_enough_for_all() -> None:
    shared, clock = MemoryCount(), Clock()
    by = limiter(shared, clock)

    verdicts = await asyncio.gather(*(by.admit(caller()) for _ in range(60)))

    assert not any(verdict.refused_by for verdict in verdicts)
    assert shared.asked == 2


async def test_a_client_that_goes_away_takes_nobodys_draw_along() -> None:
    shared, clock = MemoryCount(), Clock()
    by = limiter(shared, clock)
    first, second = (asyncio.create_task(by.admit(caller())) for _ in range(2))
    await asyncio.sleep(0)

    first.cancel()

    assert not (await second).refused_by


async def test_principals_do_not_take_from_each_other_but_from_their_guild() -> None:
    clock = Clock()
    by = limiter(MemoryCount(), clock, guild=150)

    assert await served(by, 200, caller("user_a")) == 100
    assert await served(by, 200, caller("user_b")) == 50
    assert (await by.admit(caller("user_c"))).refused_by == "guild"
    assert await served(by, 1, caller("user_a", "guild_b")) == 1


async def test_without_the_shared_count_a_replica_serves_only_its_part() -> None:
    shared, clock = MemoryCount(), Clock()
    shared.away = True
    by = limiter(shared, clock)

    assert await served(by, 200) == 25
    assert shared.asked == 1  # then it rests


async def test_with_no_shared_count_at_all_likewise() -> None:
    clock = Clock()

    assert await served(limiter(None, clock), 200) == 25


async def test_a_shared_count_that_hangs_is_given_up_in_time() -> None:
    class Hanging(MemoryCount):
        async def add(self, key: str, amount: int, ttl_s: int) -> int:
            await asyncio.Event().wait()
            return 0

    by = limiter(Hanging(), Clock(), timeout_s=0.01)

    async with asyncio.timeout(2):
        assert await served(by, 30) == 25


async def test_the_next_window_is_a_new_one() -> None:
    clock = Clock()
    by = limiter(MemoryCount(), clock)
    await served(by, 200)

    clock.now += 10

    assert await served(by, 200) == 100


async def test_the_headers_say_policy_rest_and_end() -> None:
    clock = Clock()
    by = limiter(MemoryCount(), clock)
    clock.now += 4

    headers = dict((await by.admit(caller())).headers)

    assert headers[b"ratelimit-policy"] == b'"principal";q=100;w=10, "guild";q=1000;w=10'
    assert headers[b"ratelimit"] == b'"principal";r=99;t=6, "guild";r=999;t=6'


async def test_a_refusal_says_when_the_window_ends() -> None:
    clock = Clock()
    by = limiter(MemoryCount(), clock, principal=1)
    clock.now += 7.5

    await by.admit(caller())
    refused = await by.admit(caller())

    assert (refused.refused_by, refused.retry_after_s) == ("principal", 3)
    assert b'"principal";r=0;t=3' in dict(refused.headers)[b"ratelimit"]
