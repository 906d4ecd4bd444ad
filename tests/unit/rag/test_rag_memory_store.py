"""The store of the unit tests keeps what the real one keeps."""

import pytest

from tests.fixtures.rag_contract import RagStoreContract
from tests.fixtures.rag_memory import MemoryRagStore


class TestMemoryRagStore(RagStoreContract):
    @pytest.fixture
    def store(self) -> MemoryRagStore:
        return MemoryRagStore()
