"""A replay is begun by one call and followed to its end."""

import io

import pytest
from rich.console import Console

from actors.settings import GuildSettings, JobSettings
from cluster.api import Json
from cluster.jobs.replay import follow, place
from cluster.problem import StackProblem
from tests.fixtures.jobs_guild import JobsGuild

SILENT = Console(file=io.StringIO())


def replay(state: str, delivered: int) -> Json:
    return {"replay_id": "replay_1", "state": state, "delivered": delivered}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("beginning", "beginning"),
        ("end", "end"),
        ("1-7421-12", {"position": "1-7421-12"}),
        ("2026-03-01T12:00:00Z", {"time": "2026-03-01T12:00:00Z"}),
    ],
)
def test_a_place_is_a_word_a_position_or_a_time(text: str, said: object) -> None:
    assert place(text) == said


@pytest.mark.parametrize("ended", ["completed", "cancelled"])
async def test_a_replay_is_followed_until_it_has_ended(ended: str) -> None:
    guild = JobsGuild()
    guild.replays = [replay("running", 10), replay(ended, 25)]
    config = GuildSettings(jobs=JobSettings(replay_poll_s=0.001))

    async with guild.api() as api:
        seen = await follow(api, replay("running", 0), config, SILENT)

    assert seen == replay(ended, 25)
    assert guild.calls == [("GET", "/replays/replay_1")] * 2


async def test_one_that_takes_too_long_is_left_to_itself() -> None:
    guild = JobsGuild()
    guild.replays = [replay("running", 10)]
    config = GuildSettings(jobs=JobSettings(replay_poll_s=0.001, replay_within_s=0.01))

    async with guild.api() as api:
        with pytest.raises(StackProblem, match="--resume follows it"):
            await follow(api, replay("running", 0), config, SILENT)
