"""The events one subscription has before it, and which of them may be delivered now. Pure.

Three promises, held here and nowhere else: of one aggregate only the oldest unfinished event is
ever out; neither lane can take the other's share; the cursor never passes an unfinished event.
"""

import enum
import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from actors.events import Priority, StoredEvent
from actors.runtime.message import Position

AggregateKey = tuple[str, str]
_COMPACT_FROM = 64


class Lane(enum.Enum):
    """Critical and high events, and all others."""

    URGENT = 0
    ROUTINE = 1


def lane_of(event: StoredEvent) -> Lane:
    """The lane an event's priority puts it in."""
    match event.priority:
        case Priority.CRITICAL | Priority.HIGH:
            return Lane.URGENT
        case Priority.NORMAL | Priority.LOW:
            return Lane.ROUTINE


@dataclass(slots=True, eq=False)
class Delivery:
    """One event on its way to one subscription.

    Attributes:
        before: position of the log's line before this one, whatever that was.
        lane: that of the slot it holds while it is out.
        failures: failed attempts.
        counted: those held against the event.
        failing_since: monotonic seconds of the first failure.
    """

    event: StoredEvent
    before: Position
    lane: Lane = Lane.ROUTINE
    failures: int = 0
    counted: int = 0
    failing_since: float | None = None
    done: bool = False


@dataclass(slots=True, eq=False)
class _Aggregate:
    """The unfinished events of one aggregate, oldest first."""

    waiting: deque[Delivery] = field(default_factory=deque)
    urgent: int = 0
    out: bool = False
    not_before: float = 0.0

    @property
    def lane(self) -> Lane:
        # An urgent event behind a routine one of its aggregate lends it its lane; else it would
        # wait for the whole routine backlog.
        return Lane.URGENT if self.urgent else Lane.ROUTINE


class Window:
    """What was read and is not finished, in the order of the log.

    Args:
        read_to: the subscription's cursor.
        capacity: events held.
        max_out: deliveries at one time.
        reserved: of these, the share each lane keeps free of the other.
    """

    def __init__(self, read_to: Position, *, capacity: int, max_out: int, reserved: float) -> None:
        if capacity < 1 or max_out < 2:
            raise ValueError("a window needs room for an event and a slot for each lane")
        self.read_to = read_to
        self._capacity = capacity
        self._max_out = max_out
        self._lane_limit = max_out - max(1, int(max_out * reserved))
        self._order: deque[Delivery] = deque()
        self._aggregates: dict[AggregateKey, _Aggregate] = {}
        self._ready: dict[Lane, deque[AggregateKey]] = {lane: deque() for lane in Lane}
        self._resting: list[tuple[float, AggregateKey]] = []
        self._out = dict.fromkeys(Lane, 0)
        self._unfinished = 0

    @property
    def unfinished(self) -> int:
        """Events read and neither acknowledged nor given up."""
        return self._unfinished

    @property
    def out(self) -> int:
        """Deliveries under way."""
        return sum(self._out.values())

    @property
    def room(self) -> int:
        """How many more events it takes."""
        return self._capacity - self._unfinished

    @property
    def cursor(self) -> Position:
        """Everything at or below is finished, and nothing above is forgotten."""
        return self._order[0].before if self._order else self.read_to

    @property
    def oldest(self) -> Delivery | None:
        """The unfinished event that holds the cursor."""
        return self._order[0] if self._order else None

    def add(self, event: StoredEvent) -> None:
        """Takes the next event of the log that this subscription wants."""
        self._check_next(event.position)
        delivery = Delivery(event, before=self.read_to)
        self.read_to = event.position
        self._order.append(delivery)
        self._unfinished += 1
        key = _key(event)
        aggregate = self._aggregates.get(key)
        if aggregate is None:
            aggregate = self._aggregates[key] = _Aggregate()
        lane_before = aggregate.lane
        aggregate.waiting.append(delivery)
        aggregate.urgent += lane_of(event) is Lane.URGENT
        if len(aggregate.waiting) == 1 or aggregate.lane is not lane_before:
            self._offer(key, aggregate)

    def skip_to(self, position: Position) -> None:
        """Passes over what this subscription does not want."""
        if position > self.read_to:
            self.read_to = position

    def take(self, now: float) -> Iterator[Delivery]:
        """The deliveries to begin now; each is out until it is finished or failed."""
        self._wake(now)
        for lane in Lane:
            while self.out < self._max_out and self._out[lane] < self._lane_limit:
                delivery = self._next(lane, now)
                if delivery is None:
                    break
                yield delivery

    def next_due(self) -> float | None:
        """When the earliest pause ends; None: nothing rests."""
        return self._resting[0][0] if self._resting else None

    def finish(self, delivery: Delivery) -> None:
        """The delivery was acknowledged, or given up and written down."""
        key = _key(delivery.event)
        aggregate = self._aggregates[key]
        self._returned(delivery, aggregate)
        aggregate.waiting.popleft()
        aggregate.urgent -= lane_of(delivery.event) is Lane.URGENT
        delivery.done = True
        self._unfinished -= 1
        if aggregate.waiting:
            aggregate.not_before = 0.0
            self._offer(key, aggregate)
        else:
            del self._aggregates[key]
        self._forget_done()

    def fail(self, delivery: Delivery, *, not_before: float) -> None:
        """The delivery failed and is to be repeated; until then its aggregate waits."""
        key = _key(delivery.event)
        aggregate = self._aggregates[key]
        self._returned(delivery, aggregate)
        aggregate.not_before = not_before
        heapq.heappush(self._resting, (not_before, key))

    def _forget_done(self) -> None:
        while self._order and self._order[0].done:
            self._order.popleft()
        # Behind one that fails for long, finished ones gather; they hold no room, nor memory.
        if len(self._order) > 2 * self._unfinished + _COMPACT_FROM:
            self._order = deque(delivery for delivery in self._order if not delivery.done)

    def _returned(self, delivery: Delivery, aggregate: _Aggregate) -> None:
        if not aggregate.out or aggregate.waiting[0] is not delivery:
            raise ValueError("this delivery is not out")
        aggregate.out = False
        self._out[delivery.lane] -= 1

    def _offer(self, key: AggregateKey, aggregate: _Aggregate) -> None:
        self._ready[aggregate.lane].append(key)

    def _wake(self, now: float) -> None:
        while self._resting and self._resting[0][0] <= now:
            _, key = heapq.heappop(self._resting)
            aggregate = self._aggregates.get(key)
            if aggregate is not None:
                self._offer(key, aggregate)

    def _next(self, lane: Lane, now: float) -> Delivery | None:
        """The head of the lane's first aggregate that may go.

        An aggregate can stand in a queue twice, or in the wrong one after its lane changed; such
        an entry is passed over here, because the right one exists as well.
        """
        queue = self._ready[lane]
        while queue:
            key = queue.popleft()
            aggregate = self._aggregates.get(key)
            if aggregate is None or aggregate.lane is not lane:
                continue
            if aggregate.out or aggregate.not_before > now:
                continue
            aggregate.out = True
            delivery = aggregate.waiting[0]
            delivery.lane = lane
            self._out[lane] += 1
            return delivery
        return None

    def _check_next(self, position: Position) -> None:
        if position <= self.read_to:
            raise ValueError("the log is read forward only")


def _key(event: StoredEvent) -> AggregateKey:
    return event.guild_id, event.aggregate_id
