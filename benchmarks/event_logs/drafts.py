"""The events that are published: 1 KB of JSON each, the same for everybody."""

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson

DATA_BYTES = 1024
AGGREGATES = 1_000
SEED = 20
SOURCE = "/benchmarks/events"
PUBLISHED, HANDLED = "custom.bench.published", "custom.bench.handled"
_BODIES = 64
_WORDS = ("pool", "disk", "queue", "latency", "checkout", "billing", "replica", "certificate")


@dataclass(frozen=True, slots=True)
class Draft:
    """An event before anybody's encoding.

    Attributes:
        number: no two of a run are the same.
        data: a JSON object of `DATA_BYTES` bytes.
    """

    number: int
    data: str

    @property
    def source_id(self) -> str:
        """The publisher's own id of it."""
        return f"e{self.number}"

    @property
    def key(self) -> str:
        """What it is about: one of `AGGREGATES`."""
        return f"thing-{self.number % AGGREGATES}"


class Log(Protocol):
    """Somewhere that events are kept."""

    async def write(self, drafts: Sequence[Draft]) -> None:
        """Returns once all of them are acknowledged.

        Raises:
            Exception: one was not; a log that loses some has no figure.
        """


class Drafts:
    """New events, endlessly. One process uses one."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._bodies = list(_bodies())

    def take(self, count: int) -> list[Draft]:
        """The next ones."""
        return [
            Draft(number, self._bodies[number % _BODIES])
            for number in itertools.islice(self._numbers, count)
        ]


def _bodies() -> Iterator[str]:
    dice = random.Random(SEED)  # noqa: S311  # texts, not secrets
    for index in range(_BODIES):
        told = {"index": index, "value": dice.random(), "ok": True, "text": ""}
        room = DATA_BYTES - len(orjson.dumps(told))
        text = " ".join(dice.choices(_WORDS, k=room))[:room]
        yield orjson.dumps({**told, "text": text}).decode()
