"""The store of the unit tests keeps the contract of the real one."""

import pytest

from actors.runtime.message import GuildId
from tests.fixtures.identity_contract import IdentityStoreContract
from tests.fixtures.memory_identity import MemoryIdentityStore


class TestMemoryIdentityStore(IdentityStoreContract):
    @pytest.fixture
    def store(self) -> MemoryIdentityStore:
        return MemoryIdentityStore()

    @pytest.fixture
    def guild(self) -> GuildId:
        return GuildId("guild_a")

    @pytest.fixture
    def other_guild(self) -> GuildId:
        return GuildId("guild_b")
