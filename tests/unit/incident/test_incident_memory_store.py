"""The memory twin keeps the contract, so tests that use it can be believed."""

import pytest

from tests.fixtures.incident_contract import IncidentStoreContract
from tests.fixtures.incident_memory import MemoryIncidentStore


class TestMemoryIncidentStore(IncidentStoreContract):
    @pytest.fixture
    def store(self) -> MemoryIncidentStore:
        return MemoryIncidentStore()
