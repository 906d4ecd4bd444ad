import pytest

from actors.runtime.desired import DesiredInMemory, DesiredState
from tests.fixtures.desired_contract import DesiredContract


class TestDesiredInMemory(DesiredContract):
    @pytest.fixture
    def desired(self) -> DesiredState:
        return DesiredInMemory()
