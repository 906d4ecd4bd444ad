"""The plan of a fault run, and how its outcome is told."""

from collections import Counter
from dataclasses import replace

import orjson
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.faults.effects import data, key_of, sighting
from benchmarks.faults.plan import TARGETS, Strike, Workload, strikes
from benchmarks.faults.report import details, report
from benchmarks.faults.run import Outcome
from benchmarks.faults.strikes import Fault
from benchmarks.guildcheck import Anomaly, Kind, Sighting, Verdict
from tests.fixtures.bus_builders import new_event, stored_event

WORKLOAD = Workload(run="7x1", seed=7, guild_id="guild_1", handled=True)
FAULT = Fault(target="router", at_s=3.0, pid=17, back_s=0.5, whole_s=2.0)
VERDICT = Verdict(
    anomalies=(),
    events=1_000,
    acknowledged=990,
    repeated=80,
    open_attempts=12,
    unknown=10,
    unknown_seen=4,
)
SOUND = Outcome(
    workload=WORKLOAD,
    seconds=60.0,
    calm=Fault(target="nothing", at_s=0.0, pid=0, back_s=0.1, whole_s=0.1),
    faults=(FAULT, replace(FAULT, target="bus", back_s=1.5)),
    verdict=VERDICT,
    redelivered={"pulled": 6.5},
    rest_s=0.4,
    dead_letters=0,
)
LOST = Anomaly(Kind.LOST, "pulled", "writer-1/7", "acknowledged")


def unmet(outcome: Outcome, kills: int = 2) -> set[str]:
    return {goal.name for goal in report(outcome, kills).goals if not goal.met}


@given(seed=st.integers(), rounds=st.integers(1, 5), extra=st.integers(0, 7))
def test_every_target_is_hit_before_any_is_hit_again(seed: int, rounds: int, extra: int) -> None:
    number = rounds * len(TARGETS) + extra

    hit = Counter(strike.target for strike in strikes(seed, number, TARGETS))

    assert hit.total() == number
    assert set(hit) == set(TARGETS)
    assert max(hit.values()) - min(hit.values()) <= 1


def test_a_seed_is_a_plan() -> None:
    plan: list[Strike] = strikes(7, 30, TARGETS)

    assert strikes(7, 30, TARGETS) == plan
    assert strikes(8, 30, TARGETS) != plan


def test_a_workload_crosses_to_another_process_unchanged() -> None:
    assert Workload.from_json(WORKLOAD.to_json()) == WORKLOAD


def test_about_as_many_acknowledgements_are_withheld_as_was_asked_for_both_ways() -> None:
    ids = [f"evt_{number}" for number in range(10_000)]

    withheld = [event_id for event_id in ids if WORKLOAD.withholds(event_id)]
    late = sum(map(WORKLOAD.acks_late, withheld))

    assert 0.05 < len(withheld) / len(ids) < 0.09
    assert 0.4 < late / len(withheld) < 0.6


def test_the_aggregate_of_an_event_leads_back_to_its_key() -> None:
    event = stored_event(
        new_event("writer-1/7", partition_key="order-5", data=data(4, 1.5)),
    )

    assert key_of(event.aggregate_id, event.source) == "order-5"
    assert sighting(event) == Sighting("writer-1/7", "order-5", 1, 4)


def test_a_sound_run_meets_every_goal() -> None:
    assert SOUND.sound
    assert unmet(SOUND) == set()


def test_whatever_is_wrong_has_a_goal_that_is_unmet() -> None:
    lost = replace(SOUND, verdict=replace(VERDICT, anomalies=(LOST,)))
    dead = replace(SOUND, dead_letters=1)
    restless = replace(SOUND, rest_s=None)
    stuck = replace(SOUND, faults=(replace(FAULT, back_s=None, silent=("pulled",)), FAULT))
    short = replace(SOUND, faults=(FAULT,))
    plain = replace(SOUND, redelivered={"pulled": 1.0})

    assert unmet(lost) == {"lost"}
    assert unmet(dead) == {"dead_letters"}
    assert unmet(restless) == {"rest_s"}
    assert unmet(stuck) == {"not_back"}
    assert unmet(short) == {"faults"}
    assert unmet(plain) == {"pulled_again_percent"}
    assert not any(one.sound for one in (lost, dead, restless, stuck))


def test_the_file_says_who_was_hit_when_and_what_was_found() -> None:
    lost = replace(SOUND, verdict=replace(VERDICT, anomalies=(LOST,)))

    told = orjson.loads(orjson.dumps(details(lost)))

    assert [fault["target"] for fault in told["faults"]] == ["router", "bus"]
    assert told["verdict"]["anomalies"]["lost"] == 1
    assert told["verdict"]["first_anomalies"][0]["subject"] == "writer-1/7"
    assert told["workload"]["run"] == "7x1"
