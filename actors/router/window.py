"""The events one subscription has before it, and which of them may be delivered now. Pure.

Three promises, held here and nowhere else: of one aggregate only the oldest unfinished event is
ever out; neither lane can take the other's share; the cursor never passes an unfinished event.
"""

import enum
import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from actors.events import Priority, StoredEvent
from actors.router.places import Place
from actors.runtime.message import Position
from actors.storage.frontier import Frontier

AggregateKey = tuple[str, str]
_COMPACT_FROM = 64


class Lane(enum.IntEnum):
    """Critical and high events, and all others."""

    URGENT = 0
    ROUTINE = 1


def lane_of(event: StoredEvent) -> Lane:
    """The lane an event's priority puts it in."""
    return _LANES[event.priority]


_LANES = {
    Priority.CRITICAL: Lane.URGENT,
    Priority.HIGH: Lane.URGENT,
    Priority.NORMAL: Lane.ROUTINE,
    Priority.LOW: Lane.ROUTINE,
}


@dataclass(slots=True, eq=False)
class Delivery:
    """One event on its way to one subscription.

    Attributes:
        read_at: where in the log it was read; not the event's own position where another event
            brought it.
        not_before: monotonic seconds before which it stays; 0: none.
        lane: that of the slot it holds while it is out.
        alone: it is delivered in a batch of its own, because one of its batch has failed.
        failures: failed attempts.
        counted: those held against the event.
        deaths: handlers that were lost while they had it.
        failing_since: monotonic seconds of the first failure.
    """

    event: StoredEvent
    read_at: Position
    not_before: float = 0.0
    lane: Lane = Lane.ROUTINE
    alone: bool = False
    failures: int = 0
    counted: int = 0
    deaths: int = 0
    failing_since: float | None = None
    done: bool = False

    @property
    def suspect(self) -> bool:
        """Whether it may be what its handler died of. Of these one is out at a time."""
        return self.deaths > 0


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
    """What was read and is not finished.

    Events come in the order of their aggregate's versions. Of different aggregates a later one may
    come first: what commits late has a lower position than what was read before.

    Args:
        frontier: how much has been read.
        capacity: events held.
        max_out: deliveries at one time.
        reserved: of these, the share each lane keeps free of the other.
        by_aggregate: keep the order within each aggregate; else every event goes for itself.

    Attributes:
        place: how much has been read; whoever reads moves it, after adding what it covers.
    """

    def __init__(
        self,
        frontier: Frontier,
        *,
        capacity: int,
        max_out: int,
        reserved: float,
        by_aggregate: bool = True,
    ) -> None:
        if capacity < 1 or max_out < 2:
            raise ValueError("a window needs room for an event and a slot for each lane")
        self.place = Place(frontier)
        self._capacity = capacity
        self._max_out = max_out
        self._lane_limit = max_out - max(1, int(max_out * reserved))
        self._by_aggregate = by_aggregate
        self._lowest: list[tuple[int, int, Delivery]] = []
        self._aggregates: dict[AggregateKey, _Aggregate] = {}
        self._ready: dict[Lane, deque[AggregateKey]] = {lane: deque() for lane in Lane}
        self._resting: list[tuple[float, AggregateKey]] = []
        self._suspects: list[AggregateKey] = []
        self._suspect_out: Delivery | None = None
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
        settled, oldest = self.place.frontier.settled, self.oldest
        if oldest is None:
            return settled
        held_by = oldest.read_at
        return min(settled, replace(held_by, seq=held_by.seq - 1))

    @property
    def oldest(self) -> Delivery | None:
        """The unfinished event that was read lowest: it holds the cursor."""
        while self._lowest and self._lowest[0][2].done:
            heapq.heappop(self._lowest)
        return self._lowest[0][2] if self._lowest else None

    def add(
        self, event: StoredEvent, *, read_at: Position | None = None, not_before: float = 0.0
    ) -> None:
        """Takes an event that the frontier does not cover yet and this subscription wants.

        Args:
            event: what is delivered.
            read_at: where it was read, when another event brought it.
            not_before: when it may go, in monotonic seconds.
        """
        delivery = Delivery(event, read_at or event.position, not_before)
        place = delivery.read_at
        heapq.heappush(self._lowest, (place.xid, place.seq, delivery))
        self._unfinished += 1
        key = self._key(event)
        aggregate = self._aggregates.get(key)
        if aggregate is None:
            aggregate = self._aggregates[key] = _Aggregate()
        lane_before = aggregate.lane
        aggregate.waiting.append(delivery)
        aggregate.urgent += lane_of(event) is Lane.URGENT
        if len(aggregate.waiting) == 1:
            self._put_forward(key, aggregate)
        elif aggregate.lane is not lane_before:
            self._offer(key, aggregate)

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
        key = self._key(delivery.event)
        aggregate = self._aggregates[key]
        self._returned(delivery, aggregate)
        aggregate.waiting.popleft()
        aggregate.urgent -= lane_of(delivery.event) is Lane.URGENT
        delivery.done = True
        self._unfinished -= 1
        if aggregate.waiting:
            aggregate.not_before = 0.0
            self._put_forward(key, aggregate)
        else:
            del self._aggregates[key]
        self._forget_done()

    def fail(self, delivery: Delivery, *, not_before: float) -> None:
        """The delivery failed and is to be repeated; until then its aggregate waits."""
        key = self._key(delivery.event)
        aggregate = self._aggregates[key]
        self._returned(delivery, aggregate)
        self._rest(key, aggregate, not_before)

    def _forget_done(self) -> None:
        # Behind one that fails for long, finished ones gather; they hold no room, nor memory.
        if len(self._lowest) > 2 * self._unfinished + _COMPACT_FROM:
            self._lowest = [entry for entry in self._lowest if not entry[2].done]
            heapq.heapify(self._lowest)

    def _returned(self, delivery: Delivery, aggregate: _Aggregate) -> None:
        if not aggregate.out or aggregate.waiting[0] is not delivery:
            raise ValueError("this delivery is not out")
        aggregate.out = False
        self._out[delivery.lane] -= 1
        if self._suspect_out is delivery:
            self._suspect_out = None
            suspects, self._suspects = self._suspects, []
            for key in sorted(suspects, key=self._deaths):
                self._offer_again(key)

    def _put_forward(self, key: AggregateKey, aggregate: _Aggregate) -> None:
        """Its first event has become the next one."""
        not_before = aggregate.waiting[0].not_before
        if not_before:
            self._rest(key, aggregate, not_before)
        else:
            self._offer(key, aggregate)

    def _rest(self, key: AggregateKey, aggregate: _Aggregate, not_before: float) -> None:
        aggregate.not_before = not_before
        heapq.heappush(self._resting, (not_before, key))

    def _offer(self, key: AggregateKey, aggregate: _Aggregate) -> None:
        self._ready[aggregate.lane].append(key)

    def _offer_again(self, key: AggregateKey) -> None:
        aggregate = self._aggregates.get(key)
        if aggregate is not None:
            self._offer(key, aggregate)

    def _deaths(self, key: AggregateKey) -> int:
        # Who was there at one death is innocent more likely than not; at two, less so.
        aggregate = self._aggregates.get(key)
        return 0 if aggregate is None else aggregate.waiting[0].deaths

    def _wake(self, now: float) -> None:
        while self._resting and self._resting[0][0] <= now:
            self._offer_again(heapq.heappop(self._resting)[1])

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
            delivery = aggregate.waiting[0]
            if delivery.suspect:
                if self._suspect_out is not None:
                    self._suspects.append(key)
                    continue
                self._suspect_out = delivery
            aggregate.out = True
            delivery.lane = lane
            self._out[lane] += 1
            return delivery
        return None

    def _key(self, event: StoredEvent) -> AggregateKey:
        return event.guild_id, event.aggregate_id if self._by_aggregate else event.event_id
