import asyncio

import pytest

from actors.errors import DeadlineExceeded, NotFound, Overloaded
from actors.runtime.mailbox import MemberLost
from tests.unit.runtime.member_side import SETTINGS, Connection, ask, mailbox, settled
from tests.unit.runtime.samples import CONTEXT, Abacus, Echo, Refuse, Unanswerable, Wait


def echo(text: str = "x") -> Echo:
    return Echo(context=CONTEXT, text=text)


def wait(name: str, group: str | None = None) -> Wait:
    return Wait(context=CONTEXT, name=name, group=group)


async def test_what_is_asked_at_once_goes_in_one_call() -> None:
    connection = Connection(Abacus())
    box = mailbox(connection)

    replies = await asyncio.gather(*(ask(box, echo(str(number))) for number in range(30)))

    assert replies == [str(number) for number in range(30)]
    assert len(connection.batches) == 1


async def test_what_is_asked_while_calls_are_under_way_shares_the_next() -> None:
    connection = Connection(Abacus())
    connection.hold = asyncio.Event()
    box = mailbox(connection)

    asks = []
    for _ in range(10):
        asks.append(asyncio.create_task(ask(box, echo())))
        await settled()
    connection.hold.set()
    await asyncio.gather(*asks)

    sizes = [len(batch.envelopes) for batch in connection.batches]
    assert sizes == [1, 1, 8]
    assert box.load == 0


async def test_where_calls_are_cheap_nothing_waits_for_company() -> None:
    connection = Connection(Abacus(), SETTINGS.model_copy(update={"worth_a_call": 4}))
    connection.direct = True
    connection.hold = asyncio.Event()
    box = mailbox(connection, SETTINGS.model_copy(update={"worth_a_call": 4}))

    asks = []
    for number in (1, 1, 6):
        asks += [asyncio.create_task(ask(box, echo())) for _ in range(number)]
        await settled()
    connection.hold.set()
    await asyncio.gather(*asks)

    assert [len(batch.envelopes) for batch in connection.batches] == [1, 1, 4, 2]
    assert all(batch.eager for batch in connection.batches)


async def test_one_bad_message_does_not_fail_its_neighbours() -> None:
    box = mailbox(Connection(Abacus()))

    asks = [
        ask(box, message)
        for message in (echo("fine"), Refuse(context=CONTEXT), Unanswerable(context=CONTEXT))
    ]
    good, bad, unsendable = await asyncio.gather(*asks, return_exceptions=True)

    assert good == "fine"
    assert isinstance(bad, NotFound)
    assert str(unsendable) == "a reply that cannot travel"


async def test_no_fast_message_waits_for_a_slow_one() -> None:
    sage = Abacus()
    connection = Connection(sage)
    box = mailbox(connection)

    slow = [asyncio.create_task(ask(box, wait(f"slow {number}"))) for number in range(5)]
    for _ in range(20):  # each round has slow neighbours, at the member or in the same batch
        slow.append(asyncio.create_task(ask(box, wait("another"))))
        assert await ask(box, echo("fast")) == "fast"

    assert not any(one.done() for one in slow)
    for gate in sage.gates.values():
        gate.set()
    await asyncio.gather(*slow)
    assert box.load == 0


async def test_messages_of_one_key_run_one_at_a_time_and_in_order() -> None:
    sage = Abacus()
    box = mailbox(Connection(sage))

    first = asyncio.create_task(ask(box, wait("first", group="a")))
    await settled()
    second = asyncio.create_task(ask(box, wait("second", group="a")))
    other = asyncio.create_task(ask(box, wait("other", group="b")))
    await settled()

    assert sage.started == ["first", "other"]
    for name in ("first", "second", "other"):
        sage.gate(name).set()
    replies = await asyncio.gather(*[first, second, other])
    assert replies == ["first", "second", "other"]


async def test_a_full_mailbox_refuses_at_once() -> None:
    """X4: a full queue once blocked its callers, or dropped what they gave it."""
    settings = SETTINGS.model_copy(update={"mailbox_capacity": 3})
    connection = Connection(Abacus())
    connection.hold = asyncio.Event()
    box = mailbox(connection, settings)
    asks = []
    for _ in range(5):  # two are on their way, three wait
        asks.append(asyncio.create_task(ask(box, echo())))
        await settled()

    with pytest.raises(Overloaded) as refused:
        await ask(box, echo())

    assert refused.value.retry_after_s == settings.retry_after_s
    connection.hold.set()
    assert await asyncio.gather(*asks) == ["x"] * 5


async def test_a_call_tells_how_long_the_oldest_that_stays_behind_has_waited() -> None:
    settings = SETTINGS.model_copy(update={"max_batch": 1})
    connection = Connection(Abacus())
    connection.hold = asyncio.Event()
    box = mailbox(connection, settings)
    asks = []
    for _ in range(4):  # two are on their way, two wait
        asks.append(asyncio.create_task(ask(box, echo())))
        await settled()

    connection.hold.set()
    await asyncio.gather(*asks)

    third, fourth = connection.batches[2:]
    assert (third.left_waiting, third.oldest_wait_s > 0) == (1, True)
    assert (fourth.left_waiting, fourth.oldest_wait_s) == (0, 0.0)


async def test_a_cancelled_message_that_waits_is_never_sent_and_makes_room() -> None:
    connection = Connection(Abacus())
    connection.hold = asyncio.Event()
    box = mailbox(connection)
    sent = []
    for _ in range(2):
        sent.append(asyncio.create_task(ask(box, echo("sent"))))
        await settled()
    waiting = asyncio.create_task(ask(box, echo("cancelled")))
    await settled()

    waiting.cancel()
    await settled()

    assert box.waiting == 0
    connection.hold.set()
    await asyncio.gather(*sent)
    assert len(connection.batches) == 2


async def test_a_message_that_expires_while_it_waits_is_never_sent() -> None:
    connection = Connection(Abacus())
    connection.hold = asyncio.Event()
    box = mailbox(connection)
    sent = []
    for _ in range(2):
        sent.append(asyncio.create_task(ask(box, echo("sent"))))
        await settled()

    with pytest.raises(DeadlineExceeded):
        await ask(box, echo("late"), timeout_s=0.01)

    connection.hold.set()
    await asyncio.gather(*sent)
    await settled()
    assert len(connection.batches) == 2


async def test_cancelling_the_wait_does_not_cancel_the_work() -> None:
    sage = Abacus()
    connection = Connection(sage)
    box = mailbox(connection)
    asking = asyncio.create_task(ask(box, wait("work")))
    await settled()

    asking.cancel()
    await settled()

    assert connection.workload.unfinished == 1
    sage.gate("work").set()
    await settled()
    assert connection.workload.handled == 1
    assert box.load == 0


async def test_an_envelope_carries_the_time_that_is_left() -> None:
    connection = Connection(Abacus())

    await ask(mailbox(connection), echo(), timeout_s=2)

    (envelope,) = connection.batches[0].envelopes
    assert 1.5 < envelope.timeout_s <= 2


async def test_a_dead_member_loses_what_was_sent_and_what_it_owed() -> None:
    sage = Abacus()
    connection = Connection(sage)
    box = mailbox(connection)
    owed = asyncio.create_task(ask(box, wait("owed")))
    while not sage.started:
        await settled()
    await ask(box, echo())  # by now the first batch was answered and its leftover is collected

    connection.break_now()

    with pytest.raises(MemberLost) as lost:
        await owed
    assert lost.value.sent
    assert box.load == 0


async def test_what_an_earlier_process_of_the_member_accepted_is_lost() -> None:
    sage = Abacus()
    settings = SETTINGS.model_copy(update={"linger_ms": 0, "collect_timeout_s": 0.05})
    connection = Connection(sage, settings)
    box = mailbox(connection, settings)
    old = asyncio.create_task(ask(box, wait("old")))
    while not sage.started:
        await settled()

    connection.restart(sage)
    new = asyncio.create_task(ask(box, wait("new")))
    sage.gate("new").set()

    assert await new == "new"
    with pytest.raises(MemberLost):
        await old


async def test_a_member_that_accepts_nothing_is_given_up_long_before_the_deadline() -> None:
    settings = SETTINGS.model_copy(update={"submit_timeout_s": 0.01})
    connection = Connection(Abacus())
    connection.hold = asyncio.Event()  # as a stopped process does
    box = mailbox(connection, settings)

    with pytest.raises(MemberLost) as lost:
        await ask(box, echo(), timeout_s=60)

    assert lost.value.sent


async def test_a_closed_mailbox_gives_back_what_waits_and_awaits_what_was_sent() -> None:
    connection = Connection(Abacus())
    connection.hold = asyncio.Event()
    box = mailbox(connection)
    asks = []
    for _ in range(3):
        asks.append(asyncio.create_task(ask(box, echo())))
        await settled()

    box.close()
    connection.hold.set()
    first, second, third = await asyncio.gather(*asks, return_exceptions=True)

    assert (first, second) == ("x", "x")
    assert isinstance(third, MemberLost)
    assert not third.sent
    with pytest.raises(MemberLost):
        await ask(box, echo())


async def test_an_aborted_mailbox_answers_everybody() -> None:
    connection = Connection(Abacus())
    box = mailbox(connection)
    owed = asyncio.create_task(ask(box, wait("for ever")))
    await settled()

    await box.abort()

    with pytest.raises(MemberLost):
        await owed
