"""When a pool's members have been replaced, and with which generation it ends."""

from pathlib import Path

import pytest

from actors.runtime.desired import PoolState
from actors.runtime.supervising import Status
from actors.runtime.supervision import Phase
from actors.settings import GuildSettings
from cluster.jobs.rebuild_index import of_local_stack, original, replaced
from cluster.problem import StackProblem


def status(**members: Phase) -> Status:
    names = {name.replace("_", "/"): phase for name, phase in members.items()}
    pool = PoolState("rag", 2, 2, 1, 4)
    return Status(epoch=1, pools={"rag": pool}, members=names, restarts={}, resting=())


def test_only_ready_members_of_the_new_generation_count() -> None:
    seen = status(
        rag_2_0=Phase.READY, rag_2_1=Phase.OPENING, rag_1_0=Phase.DRAINING, task_1_0=Phase.READY
    )

    assert replaced(seen, "rag", 2) == (1, 2, 1)


@pytest.mark.parametrize(
    ("stored", "noted", "generation"),
    [(1, None, 1), (2, 1, 1), (1, 1, 1), (5, 1, 5)],
)
def test_a_run_after_one_that_was_killed_ends_with_the_generation_of_before(
    stored: int, noted: int | None, generation: int
) -> None:
    assert original(stored, noted) == generation


def test_without_a_stack_no_cluster_of_the_machine_is_taken(tmp_path: Path) -> None:
    with pytest.raises(StackProblem, match=r"no stack runs in .* GUILD_RAY_ADDRESS"):
        of_local_stack(GuildSettings(data_dir=tmp_path))


def test_a_cluster_that_is_named_is_asked_as_the_environment_says(tmp_path: Path) -> None:
    assert of_local_stack(GuildSettings(data_dir=tmp_path, ray_address="10.0.0.1:6379")) == {}
