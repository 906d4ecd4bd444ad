"""A run as figures and goals."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from benchmarks.faults.run import Outcome
from benchmarks.frame import Goal, Report, Summary
from benchmarks.guildcheck import Anomaly, Kind

_SHOWN = 10
_WRITTEN = 1_000
FORCED_PERCENT = 5.0
"""Of publishes and of deliveries, at least so many are made twice, or the run shows nothing."""


def report(outcome: Outcome, kills: int) -> Report:
    """One row a target: how soon events flowed again, and how soon the target itself was there."""
    verdict, faults = outcome.verdict, outcome.faults
    results: dict[str, Mapping[str, Summary]] = {}
    calm = outcome.calm.back_s
    if calm is not None:
        results["(nothing)"] = {"events_flow_s": Summary.of([calm])}
    for target in sorted({fault.target for fault in faults}):
        backs = [one.back_s for one in faults if one.target == target and one.back_s is not None]
        wholes = [one.whole_s for one in faults if one.target == target and one.whole_s is not None]
        found = {"events_flow_s": backs, "there_again_s": wholes}
        results[target] = {name: Summary.of(values) for name, values in found.items() if values}
    return Report(
        results=results,
        goals=(
            Goal(name="faults", measured=len(faults), at_least=kills),
            *(Goal(name=str(kind), measured=verdict.count(kind), at_most=0) for kind in Kind),
            Goal(name="dead_letters", measured=outcome.dead_letters, at_most=0),
            Goal(
                name="not_back",
                measured=sum(fault.back_s is None for fault in faults),
                at_most=0,
            ),
            Goal(name="rest_s", measured=outcome.rest_s, at_most=30),
            Goal(
                name="published_again_percent",
                measured=100 * verdict.repeated / max(1, verdict.events),
                at_least=FORCED_PERCENT,
            ),
            *(
                Goal(name=f"{name}_again_percent", measured=share, at_least=FORCED_PERCENT)
                for name, share in outcome.redelivered.items()
            ),
        ),
        notes=(
            f"{verdict.events} events to {outcome.workload.aggregates} aggregates,"
            f" {verdict.acknowledged} acknowledged, in {outcome.seconds:.0f} s;"
            f" {verdict.open_attempts} attempts without an answer",
            *(_told(anomaly) for anomaly in verdict.anomalies[:_SHOWN]),
        ),
        settings={"seed": outcome.workload.seed},
    )


def details(outcome: Outcome) -> dict[str, Any]:
    """What the JSON file says beyond the report."""
    verdict = outcome.verdict
    return {
        "workload": asdict(outcome.workload),
        "calm": asdict(outcome.calm),
        "faults": [asdict(fault) for fault in outcome.faults],
        "verdict": {
            "sound": outcome.sound,
            "anomalies": {str(kind): verdict.count(kind) for kind in Kind},
            "first_anomalies": [asdict(anomaly) for anomaly in verdict.anomalies[:_WRITTEN]],
            "events": verdict.events,
            "acknowledged": verdict.acknowledged,
            "repeated": verdict.repeated,
            "open_attempts": verdict.open_attempts,
            "unknown": verdict.unknown,
            "unknown_seen": verdict.unknown_seen,
            "redelivered_percent": dict(outcome.redelivered),
            "dead_letters": outcome.dead_letters,
            "rest_s": outcome.rest_s,
        },
    }


def _told(anomaly: Anomaly) -> str:
    return f"{anomaly.kind}: {anomaly.subject} at {anomaly.observer}: {anomaly.detail}"
