"""The cluster's jobs, by Ray's job API: submitted, followed to their end, listed, stopped."""

import asyncio
import shlex
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

import aiohttp
from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient

from actors import clock
from actors.settings import GuildSettings
from cluster.problem import StackProblem
from cluster.state import Stack

_MARK = "guild_job"
_POLL_S = 0.5
_MOST_SILENCES = 20
_UNKNOWN_CODE = 2
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """One job as Ray knows it.

    Attributes:
        code: with which it ended; None while it runs, or where it never began.
    """

    job_id: str
    name: str
    status: str
    command: str
    message: str
    code: int | None
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return JobStatus(self.status).is_terminal()

    @property
    def exit_code(self) -> int:
        """What a shell should see: the job's own code, where it has one."""
        if self.code is not None:
            return self.code
        return 0 if self.status == JobStatus.SUCCEEDED else _UNKNOWN_CODE


class Jobs:
    """The jobs of one cluster. Its methods block or wait; each request is bounded by Ray."""

    def __init__(self, client: JobSubmissionClient) -> None:
        self._client = client

    @classmethod
    def of(cls, config: GuildSettings) -> "Jobs":
        """Those of ``GUILD_JOBS__CLUSTER_URL``, else of the local stack.

        Raises:
            StackProblem: no cluster answers, or not to us.
        """
        address, token = _way(config)
        headers = {"Authorization": f"Bearer {token}"} if token else None
        client = _said(lambda: JobSubmissionClient(address, headers=headers))
        if client.get_address().rstrip("/") != address.rstrip("/"):
            raise StackProblem(
                f"RAY_API_SERVER_ADDRESS or RAY_ADDRESS names another cluster than {address}:"
                " unset it"
            )
        return cls(client)

    def submit(self, name: str, command: Sequence[str]) -> str:
        """Hands a command over and returns the job's id; it starts on the head's node.

        Raises:
            StackProblem: Ray refuses it.
        """
        return _said(
            lambda: self._client.submit_job(
                entrypoint=shlex.join(command),
                submission_id=clock.new_id(name.replace("-", "_")),
                metadata={_MARK: name},
            )
        )

    def get(self, job_id: str) -> Known:
        """One job. Raises `StackProblem`: there is none."""
        return _known(_said(lambda: self._client.get_job_info(job_id)))

    def all(self) -> list[Known]:
        """Ours that Ray still knows, the newest first."""
        found = [
            _known(one)
            for one in _said(self._client.list_jobs)
            if one.submission_id and _MARK in (one.metadata or {})
        ]
        oldest = datetime.min.replace(tzinfo=UTC)
        return sorted(found, key=lambda one: one.started_at or oldest, reverse=True)

    def stop(self, job_id: str) -> bool:
        """Asks it to end, by SIGTERM first; whether it was running."""
        return _said(lambda: self._client.stop_job(job_id))

    def logs(self, job_id: str) -> str:
        """All it has printed so far."""
        return _said(lambda: self._client.get_job_logs(job_id))

    async def follow(self, job_id: str, show: Callable[[str], None]) -> Known:
        """Shows what it prints until it has ended.

        Raises:
            StackProblem: the cluster has been silent too often in a row.
        """
        shown, silences = 0, 0
        while True:
            try:
                passed = 0
                async for text in self._tail(job_id):
                    fresh = text[max(0, shown - passed) :]
                    passed += len(text)
                    shown = max(shown, passed)
                    silences = 0
                    if fresh:
                        show(fresh)
                known = await asyncio.to_thread(self.get, job_id)
                if known.ended:
                    return known
            except (RuntimeError, aiohttp.ClientError, StackProblem, OSError) as trouble:
                silences += 1
                if silences > _MOST_SILENCES:
                    raise StackProblem(f"the cluster does not answer: {trouble}") from trouble
            await asyncio.sleep(_POLL_S)

    async def until_ended(self, job_id: str, *, timeout_s: float) -> Known:
        """Waits for its end. Raises `StackProblem`: it takes longer."""
        deadline = time.monotonic() + timeout_s
        while True:
            known = await asyncio.to_thread(self.get, job_id)
            if known.ended:
                return known
            if time.monotonic() > deadline:
                raise StackProblem(f"{job_id} has not ended after {timeout_s:g} s")
            await asyncio.sleep(_POLL_S)

    async def _tail(self, job_id: str) -> AsyncIterator[str]:
        async for text in self._client.tail_job_logs(job_id):
            yield text


def _way(config: GuildSettings) -> tuple[str, str]:
    """Ray's dashboard and its token. Never "any Ray of this machine": that may be somebody's."""
    if config.jobs.cluster_url:
        return config.jobs.cluster_url, config.jobs.cluster_token.get_secret_value()
    folder = config.data_dir.resolve()
    stack = Stack.load(folder)
    if stack is None or not stack.running:
        raise StackProblem(
            f"no stack runs in {folder}: name its folder in GUILD_DATA_DIR, or a cluster in"
            " GUILD_JOBS__CLUSTER_URL and GUILD_JOBS__CLUSTER_TOKEN"
        )
    return stack.dashboard_url, stack.ray_token


def _said(work: Callable[[], _T]) -> _T:
    """What Ray answered; its troubles as sentences."""
    try:
        return work()
    except (RuntimeError, ConnectionError, ValueError, OSError) as error:
        first = str(error).strip().splitlines()[:1] or [type(error).__name__]
        raise StackProblem(f"Ray's job API: {first[0][:400]}") from error


def _known(details: JobDetails) -> Known:
    return Known(
        job_id=details.submission_id or "",
        name=(details.metadata or {}).get(_MARK, ""),
        status=str(details.status.value),
        command=details.entrypoint,
        message=details.message or "",
        code=details.driver_exit_code,
        started_at=_moment(details.start_time),
        ended_at=_moment(details.end_time),
    )


def _moment(milliseconds: int | None) -> datetime | None:
    return datetime.fromtimestamp(milliseconds / 1_000, UTC) if milliseconds else None
