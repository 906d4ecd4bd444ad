"""Jobs of the cluster, as far as they can be told without one."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from ray.job_submission import JobDetails, JobStatus
from typer.testing import CliRunner

from actors.settings import GuildSettings
from cluster.jobs.cluster import Jobs
from cluster.jobs.job import ABOUT, app
from cluster.problem import StackProblem


def details(status: JobStatus, code: int | None = None, **more: Any) -> JobDetails:
    fields: dict[str, Any] = {
        "type": "SUBMISSION",
        "submission_id": "ingest_1",
        "entrypoint": "python -m cluster.jobs.ingest",
        "status": status,
        "metadata": {"guild_job": "ingest"},
        "start_time": 1_000,
        "driver_exit_code": code,
    }
    return JobDetails(**{**fields, **more})


class FakeRay:
    """One job whose log comes in pieces, over a connection that breaks once."""

    def __init__(self, ends: JobDetails) -> None:
        self.ends = ends
        self.submitted: list[dict[str, Any]] = []
        self.tails = 0

    def submit_job(self, **said: Any) -> str:
        self.submitted.append(said)
        return str(said["submission_id"])

    def get_job_info(self, job_id: str) -> JobDetails:
        if job_id != "ingest_1":
            raise RuntimeError("Request failed with status code 404: no such job")
        return self.ends if self.tails > 1 else details(JobStatus.RUNNING)

    def list_jobs(self) -> list[JobDetails]:
        return [
            details(JobStatus.RUNNING, start_time=1_000),
            details(JobStatus.RUNNING, start_time=3_000, submission_id="ingest_3"),
            details(JobStatus.RUNNING, metadata={}, submission_id="somebody's"),
        ]

    async def tail_job_logs(self, job_id: str) -> AsyncIterator[str]:
        self.tails += 1
        yield "one\ntw"
        if self.tails == 1:
            raise RuntimeError("WebSocket connection closed unexpectedly")
        yield "o\nthree\n"


def jobs(ray: FakeRay) -> Jobs:
    return Jobs(ray)  # type: ignore[arg-type]  # as much of Ray's client as is used


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        (details(JobStatus.SUCCEEDED, 0), 0),
        (details(JobStatus.FAILED, 1), 1),
        (details(JobStatus.FAILED), 2),
        (details(JobStatus.STOPPED), 2),
    ],
)
async def test_a_job_is_followed_over_a_broken_connection_and_nothing_is_shown_twice(
    monkeypatch: pytest.MonkeyPatch, ends: JobDetails, code: int
) -> None:
    monkeypatch.setattr("cluster.jobs.cluster._POLL_S", 0.0)
    shown: list[str] = []

    known = await jobs(FakeRay(ends)).follow("ingest_1", shown.append)

    assert "".join(shown) == "one\ntwo\nthree\n"
    assert known.exit_code == code


def test_a_command_is_submitted_as_one_line_that_a_shell_reads_as_it_was() -> None:
    ray = FakeRay(details(JobStatus.SUCCEEDED))

    job_id = jobs(ray).submit("load-test", ["python", "-m", "x", "a b", "$HOME"])

    assert ray.submitted == [
        {
            "entrypoint": "python -m x 'a b' '$HOME'",
            "submission_id": job_id,
            "metadata": {"guild_job": "load-test"},
        }
    ]
    assert job_id.startswith("load_test_")


def test_only_jobs_of_the_guild_are_listed_the_newest_first() -> None:
    known = jobs(FakeRay(details(JobStatus.SUCCEEDED))).all()

    assert [one.job_id for one in known] == ["ingest_3", "ingest_1"]


def test_a_job_that_is_none_is_a_sentence() -> None:
    with pytest.raises(StackProblem, match=r"Ray's job API: .*no such job"):
        jobs(FakeRay(details(JobStatus.SUCCEEDED))).get("nobody")


def test_without_a_stack_no_cluster_of_the_machine_is_taken(tmp_path: Path) -> None:
    with pytest.raises(StackProblem, match=r"no stack runs in .* GUILD_JOBS__CLUSTER_URL"):
        Jobs.of(GuildSettings(data_dir=tmp_path))


@pytest.mark.parametrize("name", ABOUT)
def test_every_job_there_is_can_be_submitted_and_has_an_example_of_its_own(name: str) -> None:
    module = __import__(f"cluster.jobs.{name.replace('-', '_')}", fromlist=["app"])

    submitting = CliRunner().invoke(app, [name, "--help"])
    itself = CliRunner().invoke(module.app, ["--help"])

    assert (submitting.exit_code, itself.exit_code) == (0, 0)
    assert f"guild {name}" in submitting.output
    assert "Example:" in itself.output
