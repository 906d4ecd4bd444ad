"""The fakes keep the contract."""

from collections.abc import Sequence

import pytest

from actors.bus.domain.publishing import Line
from actors.bus.messages import NewEvent
from actors.events import StoredEvent
from actors.runtime.message import GuildId, Position
from tests.fixtures.bus_builders import GUILD, stored_event
from tests.fixtures.bus_contract import (
    PublishingStoreContract,
    ReadBack,
    ReadingStoreContract,
    SubscriptionStoreContract,
    Write,
)
from tests.fixtures.bus_memory import (
    MemoryPublishingStore,
    MemoryReadingStore,
    MemorySubscriptionStore,
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
