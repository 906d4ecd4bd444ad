"""From single answers to what clients noticed of one fault. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.frame import percentile


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one request.

    Attributes:
        sent_s: when it was sent, in seconds of `time.monotonic`; ``seconds`` later it was over.
        good: 2xx. A write is repeated under its key until it is good or patience ends.
        advised: whether a refusal said when to come back.
    """

    write: bool
    sent_s: float
    seconds: float
    status: int
    good: bool
    advised: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Noticed:
    """What all clients together noticed of one fault.

    Attributes:
        reads: sent once each; ``failed`` of them, for ``outage_s`` seconds.
        writes: ``writes_failed`` of them were not good however long they were repeated.
        slowest_write_s: with its repeats; 0 where there was none.
        read_p99_ms: of those that were good.
        there_again_s: until the part itself was there again; None: not within the bound.
    """

    target: str
    reads: int
    failed: int
    outage_s: float
    read_p99_ms: float
    writes: int
    writes_failed: int
    slowest_write_s: float
    there_again_s: float | None


def noticed(target: str, answers: Iterable[Answer], there_again_s: float | None) -> Noticed:
    """Sums up the answers of the time from the fault until all was well again."""
    found = sorted(answers, key=lambda one: one.sent_s)
    reads = [one for one in found if not one.write]
    writes = [one for one in found if one.write]
    good_ms = [one.seconds * 1000 for one in reads if one.good]
    return Noticed(
        target=target,
        reads=len(reads),
        failed=sum(not one.good for one in reads),
        outage_s=outage_s(reads),
        read_p99_ms=percentile(good_ms, 0.99) if good_ms else 0.0,
        writes=len(writes),
        writes_failed=sum(not one.good for one in writes),
        slowest_write_s=max((one.seconds for one in writes), default=0.0),
        there_again_s=there_again_s,
    )


def outage_s(reads: Sequence[Answer]) -> float:
    """From the sending of the first that failed to that of the next good one after the last.

    Args:
        reads: in the order of sending.
    """
    failed = [number for number, one in enumerate(reads) if not one.good]
    if not failed:
        return 0.0
    first, last = reads[failed[0]], reads[failed[-1]]
    after = reads[failed[-1] + 1 :]
    end_s = after[0].sent_s if after else last.sent_s + last.seconds
    return end_s - first.sent_s
