"""The store of the unit tests keeps what the real one keeps."""

import pytest

from tests.fixtures.feedback_contract import FeedbackStoreContract, Stores
from tests.fixtures.feedback_memory import MemoryFeedbackStore
from tests.fixtures.rag_memory import MemoryRagStore


class TestMemoryFeedbackStore(FeedbackStoreContract):
    @pytest.fixture
    def stores(self) -> Stores:
        rag = MemoryRagStore()
        return Stores(rag, MemoryFeedbackStore(rag))
