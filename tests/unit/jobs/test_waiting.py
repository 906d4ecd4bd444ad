"""When everything that was written is searchable."""

import io

import pytest
from rich.console import Console

from actors.runtime.message import Position
from actors.settings import JobSettings
from cluster.api import Json
from cluster.jobs.waiting import is_searchable, until_searchable
from cluster.problem import StackProblem
from tests.fixtures.documents_guild import DocumentsGuild

SILENT = Console(file=io.StringIO())


def index(position: str | None = "1-5-5", *, pending: int = 0, state: str = "ready") -> Json:
    return {"state": state, "position": position, "dense_pending": pending}


@pytest.mark.parametrize(
    ("answer", "position", "searchable"),
    [
        (index(), None, True),
        (index(), Position(5, 5, 1), True),
        (index(), Position(5, 6, 1), False),
        (index("2-1-1"), Position(5, 6, 1), True),
        (index(None, state="initializing"), None, False),
        (index(pending=1), Position(5, 5, 1), False),
    ],
)
def test_an_index_is_ready_when_it_knows_and_has_embedded_all(
    answer: Json, position: Position | None, searchable: bool
) -> None:
    assert is_searchable(answer, position) is searchable


async def test_waiting_ends_when_nothing_is_pending() -> None:
    guild = DocumentsGuild()
    guild.pending = [30, 20, 0]
    numbers = JobSettings(searchable_poll_s=0.001)

    async with guild.api() as api:
        await until_searchable(api, Position(9, 9, 1), numbers, SILENT)

    assert guild.pending == []


async def test_waiting_is_given_up_in_the_end() -> None:
    guild = DocumentsGuild()
    guild.pending = [7] * 1_000
    numbers = JobSettings(searchable_poll_s=0.001, searchable_within_s=0.01)

    async with guild.api() as api:
        with pytest.raises(StackProblem, match="7 passages are not embedded"):
            await until_searchable(api, None, numbers, SILENT)
