from actors.errors import DependencyUnavailable, ElderGuildError, Overloaded
from actors.runtime.envelope import Answer, Batch, Envelope, seal, unseal_outcome
from actors.runtime.message import Message
from tests.unit.runtime.member_side import SETTINGS, Connection, settled
from tests.unit.runtime.samples import CONTEXT, Abacus, Echo, Wait


def batch(*messages: Message[object] | Message[str], caller: str = "box_1") -> Batch:
    envelopes = tuple(
        Envelope(number, seal(message), 5.0, 1) for number, message in enumerate(messages)
    )
    return Batch(caller, envelopes, left_waiting=4)


def errors(answer: Answer) -> list[type[ElderGuildError]]:
    outcomes = [unseal_outcome(one.body) for one in answer.finished]
    return [type(one.error) for one in outcomes if one.error is not None]


async def test_a_batch_is_answered_as_soon_as_all_is_done() -> None:
    settings = SETTINGS.model_copy(update={"linger_ms": 60_000})
    workload = Connection(Abacus(), settings).workload

    answer = await workload.submit(batch(Echo(context=CONTEXT), Echo(context=CONTEXT)))

    assert [one.ticket for one in answer.finished] == [0, 1]
    assert workload.unfinished == 0


async def test_where_calls_are_cheap_the_first_that_are_done_are_answered() -> None:
    sage = Abacus()
    settings = SETTINGS.model_copy(update={"linger_ms": 60_000})
    workload = Connection(sage, settings).workload
    messages = batch(
        Wait(context=CONTEXT, name="slow"), Echo(context=CONTEXT), Echo(context=CONTEXT)
    )

    answer = await workload.submit(messages._replace(eager=True))
    sage.gate("slow").set()
    later = await workload.collect("box_1")

    assert [one.ticket for one in answer.finished] == [1, 2]
    assert [one.ticket for one in later.finished] == [0]
    assert workload.unfinished == 0


async def test_what_is_not_done_in_time_is_collected_later() -> None:
    sage = Abacus()
    workload = Connection(sage).workload

    answer = await workload.submit(batch(Wait(context=CONTEXT, name="slow"), Echo(context=CONTEXT)))
    sage.gate("slow").set()
    later = await workload.collect("box_1")

    assert [one.ticket for one in answer.finished] == [1]
    assert [one.ticket for one in later.finished] == [0]
    assert workload.unfinished == 0


async def test_a_caller_collects_only_its_own() -> None:
    sage = Abacus()
    settings = SETTINGS.model_copy(update={"collect_timeout_s": 0.02})
    workload = Connection(sage, settings).workload
    await workload.submit(batch(Wait(context=CONTEXT, name="slow")))
    sage.gate("slow").set()
    await settled()

    other = await workload.collect("box_2")

    assert other.finished == ()
    assert len((await workload.collect("box_1")).finished) == 1


async def test_beyond_its_bound_a_member_refuses() -> None:
    settings = SETTINGS.model_copy(update={"max_unfinished": 2})
    sage = Abacus()
    workload = Connection(sage, settings).workload

    answer = await workload.submit(batch(*(Wait(context=CONTEXT, name="a") for _ in range(5))))

    assert errors(answer) == [Overloaded] * 3
    assert workload.unfinished == 2


async def test_a_draining_member_refuses_and_finishes() -> None:
    sage = Abacus()
    workload = Connection(sage).workload
    await workload.submit(batch(Wait(context=CONTEXT, name="before")))

    workload.draining = True
    answer = await workload.submit(batch(Echo(context=CONTEXT)))
    sage.gate("before").set()
    late = await workload.collect("box_1")

    assert errors(answer) == [DependencyUnavailable]
    assert len(late.finished) == 1
    assert workload.unfinished == 0


async def test_a_message_that_cannot_be_read_fails_alone() -> None:
    workload = Connection(Abacus()).workload
    good = Envelope(0, seal(Echo(context=CONTEXT)), 5.0, 1)
    bad = Envelope(1, b"no pickle", 5.0, 1)

    answer = await workload.submit(Batch("box_1", (good, bad), 0))

    assert errors(answer) == [ElderGuildError]
    assert len(answer.finished) == 2


async def test_a_message_that_expires_before_its_turn_never_runs() -> None:
    sage = Abacus()
    workload = Connection(sage).workload
    first = Wait(context=CONTEXT, name="first", group="a")
    second = Wait(context=CONTEXT, name="second", group="a")
    envelopes = (Envelope(0, seal(first), 5.0, 1), Envelope(1, seal(second), 0.01, 1))

    await workload.submit(Batch("box_1", envelopes, 0))
    expired = await workload.collect("box_1")
    sage.gate("first").set()
    await workload.collect("box_1")

    assert [one.ticket for one in expired.finished] == [1]
    assert sage.started == ["first"]


async def test_the_pressure_at_the_callers_is_known() -> None:
    workload = Connection(Abacus()).workload

    await workload.submit(batch(Echo(context=CONTEXT), caller="box_1"))
    slow = batch(Echo(context=CONTEXT), caller="box_2")._replace(oldest_wait_s=1.5)
    await workload.submit(slow)

    assert (workload.waiting, workload.oldest_wait_s) == (8, 1.5)
    await workload.submit(slow._replace(left_waiting=0, oldest_wait_s=0.0))
    assert (workload.waiting, workload.oldest_wait_s) == (4, 0.0)


async def test_a_wait_that_was_told_long_ago_presses_nobody() -> None:
    settings = SETTINGS.model_copy(update={"submit_timeout_s": -1.0})
    workload = Connection(Abacus(), settings).workload

    await workload.submit(batch(Echo(context=CONTEXT))._replace(oldest_wait_s=1.5))

    assert (workload.waiting, workload.oldest_wait_s) == (0, 0.0)


async def test_what_a_vanished_caller_left_is_forgotten() -> None:
    sage = Abacus()
    settings = SETTINGS.model_copy(update={"uncollected_ttl_s": -1.0})
    workload = Connection(sage, settings).workload
    await workload.submit(batch(Wait(context=CONTEXT, name="done"), caller="gone"))
    await workload.submit(batch(Wait(context=CONTEXT, name="running"), caller="gone"))
    sage.gate("done").set()
    await settled()

    workload.sweep()
    sage.gate("running").set()
    await settled()

    assert workload.handled == 2
    assert workload.unfinished == 0
    assert workload.waiting == 0
