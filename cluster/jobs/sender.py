"""Documents to the guild in batches; each is confirmed in the journal, or fails for itself."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus

from actors.runtime.message import Position
from actors.settings import JobSettings
from cluster.api import Api, ApiProblem, Json
from cluster.jobs.journal import Entry, Journal
from cluster.jobs.report import Report

_BATCH = "/rag/documents:batch"
# Said of the whole body, where one document of it may be what is wrong.
_OF_THE_BODY = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)
_BUSY = frozenset(
    {
        HTTPStatus.CONFLICT,  # somebody else stored the same document at the same time
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
_CHANGED_SINCE = frozenset({HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A document ready to be sent.

    Attributes:
        name: for people.
        body: as the API takes it.
        size: of its text, in bytes.
    """

    name: str
    digest: str
    body: Json
    size: int


class Sender:
    """One guild's intake. ``position`` is that of the latest write."""

    def __init__(self, api: Api, journal: Journal, report: Report, numbers: JobSettings) -> None:
        self._api = api
        self._journal = journal
        self._report = report
        self._numbers = numbers
        self.position: Position | None = None

    async def send_all(self, sources: Sequence[AsyncIterator[Prepared]]) -> None:
        """Sends what the sources give, several batches in flight, with little in between.

        Raises:
            ApiProblem: the guild cannot be reached, or does not let us in.
        """
        waiting: asyncio.Queue[Prepared | None] = asyncio.Queue(self._numbers.batches_in_flight)

        async def read(source: AsyncIterator[Prepared]) -> None:
            async for prepared in source:
                await waiting.put(prepared)

        async def read_all() -> None:
            async with asyncio.TaskGroup() as readers:
                for source in sources:
                    readers.create_task(read(source))
            for _ in range(self._numbers.batches_in_flight):
                await waiting.put(None)

        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(read_all())
                for _ in range(self._numbers.batches_in_flight):
                    group.create_task(self._send_from(waiting))
        except BaseExceptionGroup as several:
            raise _first(several) from None

    async def send(self, batch: Sequence[Prepared]) -> None:
        """Sends a batch, and again what a busy guild put off. Raises `ApiProblem`."""
        pause_s = self._numbers.document_pause_s
        left = list(batch)
        for attempt in range(self._numbers.document_attempts):
            if attempt:
                await asyncio.sleep(pause_s)
                pause_s *= 2
            items = await self._post(left)
            busy = [
                (prepared, item)
                for prepared, item in zip(left, items, strict=True)
                if item["status"] in _BUSY
            ]
            self._settle(
                (prepared, item)
                for prepared, item in zip(left, items, strict=True)
                if item["status"] not in _BUSY
            )
            left = [prepared for prepared, _ in busy]
            if not left:
                return
        for prepared, item in busy:
            self._report.fail(prepared.name, f"the guild is busy: {item['error']['detail']}")

    async def _send_from(self, waiting: "asyncio.Queue[Prepared | None]") -> None:
        held: Prepared | None = None
        ended = False
        while not ended:
            first = held or await waiting.get()
            held = None
            if first is None:
                return
            batch, size = [first], first.size
            while len(batch) < self._numbers.batch_documents:
                try:
                    async with asyncio.timeout(self._numbers.batch_linger_s):
                        following = await waiting.get()
                except TimeoutError:
                    break
                if following is None:
                    ended = True
                    break
                size += following.size
                if size > self._numbers.batch_bytes:
                    held = following
                    break
                batch.append(following)
            await self.send(batch)

    async def _post(self, batch: Sequence[Prepared]) -> list[Json]:
        """One item for each document; a body that is refused is halved until it is clear why."""
        try:
            reply = await self._api.post(_BATCH, {"documents": [one.body for one in batch]})
        except ApiProblem as problem:
            if problem.status not in _OF_THE_BODY:
                raise
            if len(batch) == 1:
                return [{"status": problem.status, "error": {"detail": problem.sentence}}]
            middle = len(batch) // 2
            return [*await self._post(batch[:middle]), *await self._post(batch[middle:])]
        if reply.position is not None:
            position = Position.parse(reply.position)
            self.position = max(position, self.position or position)
        return list(reply.body["items"])

    def _settle(self, outcomes: Iterator[tuple[Prepared, Json]]) -> None:
        confirmed: list[Entry] = []
        for prepared, item in outcomes:
            stored = item.get("document")
            if stored is None:
                self._report.fail(prepared.name, item["error"]["detail"])
                continue
            name, document_id = prepared.body["external_id"], stored["document_id"]
            confirmed.append(Entry(name, prepared.digest, document_id, stored["version"]))
            self._report.sent_bytes += prepared.size
            if not stored["changed"]:
                self._report.unchanged += 1
            elif stored["version"] == 1:
                self._report.created += 1
            else:
                self._report.updated += 1
        self._journal.record(confirmed)


async def delete_all(
    api: Api, journal: Journal, entries: Sequence[Entry], report: Report, numbers: JobSettings
) -> None:
    """Deletes documents, forgets and counts them; one that is gone already is as good.

    One that somebody has changed since is deleted as it is now. Where this raises, those that were
    deleted before are forgotten and counted, and no further one is begun.

    Args:
        api: signed in.
        journal: knows the documents.
        entries: a page of them at most.
        report: ``pruned`` counts those that are deleted.
        numbers: the bounds.

    Raises:
        ApiProblem: the guild cannot be reached, or does not let us.
    """
    slots = asyncio.Semaphore(numbers.deletes_in_flight)
    gone: list[str] = []
    problems: list[Exception] = []

    async def delete(entry: Entry) -> None:
        async with slots:
            if problems:
                return
            try:
                await _delete(api, entry, numbers.document_attempts)
            except Exception as problem:
                problems.append(problem)
            else:
                gone.append(entry.external_id)

    await asyncio.gather(*(delete(entry) for entry in entries))
    journal.forget(gone)
    report.pruned += len(gone)
    if problems:
        raise problems[0]


async def _delete(api: Api, entry: Entry, attempts: int) -> None:
    path, version = f"/rag/documents/{entry.document_id}", entry.version
    for _ in range(attempts):
        try:
            await api.delete(path, version=version)
            return
        except ApiProblem as problem:
            if problem.status == HTTPStatus.NOT_FOUND:
                return
            if problem.status not in _CHANGED_SINCE:
                raise
        try:
            version = int((await api.get(path)).body["version"])
        except ApiProblem as problem:
            if problem.status == HTTPStatus.NOT_FOUND:
                return
            raise
    raise ApiProblem(HTTPStatus.CONFLICT, f"{entry.external_id} is changed all the time")


def _first(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """The one that is worth telling."""
    found = several.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
