"""`python -m cluster.jobs.as_task NAME COMMAND…`: runs a job, and shows it as a task of the guild.

What the job prints and the code it ends with are passed on. Where the guild cannot be asked, the
job runs all the same and is no task.
"""

import asyncio
import re
import shlex
import signal
import sys
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from actors.settings import GuildSettings, settings
from cluster.api import Api, ApiProblem, Json
from cluster.jobs.access import open_api
from cluster.jobs.telling import printable
from cluster.problem import StackProblem

_BLOCK = 1 << 16
_LAST_LINES, _MAX_LINE = 20, 2_000
_MAX_WORDS = 19_000  # a task takes 20,000 characters
_MAX_NAME = 200
_PATIENCE_S, _TIMEOUT_S = 5.0, 5.0
_FAR = re.compile(r"^[^:]{1,200}: ([0-9]{1,15}) of ([0-9]{1,15})\b")


class Heard:
    """What a job has printed, as far as it matters for its task. Pure.

    Attributes:
        progress: of 1, by the latest line that says so; see `cluster.jobs.progress`.
        last: the latest lines.
    """

    def __init__(self) -> None:
        self.progress = 0.0
        self.last: deque[str] = deque(maxlen=_LAST_LINES)
        self._begun = ""

    def hear(self, text: str) -> None:
        """Takes what came, whole lines or not."""
        *lines, begun = (self._begun + text).split("\n")
        self._begun = begun[:_MAX_LINE]
        for line in lines:
            if not line.strip():
                continue
            self.last.append(printable(line.rstrip()[:_MAX_LINE]))
            if (far := _FAR.match(line)) and int(far[2]):
                self.progress = min(int(far[1]) / int(far[2]), 1.0)

    @property
    def words(self) -> str:
        """The latest lines as one text, the end of it where they are long."""
        return "\n".join([*self.last, *filter(None, [printable(self._begun)])])[-_MAX_WORDS:]


class ShownTask:
    """One task, begun when it is made; it never makes the job fail."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._path = ""
        self._progress = 0.0

    async def begin(self, name: str, command: Sequence[str]) -> None:
        """Makes the task and starts it."""
        title = printable(f"Job {name}: {shlex.join(command)}")
        body: Json = {
            "name": title if len(title) <= _MAX_NAME else f"{title[: _MAX_NAME - 1]}…",
            "category": "job",
            "labels": {"job": name},
            "max_retries": 0,
        }
        with _told():
            made = (await self._api.post("/tasks", body)).body
            self._path = f"/tasks/{made['task_id']}"
            await self._post("assign", {"assignee": made["created_by"]})
            await self._post("start", {})

    async def report(self, progress: float) -> None:
        """Says how far it is; the same again is not sent."""
        if not self._path or round(progress, 3) == self._progress:
            return
        with _told():
            version = (await self._api.get(self._path)).body["version"]  # others change it, too
            body: Json = {"progress": round(progress, 3)}
            await self._api.patch(self._path, body, version=version, key=uuid.uuid4().hex)
            self._progress = round(progress, 3)

    async def end(self, code: int, words: str) -> None:
        """Says how it ended: a job that was told to end is cancelled."""
        if not self._path:
            return
        with _told():
            if code == 0:
                await self._post("complete", {"result": words})
            elif code in (-signal.SIGTERM, -signal.SIGINT, 130):
                await self._post("cancel", {"reason": "stopped"})
            else:
                await self._post("fail", {"error": f"ended with {code}\n{words}"})

    async def _post(self, verb: str, body: Json) -> None:
        await self._api.post(f"{self._path}:{verb}", body)


@contextmanager
def _told() -> Iterator[None]:
    """Passes over a guild that does not answer, and says so."""
    try:
        yield
    except (ApiProblem, OSError, KeyError) as problem:
        print(f"the task could not be written: {problem}", file=sys.stderr)


async def run(name: str, command: Sequence[str], config: GuildSettings) -> int:
    """Runs the command to its end; its code, as a shell says it."""
    patience = {"patience_s": _PATIENCE_S, "timeout_s": _TIMEOUT_S}
    hurried = config.model_copy(update={"api": config.api.model_copy(update=patience)})
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _end, process)
    heard, ended = Heard(), asyncio.Event()
    try:
        async with open_api(hurried) as api:
            task = ShownTask(api)
            every_s = config.jobs.task_every_s
            showing = asyncio.create_task(_show(task, name, command, heard, ended, every_s))
            try:
                code = await _pass_on(process, heard)
            finally:
                ended.set()
            await showing
            await task.end(code, heard.words)
    except StackProblem as problem:
        print(f"shown as no task: {problem}", file=sys.stderr)
        code = await _pass_on(process, heard)
    return 128 - code if code < 0 else code


async def _show(
    task: ShownTask,
    name: str,
    command: Sequence[str],
    heard: Heard,
    ended: asyncio.Event,
    every_s: float,
) -> None:
    await task.begin(name, command)
    while not ended.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(ended.wait(), every_s)
        await task.report(heard.progress)


async def _pass_on(process: asyncio.subprocess.Process, heard: Heard) -> int:
    assert process.stdout is not None  # noqa: S101  # it was asked for
    while block := await process.stdout.read(_BLOCK):
        sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()
        heard.hear(block.decode(errors="replace"))
    return await process.wait()


def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()


def main(arguments: Sequence[str]) -> int:
    """Ends with the command's code."""
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    return asyncio.run(run(arguments[0], arguments[1:], settings()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
