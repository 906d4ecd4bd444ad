"""The fakes keep the contract."""

from collections.abc import Sequence

import pytest

from actors.bus.domain.publishing import Line
from actors.bus.messages import NewEvent, Subscription
from actors.events import StoredEvent
from actors.runtime.message import GuildId, Position
from tests.fixtures.bus_builders import GUILD, dead_letter, stored_event
from tests.fixtures.bus_contract import (
    DeadLetterStoreContract,
    Die,
    PublishingStoreContract,
    PullStoreContract,
    ReadBack,
    ReadingStoreContract,
    ReplayStoreContract,
    SubscriptionStoreContract,
    Write,
)
from tests.fixtures.bus_memory import (
    MemoryDeadLetterStore,
    MemoryPublishingStore,
    MemoryPullStore,
    MemoryReadingStore,
    MemoryReplayStore,
    MemorySubscriptionStore,
    WaitingLine,
)


@pytest.fixture
def store() -> MemoryPublishingStore:
    return MemoryPublishingStore()


@pytest.fixture
def read_back(store: MemoryPublishingStore) -> ReadBack:
    async def read(guild_id: GuildId) -> Sequence[tuple[Line, Position, int]]:
        return [tuple(entry) for whose, *entry in store.log if whose == guild_id]  # type: ignore[misc]

    return read


class TestMemoryPublishingStore(PublishingStoreContract):
    """In memory."""


class TestMemorySubscriptionStore(SubscriptionStoreContract):
    """In memory."""

    @pytest.fixture
    def subscriptions(self) -> MemorySubscriptionStore:
        return MemorySubscriptionStore()


class TestMemoryReadingStore(ReadingStoreContract):
    """In memory."""

    @pytest.fixture
    def reading(self) -> MemoryReadingStore:
        return MemoryReadingStore([])

    @pytest.fixture
    def write(self, reading: MemoryReadingStore) -> Write:
        async def publish(*events: NewEvent, guild_id: GuildId = GUILD) -> Sequence[StoredEvent]:
            made = [
                stored_event(event, len(reading.events) + 1 + index, guild_id)
                for index, event in enumerate(events)
            ]
            reading.events.extend(made)
            return made

        return publish


class MemoryWaiting:
    """The router's side of a `MemoryPullStore`."""

    def __init__(self, pulls: MemoryPullStore) -> None:
        self._pulls = pulls

    async def add(self, subscription: Subscription, *events: NewEvent) -> Sequence[StoredEvent]:
        begin = len(self._pulls.lines) + 1
        made = [stored_event(event, begin + index) for index, event in enumerate(events)]
        key = f"{subscription.subscription_id}@{subscription.generation}"
        self._pulls.lines += [WaitingLine(key, event, event.priority.rank > 2) for event in made]
        return made

    async def pass_time(self, seconds: float) -> None:
        self._pulls.now_s += seconds

    async def dead(self) -> dict[str, tuple[int, str]]:
        return self._pulls.dead


class TestMemoryPullStore(PullStoreContract):
    """In memory."""

    @pytest.fixture
    def pulls(self) -> MemoryPullStore:
        return MemoryPullStore()

    @pytest.fixture
    def waiting(self, pulls: MemoryPullStore) -> MemoryWaiting:
        return MemoryWaiting(pulls)


class TestMemoryDeadLetterStore(DeadLetterStoreContract):
    """In memory."""

    @pytest.fixture
    def letters(self) -> MemoryDeadLetterStore:
        return MemoryDeadLetterStore()

    @pytest.fixture
    def die(self, letters: MemoryDeadLetterStore) -> Die:
        async def die(name: str, event: NewEvent) -> StoredEvent:
            stored = stored_event(event)
            letters.letters.append(dead_letter(name, stored, len(letters.letters)))
            return stored

        return die


class TestMemoryReplayStore(ReplayStoreContract):
    """In memory."""

    @pytest.fixture
    def replays(self) -> MemoryReplayStore:
        return MemoryReplayStore()
