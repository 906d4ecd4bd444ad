"""One event in a hundred is poison, of four kinds: does it end in the dead letters, and who waits?

raise  the handler raises          eat   it wants more memory than its process may have
hang   it never returns            kill  its process dies of it (kill -9)

Events are offered at a steady rate to one declared subscription, without poison and with it; once
with a sink that takes one event at a time, once with one that takes batches. Times are from when
an event was due to be published until its effect was written to PostgreSQL, by a pool of real
processes behind the real router. Poison shares aggregates with healthy events: those that follow
it there wait for it, as order demands, and are counted with the others. At last the handler is
repaired, and all dead letters are asked to be delivered again.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from actors import clock
from actors.bus.messages import (
    DeliveryPolicy,
    NewEvent,
    PauseSubscription,
    PoolSink,
    PublishEvents,
    PutSubscription,
    RedriveDeadLetters,
)
from benchmarks.frame import Goal, Measurement, Options, Report, Summary, main, percentile
from benchmarks.poison_stage import MEMBERS, POOL, SETTINGS, Stage, stage

KINDS = ("raise", "hang", "eat", "kill")
SINKS: Mapping[str, int] = {"single": 1, "batches": 32}
RATE = 50
AGGREGATES = 5_000
SEED = 7
POLICY = DeliveryPolicy(ack_deadline_s=3.0, max_attempts=3, backoff_s=(0.1, 0.3))
_TAKEN_UP_S = 2.0
_LOOK_S = 0.5
_END_S = 300.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What is published: for each event its kind of poison, "" where it is healthy, and its place.

    What follows when all of it was published is healthy: poison is judged by what else goes on.
    """

    poisons: Sequence[str]
    aggregates: Sequence[str]

    @property
    def poisoned(self) -> set[int]:
        """Numbers of the poisonous ones."""
        return {number for number, poison in enumerate(self.poisons) if poison}

    def event(self, number: int, turn: str) -> NewEvent:
        """The event of this number."""
        planned = number < len(self.poisons)
        poison = self.poisons[number] if planned else ""
        return NewEvent(
            source="/benchmark",
            source_id=f"{turn}-{number}",
            type=f"custom.{turn}",
            data=orjson.dumps({"number": number, "poison": poison}).decode(),
            partition_key=self.aggregates[number] if planned else f"later-{number}",
        )


def plan(count: int, poisonous: int) -> Plan:
    """Poison at random places, every kind equally often."""
    dice = random.Random(SEED)  # noqa: S311  # the same run each time
    poisons = [""] * count
    for index, number in enumerate(dice.sample(range(count), poisonous)):
        poisons[number] = KINDS[index % len(KINDS)]
    return Plan(poisons, [str(dice.randrange(AGGREGATES)) for _ in range(count)])


async def run(options: Options) -> Report:
    """Both sinks, each without and with poison."""
    count = 1_000 if options.quick else 10_000
    clean, poisoned = plan(count // 2, 0), plan(count, count // 100)
    found: dict[str, Measurement] = {}
    reasons: list[str] = []
    async with stage() as on:
        for name, batch in SINKS.items():
            turn = await measure(on, f"{name}-clean", batch, clean)
            found[f"{name}, clean"] = turn.figures
            turn = await measure(on, f"{name}-poison", batch, poisoned)
            found[f"{name}, poison"] = turn.figures
            reasons += [f"{name}: {number} x {why}" for why, number in sorted(turn.reasons.items())]
    return Report(
        results={
            name: {metric: Summary.of([value]) for metric, value in metrics.items()}
            for name, metrics in found.items()
        },
        goals=tuple(goal for name in SINKS for goal in goals(name, found)),
        notes=(
            "behind: of healthy events whose aggregate has poison in it",
            "apart: of those whose aggregate has none",
            *reasons,
        ),
        settings={
            "events": count,
            "rate": RATE,
            "members": MEMBERS,
            "aggregates": AGGREGATES,
            "seed": SEED,
            "environment": dict(SETTINGS),
        },
    )


def goals(sink: str, found: Mapping[str, Measurement]) -> tuple[Goal, ...]:
    """What the guild promises about poison."""
    clean, poison = found[f"{sink}, clean"], found[f"{sink}, poison"]
    return (
        Goal(name=f"{sink}_dead_with_reason", measured=poison["dead_with_reason"], at_least=1),
        Goal(name=f"{sink}_healthy_dead", measured=poison["healthy_dead"], at_most=0),
        Goal(name=f"{sink}_p99_ratio", measured=poison["p99_ms"] / clean["p99_ms"], at_most=2),
        Goal(name=f"{sink}_redriven_once", measured=poison["redriven_once"], at_least=1),
        Goal(name=f"{sink}_lost_or_twice", measured=poison["lost_or_twice"], at_most=0),
    )


async def measure(on: Stage, name: str, batch: int, planned: Plan) -> "Turn":
    """One turn, with a subscription of its own."""
    await on.admin.execute("TRUNCATE effects, repaired")
    declared = await on.bus.ask(
        PutSubscription(
            context=on.context,
            command_id=clock.new_id("cmd"),
            name=name,
            filter_spec={"types": [f"custom.{name}"]},
            sink=PoolSink(pool=POOL, batch=batch),
            delivery=POLICY,
        )
    )
    await asyncio.sleep(_TAKEN_UP_S)
    turn = Turn(on, name, declared.subscription.subscription_id, planned)
    await turn.play()
    pause = PauseSubscription(context=on.context, command_id=clock.new_id("cmd"), name=name)
    await on.bus.ask(pause)
    return turn


class Turn:
    """One subscription's events, from first to last.

    Attributes:
        figures: what was measured.
        reasons: of dead letters: kind and text → how many.
    """

    def __init__(self, on: Stage, name: str, subscription_id: str, planned: Plan) -> None:
        self.figures: dict[str, float] = {}
        self.reasons: Counter[str] = Counter()
        self._on = on
        self._name = name
        self._letters = f"{subscription_id}@%"
        self._plan = planned
        self._due: list[float] = []
        self._over = asyncio.Event()
        self._publishing: set[asyncio.Task[None]] = set()

    async def play(self) -> None:
        """Publishes, waits until everything is done or dead, redrives."""
        begun, deaths = time.monotonic(), await self._on.deaths()
        publisher = asyncio.create_task(self._publish())
        await self._until_done_or_dead()
        self.figures["seconds"] = time.monotonic() - begun
        self._over.set()
        await publisher
        await asyncio.gather(*self._publishing)
        self.figures |= await self._latencies()
        if self._plan.poisoned:
            self.figures["deaths"] = await self._on.deaths() - deaths
            self.figures |= await self._dead()
            self.figures["redriven_once"] = await self._redrive()
        await self._until_all_took_effect()
        effects = await self._effects()
        wrong = sum(effects[number] != 1 for number in range(len(self._due)))
        self.figures["lost_or_twice"] = wrong

    async def _publish(self) -> None:
        """At an even pace, until all was published and all poison has been dealt with."""
        begun = time.time()
        while len(self._due) < len(self._plan.poisons) or not self._over.is_set():
            number = len(self._due)
            due = begun + number / RATE
            await asyncio.sleep(max(0.0, due - time.time()))
            self._due.append(due)
            publishing = asyncio.create_task(self._publish_one(number))
            self._publishing.add(publishing)
            publishing.add_done_callback(self._publishing.discard)

    async def _publish_one(self, number: int) -> None:
        event = self._plan.event(number, self._name)
        await self._on.bus.ask(
            PublishEvents(context=self._on.context, command_id=clock.new_id("cmd"), events=(event,))
        )

    async def _until_done_or_dead(self) -> None:
        count = len(self._plan.poisons)
        end = time.monotonic() + count / RATE + _END_S
        while time.monotonic() < end:
            await asyncio.sleep(_LOOK_S)
            finished = await self._on.admin.fetchval(
                "SELECT (SELECT count(DISTINCT number) FROM effects WHERE number < $1)"
                " + (SELECT count(*) FROM dead_letters WHERE subscription LIKE $2)",
                count,
                self._letters,
            )
            if finished >= count:
                return

    async def _until_all_took_effect(self) -> None:
        """Also those that were published when the planned ones were done already."""
        end = time.monotonic() + _END_S
        while time.monotonic() < end:
            await asyncio.sleep(_LOOK_S)
            if len(await self._effects()) == len(self._due):
                return

    async def _latencies(self) -> dict[str, float]:
        rows = await self._on.admin.fetch(
            "SELECT number, extract(epoch FROM at)::float8 AS at FROM effects WHERE number < $1",
            len(self._plan.poisons),
        )
        sick = {self._plan.aggregates[number] for number in self._plan.poisoned}
        behind: list[float] = []
        apart: list[float] = []
        for row in rows:
            group = behind if self._plan.aggregates[row["number"]] in sick else apart
            group.append((row["at"] - self._due[row["number"]]) * 1000)
        healthy = behind + apart
        return {
            "p50_ms": percentile(healthy, 0.5),
            "p99_ms": percentile(healthy, 0.99),
            "p999_ms": percentile(healthy, 0.999),
            "apart_p99_ms": percentile(apart, 0.99),
            **({"behind_p99_ms": percentile(behind, 0.99)} if behind else {}),
        }

    async def _dead(self) -> dict[str, float]:
        rows = await self._on.admin.fetch(
            "SELECT (event->'data'->>'number')::int AS number, reason FROM dead_letters"
            " WHERE subscription LIKE $1",
            self._letters,
        )
        poisoned = self._plan.poisoned
        kinds = dict(enumerate(self._plan.poisons))
        self.reasons.update(
            f"{kinds.get(row['number']) or 'healthy'}: {row['reason']}" for row in rows
        )
        with_reason = {row["number"] for row in rows if row["reason"]} & poisoned
        return {
            "dead_with_reason": len(with_reason) / len(poisoned),
            "healthy_dead": len({row["number"] for row in rows} - poisoned),
        }

    async def _redrive(self) -> float:
        """The share of poison that took effect exactly once, now that it is none any more."""
        await self._on.admin.execute("INSERT INTO repaired VALUES (now())")
        await self._on.bus.ask(
            RedriveDeadLetters(
                context=self._on.context, command_id=clock.new_id("cmd"), subscription=self._name
            )
        )
        end = time.monotonic() + _END_S
        while time.monotonic() < end:
            await asyncio.sleep(_LOOK_S)
            waiting = await self._on.admin.fetchval(
                "SELECT count(*) FROM dead_letters WHERE subscription LIKE $1"
                " AND redriven_at IS NULL",
                self._letters,
            )
            if not waiting:
                break
        effects, poisoned = await self._effects(), self._plan.poisoned
        return sum(effects[number] == 1 for number in poisoned) / len(poisoned)

    async def _effects(self) -> Counter[int]:
        rows = await self._on.admin.fetch("SELECT number FROM effects")
        return Counter(row["number"] for row in rows)


if __name__ == "__main__":
    raise SystemExit(main("poison", __doc__, run))
