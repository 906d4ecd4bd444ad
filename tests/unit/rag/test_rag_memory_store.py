"""The store of the unit tests keeps what the real one keeps."""

import pytest
from hypothesis import given

from tests.fixtures.rag_contract import RagStoreContract
from tests.fixtures.rag_memory import MemoryLog, MemoryRagStore
from tests.fixtures.storing_contract import (
    DRAFTS,
    PROPERTY,
    Drafts,
    StoringContract,
    check_a_batch_is_its_documents,
)


class TestMemoryRagStore(RagStoreContract):
    @pytest.fixture
    def store(self) -> MemoryRagStore:
        return MemoryRagStore()


class TestStoringInMemory(StoringContract):
    @pytest.fixture
    def log(self) -> MemoryLog:
        return MemoryLog()

    @pytest.fixture
    def store(self, log: MemoryLog) -> MemoryRagStore:
        return MemoryRagStore(log)

    @given(drafts=DRAFTS)
    @PROPERTY
    async def test_a_batch_is_its_documents_one_by_one(
        self, store: MemoryRagStore, log: MemoryLog, drafts: Drafts
    ) -> None:
        await check_a_batch_is_its_documents(store, log, drafts)
