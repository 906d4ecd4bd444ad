"""The memory twin keeps the contract, so what it proves of the sage counts."""

import pytest

from tests.fixtures.task_contract import TaskStoreContract
from tests.fixtures.task_memory import MemoryTaskStore


class TestMemoryTaskStore(TaskStoreContract):
    @pytest.fixture
    def store(self) -> MemoryTaskStore:
        return MemoryTaskStore()
