"""What a history and its observers must agree on. Pure."""

import enum
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.guildcheck.history import Entry, Publishing, fold

PUBLISHERS = "publishers"
"""Under whose name stands what is wrong with the acknowledgements themselves."""


class Kind(enum.StrEnum):
    """What can be wrong.

    ``LOST``: it has happened, and this observer has not seen it.
    ``DUPLICATED``: it took effect twice, or is stored twice.
    ``PHANTOM``: nobody published it, or it certainly failed.
    ``ALTERED``: it is not what was published, or observers differ about its version.
    ``INVERSION``: of one aggregate, a later event took effect before an earlier one.
    ``GAP``: the versions of an aggregate are not 1, 2, 3 and so on to the last.
    ``IMBALANCE``: an aggregate's total is not the sum of the events that happened.
    """

    LOST = "lost"
    DUPLICATED = "duplicated"
    PHANTOM = "phantom"
    ALTERED = "altered"
    INVERSION = "inversion"
    GAP = "gap"
    IMBALANCE = "imbalance"


@dataclass(frozen=True, slots=True)
class Sighting:
    """One effect of one event, as an observer kept it."""

    event: str
    aggregate: str
    version: int
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Observer:
    """Somebody who was to see every event once.

    Attributes:
        seen: in the order in which the effects were committed.
        totals: aggregate → what its counter says; None: it keeps none.
    """

    name: str
    seen: Sequence[Sighting]
    totals: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One thing that is wrong; ``subject`` is an event or an aggregate."""

    kind: Kind
    observer: str
    subject: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was judged, and what is wrong with it.

    Attributes:
        events: distinct ones that somebody attempted to publish.
        acknowledged: of these, with an ``OK``.
        repeated: of these, attempted more than once.
        open_attempts: attempts of all events whose own outcome nobody learnt.
        unknown: neither acknowledged nor certainly failed.
        unknown_seen: of these, those that turned out to have happened.
    """

    anomalies: tuple[Anomaly, ...]
    events: int
    acknowledged: int
    repeated: int
    open_attempts: int
    unknown: int
    unknown_seen: int

    def count(self, kind: Kind) -> int:
        """How often this is wrong."""
        return sum(anomaly.kind is kind for anomaly in self.anomalies)


def judge(entries: Iterable[Entry], observers: Sequence[Observer]) -> Verdict:
    """Compares what clients were told with what observers saw, once all has come to rest.

    What was acknowledged has happened, and so has what any observer has seen; all observers must
    have seen that, and only that.

    Raises:
        HistoryError: the history contradicts itself.
    """
    published = fold(entries)
    seen_by_any = {sighting.event for one in observers for sighting in one.seen}
    happened = {
        event: one
        for event, one in published.items()
        if one.acknowledged_at is not None or (event in seen_by_any and not one.impossible)
    }
    versions: dict[str, int] = {}
    anomalies = list(_stored_twice(published.values()))
    for observer in observers:
        anomalies += _set_full(observer, published, happened)
        anomalies += _unaltered(observer, published, versions)
        anomalies += _in_order(observer, published)
        anomalies += _balanced(observer, happened)
    unknown = {event for event, one in published.items() if one.unknown}
    return Verdict(
        anomalies=tuple(anomalies),
        events=len(published),
        acknowledged=sum(one.acknowledged_at is not None for one in published.values()),
        repeated=sum(one.attempts > 1 for one in published.values()),
        open_attempts=sum(one.open_attempts for one in published.values()),
        unknown=len(unknown),
        unknown_seen=len(unknown & seen_by_any),
    )


def _stored_twice(published: Iterable[Publishing]) -> Iterator[Anomaly]:
    for one in published:
        if len(one.stored_as) > 1:
            yield Anomaly(
                Kind.DUPLICATED,
                PUBLISHERS,
                one.event,
                f"acknowledged as {', '.join(sorted(one.stored_as))}",
            )


def _set_full(
    observer: Observer, published: Mapping[str, Publishing], happened: Mapping[str, Publishing]
) -> Iterator[Anomaly]:
    times = Counter(sighting.event for sighting in observer.seen)
    for event, one in happened.items():
        if event not in times:
            known = "somebody else saw it" if one.acknowledged_at is None else "acknowledged"
            yield Anomaly(Kind.LOST, observer.name, event, f"{known}, of {one.aggregate}")
    for event, number in times.items():
        if number > 1:
            yield Anomaly(Kind.DUPLICATED, observer.name, event, f"took effect {number} times")
        if event not in published:
            yield Anomaly(Kind.PHANTOM, observer.name, event, "nobody published it")
        elif published[event].impossible:
            yield Anomaly(Kind.PHANTOM, observer.name, event, "its publishing failed")


def _unaltered(
    observer: Observer, published: Mapping[str, Publishing], versions: dict[str, int]
) -> Iterator[Anomaly]:
    for sighting in observer.seen:
        one = published.get(sighting.event)
        if one is not None and (one.aggregate, one.amount) != (
            sighting.aggregate,
            sighting.amount,
        ):
            yield Anomaly(
                Kind.ALTERED,
                observer.name,
                sighting.event,
                f"{one.aggregate} {one.amount:+} became {sighting.aggregate} {sighting.amount:+}",
            )
        first = versions.setdefault(sighting.event, sighting.version)
        if first != sighting.version:
            yield Anomaly(
                Kind.ALTERED,
                observer.name,
                sighting.event,
                f"version {sighting.version}, elsewhere {first}",
            )


def _in_order(observer: Observer, published: Mapping[str, Publishing]) -> Iterator[Anomaly]:
    """Judges the first sighting of each event; that there is a second is another anomaly."""
    known: set[str] = set()
    by_aggregate: dict[str, list[Sighting]] = {}
    for sighting in observer.seen:
        if sighting.event not in known:
            known.add(sighting.event)
            by_aggregate.setdefault(sighting.aggregate, []).append(sighting)
    for aggregate, seen in by_aggregate.items():
        yield from _versions_rise(observer.name, seen)
        yield from _time_flows(observer.name, seen, published)
        missing = _missing([sighting.version for sighting in seen])
        if missing:
            yield Anomaly(Kind.GAP, observer.name, aggregate, f"without version {missing[0]}")


def _versions_rise(observer: str, seen: Sequence[Sighting]) -> Iterator[Anomaly]:
    highest = 0
    for sighting in seen:
        if sighting.version <= highest:
            detail = f"version {sighting.version} behind {highest} of {sighting.aggregate}"
            yield Anomaly(Kind.INVERSION, observer, sighting.event, detail)
        highest = max(highest, sighting.version)


def _time_flows(
    observer: str, seen: Sequence[Sighting], published: Mapping[str, Publishing]
) -> Iterator[Anomaly]:
    """What was acknowledged before another was begun must come before it, whatever its version."""
    latest_begin = float("-inf")
    for sighting in seen:
        one = published.get(sighting.event)
        if one is None:
            continue
        if one.acknowledged_at is not None and one.acknowledged_at < latest_begin:
            detail = f"behind one of {sighting.aggregate} that was begun after it was acknowledged"
            yield Anomaly(Kind.INVERSION, observer, sighting.event, detail)
        latest_begin = max(latest_begin, one.invoked_at)


def _missing(versions: Sequence[int]) -> list[int]:
    return sorted(set(range(1, max(versions) + 1)) - set(versions))


def _balanced(observer: Observer, happened: Mapping[str, Publishing]) -> Iterator[Anomaly]:
    if observer.totals is None:
        return
    expected: Counter[str] = Counter()
    for one in happened.values():
        expected[one.aggregate] += one.amount
    for aggregate in sorted(expected.keys() | observer.totals.keys()):
        total, sum_ = observer.totals.get(aggregate, 0), expected[aggregate]
        if total != sum_:
            detail = f"{total} instead of {sum_}"
            yield Anomaly(Kind.IMBALANCE, observer.name, aggregate, detail)
