"""The memory twin keeps the contract, so what it proves of the sage counts."""

import pytest

from tests.fixtures.knowledge_contract import KnowledgeStoreContract
from tests.fixtures.knowledge_memory import MemoryKnowledgeStore


class TestMemoryKnowledgeStore(KnowledgeStoreContract):
    @pytest.fixture
    def store(self) -> MemoryKnowledgeStore:
        return MemoryKnowledgeStore()
