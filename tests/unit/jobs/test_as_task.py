"""A job that is shown as a task: what it says becomes the task's progress and its end."""

import signal

import pytest

from cluster.jobs.as_task import Heard, ShownTask
from serve_app.schemas.task import CompleteIn, FailIn
from tests.fixtures.jobs_guild import JobsGuild


@pytest.mark.parametrize(
    ("printed", "progress"),
    [
        (["ingesting: 5 of 20  3 created\n"], 0.25),
        (["ingesting: 5 of", " 20\ningesting: 10 of 20\n"], 0.5),
        (["backup: 30 of 20\n"], 1.0),
        (["replay: 7  events delivered\n", "3 of 4\n", "x: 1 of 0\n"], 0.0),
        (["ingesting: 5 of 20"], 0.0),
    ],
)
def test_progress_is_what_the_latest_whole_line_of_it_says(
    printed: list[str], progress: float
) -> None:
    heard = Heard()

    for text in printed:
        heard.hear(text)

    assert heard.progress == progress


def test_only_the_latest_lines_are_remembered_and_none_is_endless() -> None:
    heard = Heard()

    for number in range(100):
        heard.hear(f"{number} {'x' * 5_000}\n")

    assert [line.split(" ")[0] for line in heard.last] == [str(number) for number in range(80, 100)]
    assert max(map(len, heard.last)) == 2_000


def test_a_task_takes_what_a_job_said_last_however_much_it_was() -> None:
    heard = Heard()

    for _ in range(20):
        heard.hear("\x1b" * 5_000 + "\n")
    heard.hear("the end")

    CompleteIn(result=heard.words)
    FailIn(error=f"ended with 1\n{heard.words}")
    assert heard.words.endswith("the end")


async def test_a_task_is_begun_moved_and_completed() -> None:
    guild = JobsGuild()
    async with guild.api() as api:
        task = ShownTask(api)

        await task.begin("ingest", ["python", "-m", "cluster.jobs.ingest", "a b"])
        for progress in (0.5, 0.5, 0.75):
            await task.report(progress)
        await task.end(0, "all is well")

    assert guild.history == ["assign", "start", "progress", "progress", "complete"]
    (made,) = guild.tasks.values()
    assert made["name"] == "Job ingest: python -m cluster.jobs.ingest 'a b'"
    assert (made["category"], made["labels"]) == ("job", {"job": "ingest"})
    assert made["assignee"] == made["created_by"]
    assert (made["progress"], made["result"]) == (0.75, "all is well")


@pytest.mark.parametrize(
    ("code", "verb"), [(1, "fail"), (2, "fail"), (-signal.SIGTERM, "cancel"), (130, "cancel")]
)
async def test_how_a_job_ends_badly_is_told_apart(code: int, verb: str) -> None:
    guild = JobsGuild()
    async with guild.api() as api:
        task = ShownTask(api)

        await task.begin("backup", ["x"])
        await task.end(code, "the disk is full")

    assert guild.history == ["assign", "start", verb]


async def test_a_guild_that_does_not_answer_stops_no_job(
    capsys: pytest.CaptureFixture[str],
) -> None:
    guild = JobsGuild()
    guild.trouble = iter([503])
    async with guild.api() as api:
        task = ShownTask(api)

        await task.begin("backup", ["x"])
        await task.report(0.5)
        await task.end(0, "")

    assert guild.calls == [("POST", "/tasks")]
    assert "the task could not be written" in capsys.readouterr().err
