"""The rows as figures and goals."""

from dataclasses import asdict
from typing import Any

from benchmarks.faults.availability.noticed import Noticed
from benchmarks.faults.availability.rows import Outcome
from benchmarks.faults.plan import STACK
from benchmarks.frame import Goal, Report, Summary

_LONGEST_OUTAGE_S = {"postgres": 15.0, "raylet": 90.0, STACK: 90.0}
"""On one node. Of all others it is 6 s; PostgreSQL recovers first, the last two start anew."""

_OUTAGE_S = 6.0


def report(outcome: Outcome) -> Report:
    """One row a part, then what was promised."""
    over = outcome.overloaded
    refusals = over.refused + over.unadvised
    rows = {row.target: _figures(row) for row in outcome.rows}
    overload = {
        "capacity_rps": over.capacity_rps,
        "sent_rps": over.sent_rps,
        "good": over.good,
        "refused": over.refused,
        "good_p99_ms": over.good_p99_ms,
        "refused_p99_ms": over.refused_p99_ms,
    }
    return Report(
        results={
            name: {metric: Summary.of([value]) for metric, value in found.items()}
            for name, found in {**rows, "overload x3": overload}.items()
        },
        goals=(
            *(_outage(row) for row in outcome.rows),
            Goal(
                name="writes_failed",
                measured=sum(row.writes_failed for row in outcome.rows),
                at_most=0,
            ),
            Goal(name="acknowledged_and_lost", measured=outcome.lost, at_most=0),
            Goal(name="doubled", measured=outcome.doubled, at_most=0),
            Goal(
                name="not_there_again",
                measured=sum(row.there_again_s is None for row in outcome.rows),
                at_most=0,
            ),
            Goal(name="overload_refused", measured=refusals, at_least=1),
            Goal(name="overload_refused_without_retry_after", measured=over.unadvised, at_most=0),
            Goal(name="overload_failed", measured=over.failed, at_most=0),
        ),
        notes=(f"{outcome.acknowledged} writes were acknowledged",),
    )


def details(outcome: Outcome) -> dict[str, Any]:
    """What the JSON file says beyond the report."""
    return {"rows": [asdict(row) for row in outcome.rows], "overload": asdict(outcome.overloaded)}


def _figures(row: Noticed) -> dict[str, float]:
    found = {
        "reads": float(row.reads),
        "failed": float(row.failed),
        "outage_s": row.outage_s,
        "read_p99_ms": row.read_p99_ms,
        "writes_failed": float(row.writes_failed),
        "slowest_write_s": row.slowest_write_s,
    }
    return found if row.there_again_s is None else {**found, "there_again_s": row.there_again_s}


def _outage(row: Noticed) -> Goal:
    return Goal(
        name=f"outage_s[{row.target}]",
        measured=row.outage_s,
        at_most=_LONGEST_OUTAGE_S.get(row.target, _OUTAGE_S),
    )
