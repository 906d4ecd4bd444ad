"""Is what was just written found, and what was just deleted gone? Over HTTP, on any member.

Pairs of a write and, with its Guild-Position, searches at once: several for each, because the pool
has two members, and they go to both. A fifth of the pairs asks for the meaning as well. Then
deletions, each followed by searches at once, and at the end by one for every deleted document.
All of it by a crowd, twice: quietly, and while a member of the pool is killed at once and then
every few seconds, as soon as all of them answer again. Before that by one client, whose
searches wait for the index alone: a crowd on few cores waits for these as well, which its searches
that name no position show.

pairs        documents that were written and looked for
killed       members of the pool whose process was gone after it
stale        answers that do not hold what they were asked to know
resurrected  answers that hold what was deleted before they were asked
admitted     those of them that say that they may be stale
ms           from the answer to the write to the answer of the search that holds it
bare_ms      of the search for what was deleted, which waits for no position
s            that the phase took
"""

import asyncio
import random
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar, TypeVarTuple

from benchmarks import casualties, local_stack
from benchmarks.frame import Goal, Options, Report, Summary, main, percentile
from benchmarks.progress import Step, shown
from cluster.api import Api, Json
from cluster.state import Stack

ArgsT = TypeVarTuple("ArgsT")
ResultT = TypeVar("ResultT")

SEED = 7
MEMBERS = 2
CLIENTS = 8
SEARCHES = 3  # of each write and each deletion, at once
KILL_EVERY_S = 5.0
_GONE_WITHIN_S = 10.0
_ANSWER_WITHIN_S = 60.0
_LOOK_S = 0.2
_DENSE_EVERY = 5  # pairs
_DENSE_WAIT_MS = 10_000
_NOTE_WORDS = 12
_WORDS = [
    "disk",
    "queue",
    "replica",
    "lease",
    "backup",
    "certificate",
    "probe",
    "quota",
    "harbour",
    "violin",
    "glacier",
    "orchard",
    "lantern",
    "comet",
    "saddle",
    "marble",
    "thunder",
    "walnut",
    "compass",
    "meadow",
    "anchor",
    "velvet",
    "canyon",
    "pepper",
    "falcon",
    "ribbon",
    "copper",
    "island",
    "cactus",
    "tunnel",
    "blanket",
    "magnet",
    "turtle",
    "window",
    "pencil",
    "bridge",
    "garden",
    "rocket",
    "silver",
    "monkey",
    "castle",
    "butter",
    "dragon",
    "engine",
    "forest",
    "guitar",
    "hammer",
    "jungle",
    "kitten",
    "lemon",
    "mirror",
    "needle",
    "oyster",
    "parrot",
    "quartz",
    "saffron",
    "tractor",
    "umbrella",
    "volcano",
    "whistle",
    "zebra",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """How much one phase does.

    Attributes:
        kills: members that must have died in the stormy one.
        alone: pairs, and deletions, of the client that is alone.
    """

    pairs: int
    deletions: int
    kills: int
    alone: int


FULL = Amount(pairs=2_500, deletions=1_000, kills=5, alone=200)
QUICK = Amount(pairs=60, deletions=30, kills=1, alone=40)


@dataclass(frozen=True, slots=True)
class Gone:
    """What was deleted: the word that only it had, where in the log, and when."""

    word: str
    position: str | None = None
    at: float = field(default_factory=time.perf_counter)


@dataclass(slots=True)
class Seen:
    """What one phase has seen.

    Attributes:
        pairs: documents that were written and looked for.
        killed: members whose process was killed and is gone.
        took_s: from the first pair to the last search.
    """

    pairs: int = 0
    stale: int = 0
    resurrected: int = 0
    admitted: int = 0
    repeated: int = 0
    killed: int = 0
    lexical_ms: list[float] = field(default_factory=list)
    dense_ms: list[float] = field(default_factory=list)
    bare_ms: list[float] = field(default_factory=list)
    took_s: float = 0.0
    deleted: dict[str, Gone] = field(default_factory=dict)

    def metrics(self) -> dict[str, float]:
        """The figures of the report."""
        return {
            "pairs": self.pairs,
            "searches": len(self.lexical_ms) + len(self.dense_ms),
            "stale": self.stale,
            "deleted": len(self.deleted),
            "resurrected": self.resurrected,
            "admitted": self.admitted,
            "killed": self.killed,
            "repeated": self.repeated,
            "lexical_ms_p50": percentile(self.lexical_ms, 0.5),
            "lexical_ms_p99": percentile(self.lexical_ms, 0.99),
            "dense_ms_p50": percentile(self.dense_ms, 0.5),
            "dense_ms_p99": percentile(self.dense_ms, 0.99),
            "bare_ms_p50": percentile(self.bare_ms, 0.5),
            "bare_ms_p99": percentile(self.bare_ms, 0.99),
            "s": self.took_s,
        }

    def __str__(self) -> str:
        back = f"resurrected {self.resurrected} ({self.admitted} admitted)"
        return f"stale {self.stale}, {back}, killed {self.killed}"


class Client:
    """Writes, searches and deletes, and counts what must not be."""

    def __init__(self, api: Api, seen: Seen, chance: random.Random) -> None:
        self._api = api
        self._seen = seen
        self._chance = chance

    async def pair(self, number: int) -> tuple[str, str]:
        """Writes a document and looks for it at once; its id and the word that only it has."""
        word = f"zq{uuid.uuid4().hex}"
        note = " ".join(self._chance.choices(_WORDS, k=_NOTE_WORDS))
        text = f"# {note}\n\n{word}"
        written = await self._api.post("/rag/documents", {"content": text, "external_id": word})
        begun = time.perf_counter()
        document_id = str(written.body["document_id"])
        dense = number % _DENSE_EVERY == 0
        await asyncio.gather(
            *(
                self._look(note if dense else word, document_id, written.position, dense, begun)
                for _ in range(SEARCHES)
            )
        )
        self._seen.pairs += 1
        return document_id, word

    async def delete(self, document_id: str, word: str) -> None:
        """Deletes a document and looks for it at once."""
        deleted = await self._api.delete(f"/rag/documents/{document_id}", version=1)
        gone = self._seen.deleted[document_id] = Gone(word, deleted.position)
        await asyncio.gather(*(self.ghost(document_id, gone) for _ in range(SEARCHES)))

    async def ghost(self, document_id: str, gone: Gone) -> None:
        """Looks for what was deleted, and says aloud what it knows of one that is back."""
        begun = time.perf_counter()
        found = await self._search({"query": gone.word, "mode": "lexical", "top_k": 5})
        self._seen.bare_ms.append((time.perf_counter() - begun) * 1_000)
        if any(hit["id"] == document_id for hit in found["hits"]):
            self._seen.resurrected += 1
            self._seen.admitted += found["stale"]
            print(
                f"{document_id}: deleted at {gone.position}, asked {begun - gone.at:.3f} s later,"
                f" answered at {found['position']}, stale: {found['stale']}",
                file=sys.stderr,
            )

    async def _look(
        self, text: str, document_id: str, position: str | None, dense: bool, begun: float
    ) -> None:
        consistency: Json = {"min_position": position}
        if dense:
            consistency |= {"legs": ["dense"], "timeout_ms": _DENSE_WAIT_MS}
        mode = "dense" if dense else "lexical"
        body: Json = {"query": text, "mode": mode, "top_k": 5, "consistency": consistency}
        hits = (await self._search(body))["hits"]
        took = (time.perf_counter() - begun) * 1_000
        self._seen.stale += all(hit["id"] != document_id for hit in hits)
        (self._seen.dense_ms if dense else self._seen.lexical_ms).append(took)

    async def _search(self, body: Json) -> Json:
        reply = await self._api.post("/rag/search", body)
        self._seen.repeated += reply.attempts - 1
        return reply.body


async def run(options: Options) -> Report:
    """All phases on one stack."""
    amount = QUICK if options.quick else FULL
    environment = {
        "GUILD_POOLS__RAG__MIN_SIZE": str(MEMBERS),
        "GUILD_POOLS__RAG__MAX_SIZE": str(MEMBERS),
        # By default few searches at a time may all go to one member.
        "GUILD_RUNTIME__FILL_BEFORE_SPREADING": "1",
        "GUILD_RUNTIME__RESTARTS_ALLOWED": "1000",  # no member rests: it is no fault of theirs
    }
    with tempfile.TemporaryDirectory(prefix="guild-bench-") as name:
        await asyncio.to_thread(Path(name).chmod, 0o755)
        with local_stack.started(Path(name) / "guild", **environment) as stack:
            few = replace(amount, pairs=amount.alone, deletions=amount.alone)
            alone = await _phase(stack, "one client", few, clients=1)
            quiet = await _phase(stack, "quiet", amount)
            stormy = await _phase(stack, "members killed", amount, kills=True)
    phases = {"one client": alone, "quiet": quiet, "members killed": stormy}
    return Report(
        results={
            name: {metric: Summary.of([value]) for metric, value in seen.metrics().items()}
            for name, seen in phases.items()
        },
        goals=goals(alone, quiet, stormy, amount),
        notes=(f"{SEARCHES} searches at once for each write, spread over {MEMBERS} members",),
        settings={
            "pairs": amount.pairs,
            "deletions": amount.deletions,
            "alone": amount.alone,
            "clients": CLIENTS,
            "kill_every_s": KILL_EVERY_S,
            "seed": SEED,
        },
    )


def goals(alone: Seen, quiet: Seen, stormy: Seen, amount: Amount) -> tuple[Goal, ...]:
    """Nothing stale and nothing back, of as much as was to be tried and with members dying."""
    both, all_of_them = (quiet, stormy), (alone, quiet, stormy)
    return (
        Goal(name="pairs", measured=sum(one.pairs for one in both), at_least=2 * amount.pairs),
        Goal(
            name="deleted",
            measured=sum(len(one.deleted) for one in both),
            at_least=2 * amount.deletions,
        ),
        Goal(name="killed", measured=stormy.killed, at_least=amount.kills),
        Goal(name="stale", measured=sum(one.stale for one in all_of_them), at_most=0),
        Goal(name="resurrected", measured=sum(one.resurrected for one in all_of_them), at_most=0),
        _fast_enough("alone_lexical_ms_p99", alone),
        _fast_enough("lexical_ms_p99", quiet),
    )


def _fast_enough(name: str, seen: Seen) -> Goal:
    measured = percentile(seen.lexical_ms, 0.99) if seen.lexical_ms else None
    return Goal(name=name, measured=measured, at_most=250)


async def _phase(
    stack: Stack, name: str, amount: Amount, *, clients: int = CLIENTS, kills: bool = False
) -> Seen:
    seen, step, chance = Seen(), Step("signing in"), random.Random(SEED)  # noqa: S311 - no secret
    with shown(lambda: f"{name}, {step}; {seen}"):
        async with local_stack.signed_in(stack) as api:
            await _until_all_answer(api)
            begun = time.perf_counter()
            client = Client(api, seen, chance)
            async with beside(_storm(stack, api, seen) if kills else None):
                step.begin("pairs", amount.pairs)
                pairs = [(number,) for number in range(amount.pairs)]
                made = await _spread(client.pair, pairs, clients, step)
                step.begin("deletions", amount.deletions)
                await _spread(client.delete, made[: amount.deletions], clients, step)
            await _until_all_answer(api)  # also the one that has just been started
            step.begin("deleted ones looked for", amount.deletions)
            await _spread(client.ghost, list(seen.deleted.items()), clients, step)
            seen.took_s = time.perf_counter() - begun
    return seen


async def _spread(
    work: Callable[[*ArgsT], Awaitable[ResultT]],
    items: Sequence[tuple[*ArgsT]],
    clients: int,
    step: Step,
) -> list[ResultT]:
    """The work for each item, by a few clients at a time; results in order."""
    slots = asyncio.Semaphore(clients)

    async def one(item: tuple[*ArgsT]) -> ResultT:
        async with slots:
            result = await work(*item)
        step.done += 1
        return result

    return await asyncio.gather(*(one(item) for item in items))


async def _storm(stack: Stack, api: Api, seen: Seen) -> None:
    """Kills the oldest member again and again, each time when all of them answer again.

    Who kills faster than members start kills them before they have answered anything: then nobody
    is asked, and nothing is tried.
    """
    while True:
        with suppress(TimeoutError):  # one is killed anyway
            await _until_all_answer(api)
        pid = await asyncio.to_thread(casualties.kill, stack, "rag")
        async with asyncio.timeout(_GONE_WITHIN_S):
            while _lives(pid):  # noqa: ASYNC110 - processes
                await asyncio.sleep(0.05)
        seen.killed += 1
        await asyncio.sleep(KILL_EVERY_S)


async def _until_all_answer(api: Api) -> None:
    """Asks until as many processes have answered as the pool has members.

    Raises:
        TimeoutError: not in time.
    """
    answered: set[int] = set()
    async with asyncio.timeout(_ANSWER_WITHIN_S):
        while len(answered) < MEMBERS:
            # Several at once: a single one goes to the member that a gateway asks first.
            pings = (api.get("/ping/rag") for _ in range(2 * MEMBERS))
            answered |= {int(pong.body["process_id"]) for pong in await asyncio.gather(*pings)}
            answered = {pid for pid in answered if _lives(pid)}
            await asyncio.sleep(_LOOK_S)


def _lives(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for yet does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in {"Z", "X"}


@asynccontextmanager
async def beside(storm: Coroutine[Any, Any, None] | None) -> AsyncIterator[None]:
    """Lets it blow while the block runs. A storm that ends by itself has failed, and so the block.

    Raises:
        ExceptionGroup: what the storm or the block raised.
    """
    async with asyncio.TaskGroup() as group:
        task = None if storm is None else group.create_task(storm)
        yield
        if task is not None:
            task.cancel()


if __name__ == "__main__":
    raise SystemExit(main("freshness", __doc__, run))
