"""When the application of a cluster may begin."""

import pytest

from actors.runtime.supervision import Phase
from cluster.app import PoolsNotReady, lacking, wait_for_members


def test_a_pool_is_there_when_one_of_its_members_is_ready() -> None:
    members = {
        "task/1/0": Phase.OPENING,
        "rag/1/0": Phase.OPENING,
        "rag/2/1": Phase.READY,
        "nonsense": Phase.READY,
    }

    assert lacking(["rag", "task", "bus"], members) == ["bus", "task"]
    assert lacking(["rag"], members) == []


def test_who_waits_too_long_is_told_for_whom() -> None:
    with pytest.raises(PoolsNotReady, match="rag, task"):
        wait_for_members(None, ["rag", "task"], timeout_s=0)
