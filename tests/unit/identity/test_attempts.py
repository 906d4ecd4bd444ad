"""Guessing is slowed down, and nobody is locked out."""

import pytest

from actors.identity.attempts import lanes
from actors.settings import IdentitySettings
from tests.fixtures.memory_identity import MemoryIdentityStore

SETTINGS = IdentitySettings()


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(clock: Clock) -> MemoryIdentityStore:
    return MemoryIdentityStore(clock)


async def test_after_five_failures_each_pause_is_longer_up_to_a_bound_and_then_over(
    store: MemoryIdentityStore, clock: Clock
) -> None:
    account = lanes("elder", "", SETTINGS)
    pauses: list[float] = []

    while len(pauses) < 12:
        wait_s = await store.attempt_in(account)
        if wait_s > 0:
            clock.now += wait_s
        pauses.append(wait_s)

    assert pauses == [0, 0, 0, 0, 0, 1, 0, 2, 0, 4, 0, 8]
    for _ in range(20):
        pauses.append(await store.attempt_in(account))
        clock.now += pauses[-1]
    assert max(pauses) == SETTINGS.account_pause_max_s
    clock.now += SETTINGS.account_window_s
    assert await store.attempt_in(account) == 0


async def test_twenty_failures_from_one_address_close_it_for_the_rest_of_a_minute(
    store: MemoryIdentityStore, clock: Clock
) -> None:
    waits = []

    for number in range(25):
        waits.append(await store.attempt_in(lanes(f"guess-{number}", "192.0.2.7", SETTINGS)))
        clock.now += 1.0

    assert waits[:20] == [0] * 20
    assert all(0 < wait_s <= 40 for wait_s in waits[20:])
    assert await store.attempt_in(lanes("guess", "192.0.2.8", SETTINGS)) == 0
    clock.now = 61.0
    assert await store.attempt_in(lanes("guess", "192.0.2.7", SETTINGS)) == 0


async def test_who_signs_in_from_a_busy_address_uses_nothing_up(
    store: MemoryIdentityStore,
) -> None:
    for number in range(100):
        tried = lanes(f"user-{number}", "192.0.2.7", SETTINGS)
        assert await store.attempt_in(tried) == 0
        await store.succeeded_in(tried)


def test_addresses_of_one_site_are_one_and_a_mapped_one_is_what_it_maps() -> None:
    def key(address: str) -> str:
        return lanes("elder", address, SETTINGS)[0].key

    assert key("2001:db8::1") == key("2001:db8::ffff:1")
    assert key("2001:db8::1") != key("2001:db8:0:1::1")
    assert key("::ffff:192.0.2.7") == key("192.0.2.7")
    assert key("not an address") != key("192.0.2.7")


def test_a_lane_does_not_say_whose_it_is() -> None:
    for lane in lanes("elder", "192.0.2.7", SETTINGS):
        assert "elder" not in lane.key
        assert "192" not in lane.key[:3]
        assert len(lane.key) == 64
