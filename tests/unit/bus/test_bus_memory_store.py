"""The fakes keep the contract."""

from collections.abc import Sequence

import pytest

from actors.bus.domain.publishing import Line
from actors.runtime.message import GuildId, Position
from tests.fixtures.bus_contract import (
    PublishingStoreContract,
    ReadBack,
    SubscriptionStoreContract,
)
from tests.fixtures.bus_memory import MemoryPublishingStore, MemorySubscriptionStore


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
