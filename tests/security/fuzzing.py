"""Schemathesis over the whole OpenAPI document, in process: no sockets, each chunk by its seed.

Cases that follow the document (positive) and cases that break it (negative) take turns. A chunk is
one route, one way and one number; the same chunk makes the same cases on every run.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson
import requests
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.core.errors import InvalidSchema
from schemathesis.core.result import Ok, Result
from schemathesis.schemas import APIOperation

from actors import clock
from tests.fixtures.asgi import Answered, send
from tests.fixtures.gateway import token_of

_Operation = APIOperation[Any, Any, Any, Any]
WAYS = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
_ENDLESS = "text/event-stream"
_KEY = re.compile(rb"[\x21-\x7e]{1,255}")
_DOCUMENTED = ("overloaded", "dependency_unavailable", "handler_lost")
"""Problems that a 503 may be; every other 5xx is a failure."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Cases that are made together."""

    route: str
    way: GenerationMode
    number: int

    @property
    def name(self) -> str:
        """For a journal; stays the same while the route does."""
        return f"{self.route} {self.way.value} {self.number}"


@dataclass(slots=True)
class Tally:
    """What became of the cases."""

    answers: Counter[int] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def cases(self) -> int:
        """How many there were."""
        return sum(self.answers.values())


class Fuzz:
    """All routes of one application, but those whose answers do not end."""

    def __init__(self, app: FastAPI) -> None:
        """Reads the document."""
        self._app = app
        self._loop = asyncio.Runner()  # one: parser processes belong to the loop they were made on
        document = orjson.loads(app.state.openapi)
        schema = schemathesis.openapi.from_dict(document)
        self._operations = {
            f"{operation.method.upper()} {operation.path}": operation
            for operation in map(_read, schema.get_all_operations())
            if not _is_endless(operation)
        }
        self._token = token_of(app)

    def close(self) -> None:
        """Ends what the application has started."""
        gateway = self._app.state.gateway
        self._loop.run(gateway.desk.close())
        self._loop.run(gateway.fetcher.close())
        self._loop.close()

    def chunks(self, many: int) -> Iterator[Chunk]:
        """The first chunks of every route, so that a run that is cut short has tried all routes."""
        for number in range(many):
            for way in WAYS:
                for route in self._operations:
                    yield Chunk(route, way, number)

    def __len__(self) -> int:
        """How many routes."""
        return len(self._operations)

    def run(self, chunk: Chunk, cases: int, start: int = 0) -> Tally:
        """Makes the cases of a chunk and sends them.

        Args:
            chunk: which.
            cases: at most so many; some routes have fewer different ones.
            start: where all seeds begin.
        """
        tally = Tally()
        strategy = self._operations[chunk.route].as_strategy(generation_mode=chunk.way)

        @seed(f"{start} {chunk.name}")
        @settings(
            max_examples=cases,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=strategy)
        def every(case: Case[_Operation]) -> None:
            answered = self._loop.run(self._send(case))
            tally.answers[answered.status] += 1
            wrong = fault(answered)
            if wrong:
                tally.failures.append(f"{chunk.name}: {wrong}: {case.as_curl_command()[:500]}")

        run: Callable[[], None] = every
        try:
            run()
        except Exception as error:
            if type(error).__name__ not in ("Unsatisfiable", "InvalidArgument"):
                raise
        return tally

    async def _send(self, case: Case[_Operation]) -> Answered:
        made = requests.Request(**_known(case.as_transport_kwargs("http://gateway"))).prepare()
        target = (made.url or "").removeprefix("http://gateway").encode("utf-8", "replace")
        path, _, query = target.partition(b"?")
        given = {_bytes(name).lower(): _bytes(value) for name, value in made.headers.items()}
        given[b"authorization"] = f"Bearer {self._token}".encode()
        # A good key is made a fresh one: the stores in memory do not keep what they answered.
        if _KEY.fullmatch(given.get(b"idempotency-key", b"a")):
            given[b"idempotency-key"] = clock.new_id("key").encode()
        raw = made.body if isinstance(made.body, bytes) else str(made.body or "").encode()
        return await send(
            self._app,
            made.method or "GET",
            path,
            query=query,
            headers=tuple(given.items()),
            body=raw,
        )


def fault(answered: Answered) -> str:
    """What is wrong with an answer; nothing where it is as the document says."""
    kind = answered.header("content-type").partition(";")[0]
    if answered.status == 503:
        problem = orjson.loads(answered.body)
        if any(problem.get("type", "").endswith(f":{code}") for code in _DOCUMENTED):
            return "" if answered.header("retry-after") else "503 without Retry-After"
        return "" if "parts" in problem else "503 that is not documented"
    if answered.status >= 500:
        return f"{answered.status}"
    if answered.status >= 400 and kind not in ("application/problem+json", "application/json"):
        return f"{answered.status} as {kind or 'nothing'}"
    return ""


def _read(found: Result[_Operation, InvalidSchema]) -> _Operation:
    if isinstance(found, Ok):
        return found.ok()
    raise found.err()


def _is_endless(operation: _Operation) -> bool:
    responses = operation.definition.raw.get("responses", {})
    return any(_ENDLESS in response.get("content", {}) for response in responses.values())


_TAKEN = ("method", "url", "headers", "params", "data", "json", "cookies")


def _known(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name in _TAKEN}


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode("utf-8", "replace")
