"""The store of the unit tests keeps the contract of re-embedding."""

import pytest

from tests.fixtures.reembedding_contract import NextStoreContract, Stores
from tests.fixtures.reembedding_memory import MemoryReembeddingStore


class TestMemoryNextStore(NextStoreContract):
    @pytest.fixture
    def stores(self) -> Stores:
        store = MemoryReembeddingStore()
        return Stores(store, store)
