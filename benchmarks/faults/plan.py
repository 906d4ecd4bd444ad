"""What a run does, decided before it begins. Pure."""

import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from random import Random

import orjson

NOTHING = "nothing"
FLUSH = "flushall"
CONSUMER = "consumer"
MEMBER = "rag"
"""The pool whose members are this benchmark's own, in a stack that was started for it."""

TARGETS = ("router", "bus", "gateway", "supervisor", "valkey", "postgres", CONSUMER, FLUSH)
"""What is hit in any stack. ``consumer`` is the client that pulls; ``flushall`` ends nobody."""

STACK = "stack"
"""All of it at once, started again by hand."""

PARTS = (
    *("gateway", "task", "rag", "router", "bus", "supervisor", "haproxy", "controller"),
    *("gcs", "valkey", "postgres", "raylet", STACK),
)
"""What is hit while clients ask; the last ones take the others with them."""

_WITH_OTHERS = ("raylet", STACK)
_EARLIEST_S, _LATEST_S = 0.3, 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What writers and consumers do. Crosses to their processes as JSON.

    Attributes:
        run: makes the events' type and source, and the subscriptions' names, this run's own.
        over_http: of the writers, those that publish through the gateway.
        rate: publishes a second, of all writers together.
        most_events: in one publish.
        repeated: share of publishes that are made again with the same identity.
        redelivered: share of deliveries whose acknowledgement is withheld after the effect.
        ack_deadline_s: after which a pulled event goes to somebody else.
        handled: whether members of the pool ``rag`` handle the events, too.
    """

    run: str
    seed: int
    guild_id: str
    writers: int = 4
    over_http: int = 0
    aggregates: int = 200
    rate: float = 24.0
    most_events: int = 4
    repeated: float = 0.08
    redelivered: float = 0.07
    ack_deadline_s: float = 2.0
    handled: bool = False

    @property
    def type(self) -> str:
        """Of all its events."""
        return f"custom.faults.{self.run}"

    @property
    def source(self) -> str:
        """Of all its events."""
        return f"/faults/{self.run}"

    @property
    def pulled(self) -> str:
        """The subscription that is pulled."""
        return f"faults-{self.run}-pulled"

    @property
    def pooled(self) -> dict[str, int]:
        """Subscriptions that members of a pool handle → how many events at a time."""
        if not self.handled:
            return {}
        return {f"faults-{self.run}-one": 1, f"faults-{self.run}-many": 16}

    @property
    def consumers(self) -> tuple[str, ...]:
        """Names of all subscriptions."""
        return (self.pulled, *self.pooled)

    def short(self, consumer: str) -> str:
        """A subscription's name in reports."""
        return consumer.removeprefix(f"faults-{self.run}-")

    def aggregate(self, number: int) -> str:
        """The partition key of one aggregate."""
        return f"order-{number}"

    def withholds(self, event_id: str) -> bool:
        """Whether the first acknowledgement of this event is withheld."""
        return zlib.crc32(event_id.encode()) % 1_000 < self.redelivered * 1_000

    def acks_late(self, event_id: str) -> bool:
        """Of those withheld, whether it comes when it is too late; else the event is given back."""
        return zlib.crc32(event_id[::-1].encode()) % 2 == 0

    def to_json(self) -> str:
        """For an argument of a process."""
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def from_json(cls, text: str) -> "Workload":
        """What `to_json` wrote."""
        return cls(**orjson.loads(text))


@dataclass(frozen=True, slots=True)
class Strike:
    """One fault to come: whom it hits, and how long all is well before it."""

    target: str
    pause_s: float


def strikes(seed: int, number: int, targets: Sequence[str]) -> list[Strike]:
    """So many faults, every target once before any is hit again."""
    dice = Random(seed)  # noqa: S311  # chooses victims
    order: list[str] = []
    while len(order) < number:
        order += dice.sample(targets, len(targets))
    return [Strike(target, dice.uniform(_EARLIEST_S, _LATEST_S)) for target in order[:number]]


def parts(seed: int, targets: Sequence[str]) -> list[str]:
    """The parts in an order of the seed's; what takes the others with it comes last."""
    dice = Random(seed)  # noqa: S311  # chooses victims
    small = [one for one in targets if one not in _WITH_OTHERS]
    return [*dice.sample(small, len(small)), *(one for one in _WITH_OTHERS if one in targets)]
