"""A mixed load: which request comes when is given by a seed; how long each took is kept."""

import asyncio
import hashlib
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

from cluster.api import Api, ApiProblem, Json

SHARES = {"search": 50, "document": 30, "task": 20}
"""Kinds of request, and of how many in a hundred they are."""

_DOCUMENTS = 200
_WORDS = (
    "alert",
    "backup",
    "cache",
    "cluster",
    "deploy",
    "disk",
    "failover",
    "gateway",
    "index",
    "latency",
    "lease",
    "limit",
    "mailbox",
    "network",
    "node",
    "pool",
    "queue",
    "replica",
    "restart",
    "retry",
    "router",
    "search",
    "shard",
    "snapshot",
    "storage",
    "timeout",
)
_REFUSED = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)


@dataclass(slots=True)
class Seen:
    """What came back of one kind.

    Attributes:
        refused: answers that say "later", and no answer at all.
        failed: all other answers that are none of success.
    """

    latencies_ms: list[float] = field(default_factory=list)
    refused: int = 0
    failed: int = 0

    def figures(self, seconds: float) -> Json:
        """Rate and latencies; None where nothing was answered."""
        ordered = sorted(self.latencies_ms)
        return {
            "answered": len(ordered),
            "refused": self.refused,
            "failed": self.failed,
            "per_s": round(len(ordered) / max(seconds, 1e-9), 2),
            **{f"p{share}_ms": percentile(ordered, share / 100) for share in (50, 95, 99)},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to send.

    Attributes:
        rate: requests a second whatever comes back; 0: each connection as fast as it is answered.
    """

    seed: int
    seconds: float
    connections: int
    rate: float = 0.0


class Loading:
    """One run. What it wrote can be taken away again."""

    def __init__(self, api: Api, load: Load) -> None:
        """Sends nothing yet.

        Args:
            api: without patience, so that each request is one attempt.
            load: what to send.
        """
        self._api = api
        self._load = load
        self._number = 0
        self._documents: dict[str, int] = {}
        self._tasks: dict[str, int] = {}
        self.seen = {kind: Seen() for kind in SHARES}
        self.seconds = 0.0

    @property
    def sent(self) -> int:
        """Requests begun."""
        return self._number

    async def run(self) -> None:
        """Sends until the time is over, then waits for what is under way.

        A request of a fixed rate is timed from when it was due, also where it had to wait.
        """
        began = time.monotonic()
        await asyncio.gather(*(self._work(began) for _ in range(self._load.connections)))
        self.seconds = time.monotonic() - began

    async def clean(self, api: Api) -> None:
        """Deletes what it wrote, patiently. Raises `ApiProblem`; what is left keeps its tag."""
        for kept, path in ((self._documents, "/rag/documents"), (self._tasks, "/tasks")):
            while kept:
                name, version = kept.popitem()
                await _delete(api, f"{path}/{name}", version)

    async def _work(self, began: float) -> None:
        while True:
            number = self._number
            due = began + number / self._load.rate if self._load.rate else time.monotonic()
            if due > began + self._load.seconds:
                return
            self._number += 1
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            kind = kind_of(self._load.seed, number)
            seen = self.seen[kind]
            try:
                await self._send(kind, number)
            except ApiProblem as problem:
                if problem.status in _REFUSED:
                    seen.refused += 1
                else:
                    seen.failed += 1
            else:
                seen.latencies_ms.append((time.monotonic() - due) * 1_000)

    async def _send(self, kind: str, number: int) -> None:
        seed = self._load.seed
        text = words(seed, number, 6)
        if kind == "search":
            await self._api.post("/rag/search", {"query": text, "top_k": 10})
        elif kind == "document":
            body: Json = {
                "external_id": f"load-test/{seed}/{number % _DOCUMENTS}",
                "content": f"# {text}\n\n{words(seed, -number - 1, 60)}",
                "tags": ["load-test"],
            }
            stored = (await self._api.post("/rag/documents", body)).body
            newest = max(stored["version"], self._documents.get(stored["document_id"], 0))
            self._documents[stored["document_id"]] = newest
        else:
            body = {"name": text, "category": "load-test", "tags": ["load-test"]}
            made = (await self._api.post("/tasks", body)).body
            self._tasks[made["task_id"]] = made["version"]


def kind_of(seed: int, number: int) -> str:
    """Which kind the n-th request is: the same for the same seed. Pure."""
    drawn = int.from_bytes(_drawn(seed, number)[:8]) % sum(SHARES.values())
    for kind, share in SHARES.items():
        if drawn < share:
            return kind
        drawn -= share
    raise AssertionError("the shares are all there is")


def words(seed: int, number: int, count: int) -> str:
    """So many words, the same for the same seed and number. Pure."""
    drawn = b"".join(_drawn(seed, number, block) for block in range(1 + count // 32))
    return " ".join(_WORDS[byte % len(_WORDS)] for byte in drawn[:count])


def percentile(ordered: Sequence[float], share: float) -> float | None:
    """The nearest rank of ascending values; None of none. Pure."""
    if not ordered:
        return None
    return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)], 2)


async def _delete(api: Api, path: str, version: int) -> None:
    """Also what an unanswered request has changed since."""
    try:
        await api.delete(path, version=version)
    except ApiProblem as problem:
        if problem.status == HTTPStatus.NOT_FOUND:
            return
        if problem.status not in (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED):
            raise
        latest: int = (await api.get(path)).body["version"]
        await api.delete(path, version=latest)


def _drawn(seed: int, number: int, block: int = 0) -> bytes:
    return hashlib.sha256(f"{seed}:{number}:{block}".encode()).digest()
