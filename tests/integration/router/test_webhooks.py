"""Webhooks end to end: a real receiver on loopback, the real log, the real router."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from functools import partial

import pytest

from actors.bus.messages import DeliveryPolicy, ResumeSubscription, RotateSecret, WebhookSink
from actors.errors import DependencyUnavailable, NotFound, ValidationError
from actors.router.postgres import PostgresRouterStore
from actors.router.redrive import redrive
from actors.router.sinks.factory import Sinks
from actors.runtime.local import LocalPool
from actors.storage.leaders import Leaders
from actors.webhooks.signing import BadSignature, verify
from cluster.process import free_ports
from tests.fixtures.bus_builders import key
from tests.fixtures.receiver import Receiver, Reply, Request, agrees
from tests.fixtures.router import until
from tests.integration.router.conftest import Ground
from tests.integration.router.subscribed import SubscribedGuild, settings_for, subscribed

pytestmark = pytest.mark.integration


@pytest.fixture
async def guild(ground: Ground) -> AsyncIterator[SubscribedGuild]:
    async with subscribed(ground, settings_for(ground)) as guild:
        yield guild


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver().listening() as listening:
        yield listening


def ids(request: Request) -> list[str]:
    told = json.loads(request.body)
    return [event["id"] for event in (told if isinstance(told, list) else [told])]


def heard(receiver: Receiver) -> list[str]:
    """Ids in the order of their first arrival."""
    return list(dict.fromkeys(one for request in receiver.deliveries for one in ids(request)))


def is_signed(secret: str, request: Request) -> bool:
    try:
        verify(secret, request.headers, request.body, datetime.now(UTC))
    except BadSignature:
        return False
    return True


async def test_an_address_is_asked_first_and_told_who_asks(
    guild: SubscribedGuild, receiver: Receiver
) -> None:
    made = await guild.subscribe(WebhookSink(url=receiver.url))

    (asked,) = receiver.requests
    assert (asked.method, asked.path, asked.body) == ("OPTIONS", "/hook", b"")
    assert asked.headers["webhook-request-origin"] == "guild.example.com"
    assert asked.headers["webhook-request-rate"] == "60000"
    assert made.secret is not None
    assert made.secret.startswith("whsec_")
    assert (await guild.state()).secret is None


REFUSALS = [
    Reply(200),
    Reply(204, {"Access-Control-Allow-Origin": "*"}),
    Reply(200, {"WebHook-Allowed-Origin": "other.example.com"}),
    Reply(302, {"Location": "/elsewhere"}),
    Reply(405),
    Reply(410),
]


async def test_an_address_that_does_not_agree_is_not_subscribed(
    guild: SubscribedGuild, receiver: Receiver
) -> None:
    for reply in REFUSALS:
        receiver.behave = partial(_always, reply)
        with pytest.raises(ValidationError) as refused:
            await guild.subscribe(WebhookSink(url=receiver.url))
        assert refused.value.field == "sink.url"

    await guild.publish("1")
    await asyncio.sleep(0.2)

    assert receiver.deliveries == []
    with pytest.raises(NotFound):
        await guild.state()


def _always(reply: Reply, _: Request) -> Reply:
    return reply


async def test_an_address_that_we_do_not_call_is_refused_with_the_reason(
    guild: SubscribedGuild,
) -> None:
    for url in ("http://10.0.0.1/", "https://user@example.com/", "ftp://x.test/"):
        with pytest.raises(ValidationError) as refused:
            await guild.subscribe(WebhookSink(url=url))
        assert refused.value.field == "sink.url"


async def test_an_address_where_nobody_is_can_be_put_again_later(guild: SubscribedGuild) -> None:
    with pytest.raises(DependencyUnavailable):
        await guild.subscribe(WebhookSink(url="http://127.0.0.1:9/"))

    silent = Receiver(behave=lambda _: Reply(delay_s=60))
    async with silent.listening():
        with pytest.raises(DependencyUnavailable):
            await guild.subscribe(WebhookSink(url=silent.url))


async def test_events_arrive_once_in_order_and_signed(
    guild: SubscribedGuild, receiver: Receiver
) -> None:
    made = await guild.subscribe(WebhookSink(url=receiver.url))
    assert made.secret is not None

    for number in range(20):
        await guild.publish(str(number))
    await guild.until_caught_up()

    deliveries = receiver.deliveries
    assert [ids(one) for one in deliveries] == [[str(number)] for number in range(20)]
    assert all(is_signed(made.secret, one) for one in deliveries)
    assert {one.headers["content-type"] for one in deliveries} == {
        "application/cloudevents+json; charset=utf-8"
    }
    assert len({one.headers["webhook-id"] for one in deliveries}) == 20
    assert await guild.dead_letters() == ()
    assert receiver.connections <= 3  # of the question, and of the deliveries


async def test_a_rotation_loses_no_delivery_and_the_next_one_ends_the_first_secret(
    guild: SubscribedGuild, receiver: Receiver
) -> None:
    made = await guild.subscribe(WebhookSink(url=receiver.url))
    secrets = [made.secret]
    for number in range(2):
        await guild.publish(str(number))
        await guild.until_caught_up()
        rotated = await guild.bus.ask(
            RotateSecret(context=guild.context, command_id=key(), name="orders")
        )
        secrets.append(rotated.secret)
        await guild.until_served(rotated)
    await guild.publish("2")
    await guild.until_caught_up()

    fits = [
        [secret is not None and is_signed(secret, one) for secret in secrets]
        for one in receiver.deliveries
    ]
    assert fits == [[True, False, False], [True, True, False], [False, True, True]]


async def test_who_takes_batches_gets_them_in_order(
    guild: SubscribedGuild, receiver: Receiver
) -> None:
    made = await guild.subscribe(WebhookSink(url=receiver.url, batch=25))
    assert made.secret is not None

    for begin in range(0, 200, 50):
        await asyncio.gather(
            *(guild.publish(f"{begin + n}", source=f"/shop/{begin + n}") for n in range(50))
        )
    await guild.until_caught_up()

    batches = [one for one in receiver.deliveries if len(ids(one)) > 1]
    assert sorted(map(int, heard(receiver))) == list(range(200))
    assert max(len(ids(one)) for one in batches) <= 25
    assert all("batch" in one.headers["content-type"] for one in batches)
    assert all(is_signed(made.secret, one) for one in receiver.deliveries)


async def test_410_disables_the_subscription_and_nothing_is_lost_when_it_is_resumed(
    guild: SubscribedGuild, receiver: Receiver
) -> None:
    await guild.subscribe(WebhookSink(url=receiver.url))
    receiver.behave = lambda _: Reply(410)
    await guild.publish("1", "2")

    info = await guild.until_disabled()
    tried = len(receiver.deliveries)
    await guild.publish("3")
    await asyncio.sleep(0.3)
    with pytest.raises(ValidationError):
        await guild.bus.ask(
            ResumeSubscription(context=guild.context, command_id=key(), name="orders")
        )
    assert len(receiver.deliveries) == tried
    receiver.behave = lambda request: agrees(request) or Reply()
    await guild.bus.ask(ResumeSubscription(context=guild.context, command_id=key(), name="orders"))
    await guild.until_caught_up()

    assert info.subscription.reason == "gone: the receiver wants nothing any more"
    assert [ids(one) for one in receiver.deliveries[tried:]] == [["1"], ["2"], ["3"]]
    assert await guild.dead_letters() == ()


async def test_429_with_retry_after_pauses_the_whole_subscription(
    guild: SubscribedGuild, receiver: Receiver
) -> None:
    await guild.subscribe(WebhookSink(url=receiver.url))
    times: list[float] = []

    def limited(request: Request) -> Reply:
        times.append(asyncio.get_running_loop().time())
        return Reply(429, {"Retry-After": "1"}) if len(times) == 1 else Reply()

    receiver.behave = limited
    await guild.publish("1")
    await until(lambda: len(times) == 1)
    for number in range(2, 8):
        await guild.publish(str(number), source=f"/shop/{number}")
    await guild.until_caught_up()

    assert times[1] - times[0] >= 1.0
    assert sorted(heard(receiver)) == [str(number) for number in range(1, 8)]
    assert await guild.dead_letters() == ()


async def test_an_allowed_rate_is_kept(guild: SubscribedGuild, receiver: Receiver) -> None:
    receiver.behave = lambda request: (
        Reply(200, {"WebHook-Allowed-Origin": "guild.example.com", "WebHook-Allowed-Rate": "300"})
        if request.method == "OPTIONS"
        else Reply()
    )
    made = await guild.subscribe(WebhookSink(url=receiver.url))
    began = asyncio.get_running_loop().time()

    for number in range(12):
        await guild.publish(str(number), source=f"/shop/{number}")
    await guild.until_caught_up()

    assert made.subscription.sink == WebhookSink(url=receiver.url, per_minute=300)
    assert asyncio.get_running_loop().time() - began >= (12 - 5) / 5 - 0.1
    assert await guild.dead_letters() == ()


async def test_500_is_repeated_under_the_same_id_and_ends_in_the_dead_letters(
    guild: SubscribedGuild, receiver: Receiver, ground: Ground
) -> None:
    made = await guild.subscribe(WebhookSink(url=receiver.url))
    failing = True
    receiver.behave = lambda request: Reply(500 if failing and ids(request) == ["2"] else 204)
    await guild.publish("1", "2", "3")
    await guild.until_caught_up()

    (letter,) = await guild.dead_letters()
    attempts = [one for one in receiver.deliveries if ids(one) == ["2"]]
    assert (letter.reason, letter.attempts) == ("declined: the receiver answered 500", 3)
    assert letter.event is not None
    assert letter.event.source_id == "2"
    assert [ids(one) for one in receiver.deliveries] == [["1"], ["2"], ["2"], ["2"], ["3"]]
    assert len({one.headers["webhook-id"] for one in attempts}) == 1

    failing = False
    await _redrive(ground, made.subscription.subscription_id, letter.event_id)

    assert ids(receiver.deliveries[-1]) == ["2"]
    assert receiver.deliveries[-1].headers["webhook-id"] == attempts[0].headers["webhook-id"]
    assert await guild.dead_letters() == ()


async def _redrive(ground: Ground, subscription_id: str, event_id: str) -> None:
    lease = await Leaders(ground.across).current("router")
    assert lease is not None
    store = PostgresRouterStore(ground.across, lease)
    sinks = Sinks(lambda _: LocalPool({}), ground.across, settings_for(ground))
    served = await store.declared(10)
    (done,) = await redrive(
        store, sinks, settings_for(ground).router, f"{subscription_id}@1", [event_id],
        subscriptions=served,
    )  # fmt: skip
    await sinks.close()
    assert done.failure is None


async def test_a_receiver_that_is_down_for_a_while_misses_nothing(
    guild: SubscribedGuild, receiver: Receiver
) -> None:
    patient = DeliveryPolicy(max_attempts=10, backoff_s=(0.05,))
    await guild.subscribe(WebhookSink(url=receiver.url), delivery=patient)
    down = True
    receiver.behave = lambda _: Reply(500 if down else 204)
    for number in range(40):
        await guild.publish(str(number), source=f"/shop/{number % 20}")

    await asyncio.sleep(1.5)
    tried_while_down = len(receiver.deliveries)
    down = False
    await guild.until_caught_up()

    assert tried_while_down < 45
    assert await guild.dead_letters() == ()
    assert sorted(map(int, heard(receiver))) == list(range(40))


async def test_a_receiver_that_dies_and_comes_back_misses_nothing(guild: SubscribedGuild) -> None:
    receiver = Receiver(port=free_ports(1)[0])  # one that nobody is given meanwhile
    async with receiver.listening():
        await guild.subscribe(WebhookSink(url=receiver.url))
        await guild.publish("0")
        await guild.until_caught_up()
    for number in range(1, 20):
        await guild.publish(str(number))
    await asyncio.sleep(0.5)
    async with receiver.listening():
        await guild.until_caught_up()

    assert heard(receiver) == [str(number) for number in range(20)]
    assert await guild.dead_letters() == ()


async def test_an_answer_without_end_is_an_answer_and_holds_nobody_up(
    guild: SubscribedGuild, receiver: Receiver
) -> None:
    await guild.subscribe(WebhookSink(url=receiver.url))
    receiver.behave = lambda _: Reply(200, endless=True)

    for number in range(5):
        await guild.publish(str(number))
    await guild.until_caught_up()

    assert [ids(one) for one in receiver.deliveries] == [[str(number)] for number in range(5)]


async def test_a_receiver_that_is_slower_than_the_bound_is_tried_again(
    guild: SubscribedGuild, receiver: Receiver
) -> None:
    await guild.subscribe(WebhookSink(url=receiver.url))
    slow = iter([Reply(delay_s=10)])
    receiver.behave = lambda _: next(slow, Reply())

    await guild.publish("1")
    await guild.until_caught_up()

    first, second = receiver.deliveries
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert await guild.dead_letters() == ()


async def test_two_subscriptions_of_one_address_do_not_share_a_secret(
    guild: SubscribedGuild, receiver: Receiver
) -> None:
    one = await guild.subscribe(WebhookSink(url=receiver.url), "one")
    two = await guild.subscribe(WebhookSink(url=receiver.url), "two")
    await guild.publish("1")
    await guild.until_caught_up("one")
    await guild.until_caught_up("two")

    assert one.secret is not None
    assert two.secret is not None
    signed = [[is_signed(one.secret, it), is_signed(two.secret, it)] for it in receiver.deliveries]
    assert sorted(signed) == [[False, True], [True, False]]
