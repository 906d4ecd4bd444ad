import pytest

from tests.fixtures.saga_contract import SagaStoreContract
from tests.fixtures.saga_memory import MemorySagaStore


class TestMemorySagaStore(SagaStoreContract):
    @pytest.fixture
    def store(self) -> MemorySagaStore:
        return MemorySagaStore()
