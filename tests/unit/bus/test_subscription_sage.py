"""What may be subscribed to, and what each change does."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from actors.bus.messages import (
    DeleteSubscription,
    DeliveryPolicy,
    GetSubscription,
    ListSubscriptions,
    PauseSubscription,
    PoolSink,
    PullSink,
    ResumeSubscription,
    RotateSecret,
    SeekSubscription,
    SseSink,
    StreamSink,
    WebhookSink,
)
from actors.bus.sage.subscriptions import SubscriptionSage
from actors.errors import (
    InvalidTransition,
    NotAuthorized,
    NotFound,
    ValidationError,
    VersionConflict,
)
from actors.runtime.local import LocalPool
from actors.runtime.message import Context, Permission
from actors.settings import BusSettings
from tests.fixtures.bus_builders import GUILD, NOON, OTHER_GUILD, context, key, put
from tests.fixtures.bus_memory import MemorySubscriptionStore

HOOK = WebhookSink(url="https://example.test/hook")


class World:
    """Addresses that agree, unless they are bad ones; it remembers who was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.rate: int | None = None
        self.nudges = 0

    async def agree(self, url: str) -> int | None:
        self.asked.append(url)
        if "bad" in url:
            raise ValidationError("sink.url", "does not agree")
        return self.rate

    def secret(self, subscription_id: str, key_version: int) -> str:
        return f"{subscription_id}/{key_version}"

    async def embed(self, text: str, _: Context) -> Sequence[float]:
        return [float(len(text))]

    def nudge(self) -> None:
        self.nudges += 1


def compiled(spec: Mapping[str, Any]) -> None:
    if spec.get("expression") == "1 +":
        raise ValidationError("filter.expression", "does not compile")


@pytest.fixture
def store() -> MemorySubscriptionStore:
    return MemorySubscriptionStore()


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def pool(store: MemorySubscriptionStore, world: World) -> LocalPool:
    sage = SubscriptionSage(
        store,
        BusSettings(max_subscriptions=2),
        pools=frozenset({"task"}),
        compile_filter=compiled,
        webhooks=world,
        embed=world.embed,
        nudge=world.nudge,
        now=lambda: NOON,
    )
    return LocalPool(sage.handlers())


async def test_a_new_subscription_begins_where_it_is_told_and_tells_the_router(
    pool: LocalPool, store: MemorySubscriptionStore, world: World
) -> None:
    made = (await pool.ask(put(begin="beginning"))).subscription

    assert (made.state, made.version, made.generation) == ("active", 1, 1)
    assert made.subscription_id.startswith("sub_")
    assert store.origins == {"orders": "beginning"}
    assert world.nudges == 1


async def test_the_same_again_changes_nothing_and_a_difference_is_the_next_version(
    pool: LocalPool, store: MemorySubscriptionStore
) -> None:
    first = await pool.ask(put())

    same = await pool.ask(put())
    changed = await pool.ask(put(filter_spec={"types": ["custom.b"]}, begin="beginning"))

    assert same == first
    assert changed.subscription == replace(
        first.subscription, filter_spec={"types": ["custom.b"]}, version=2
    )
    assert store.origins == {"orders": "end"}


async def test_who_knows_another_version_is_refused(pool: LocalPool) -> None:
    await pool.ask(put(expected_version=0))

    for version in (0, 2):
        with pytest.raises(VersionConflict):
            await pool.ask(put(expected_version=version, delivery=DeliveryPolicy(max_attempts=2)))

    delete = DeleteSubscription(
        context=context(), command_id=key(), name="orders", expected_version=2
    )
    with pytest.raises(VersionConflict):
        await pool.ask(delete)
    assert (await pool.ask(put(expected_version=1))).subscription.version == 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": "Upper"}, "name"),
        ({"name": ""}, "name"),
        ({"name": "-a"}, "name"),
        ({"name": "a" * 64}, "name"),
        ({"name": "a\n"}, "name"),
        ({"sink": PoolSink(pool="nobody")}, "sink.pool"),
        ({"sink": PoolSink(pool="task", batch=0)}, "sink.batch"),
        ({"sink": StreamSink(stream="A b")}, "sink.stream"),
        ({"sink": StreamSink(stream="a", max_length=0)}, "sink.max_length"),
        ({"sink": WebhookSink(url="https://bad.test")}, "sink.url"),
        ({"sink": WebhookSink(url="https://ok.test", key_version=2)}, "sink.key_version"),
        ({"sink": WebhookSink(url="https://ok.test", per_minute=9)}, "sink.per_minute"),
        ({"sink": WebhookSink(url="https://ok.test", batch=0)}, "sink.batch"),
        ({"sink": WebhookSink(url="https://ok.test", batch=101)}, "sink.batch"),
        ({"delivery": DeliveryPolicy(ordering="random")}, "delivery.ordering"),  # type: ignore[arg-type]
        ({"delivery": DeliveryPolicy(ack_deadline_s=0.5)}, "delivery.ack_deadline_s"),
        ({"delivery": DeliveryPolicy(ack_deadline_s=float("nan"))}, "delivery.ack_deadline_s"),
        ({"delivery": DeliveryPolicy(max_attempts=0)}, "delivery.max_attempts"),
        ({"delivery": DeliveryPolicy(backoff_s=())}, "delivery.backoff_s"),
        ({"delivery": DeliveryPolicy(backoff_s=(-1.0,))}, "delivery.backoff_s"),
        ({"delivery": DeliveryPolicy(max_in_flight=0)}, "delivery.max_in_flight"),
        ({"filter_spec": {"type": ["a"]}}, "filter"),
        ({"filter_spec": {"expression": "1 +"}}, "filter.expression"),
        ({"filter_spec": {"similar_to": " "}}, "filter.similar_to"),
        ({"filter_spec": {"similar_to": "x" * 2001}}, "filter.similar_to"),
        ({"filter_spec": {"min_score": 0.5}}, "filter.min_score"),
        ({"filter_spec": {"similar_to": "a", "min_score": 2}}, "filter.min_score"),
        ({"filter_spec": {"similar_to": "a", "min_score": True}}, "filter.min_score"),
    ],
)
async def test_what_cannot_be_subscribed_to_is_named(
    pool: LocalPool, store: MemorySubscriptionStore, changes: dict[str, Any], field: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        await pool.ask(put(**changes))

    assert caught.value.field == field
    assert await store.count(GUILD) == 0


async def test_a_pool_needs_an_administrator(pool: LocalPool) -> None:
    writer = context(GUILD, Permission.READ, Permission.WRITE)

    with pytest.raises(NotAuthorized):
        await pool.ask(put(sink=PoolSink(pool="task"), context=writer))

    assert (await pool.ask(put(sink=PoolSink(pool="task")))).subscription.version == 1


@pytest.mark.parametrize(
    "message", [PauseSubscription, ResumeSubscription, RotateSecret, DeleteSubscription]
)
async def test_what_a_pool_hears_is_changed_by_administrators_only(
    pool: LocalPool, store: MemorySubscriptionStore, message: type[PauseSubscription]
) -> None:
    made = await pool.ask(put(sink=PoolSink(pool="task")))
    elder = context(GUILD, *(frozenset(Permission) - {Permission.ADMIN}))

    with pytest.raises(NotAuthorized):
        await pool.ask(message(context=elder, command_id=key(), name="orders"))
    with pytest.raises(NotAuthorized):
        await pool.ask(SeekSubscription(context=elder, command_id=key(), name="orders", to="end"))

    assert await store.load(GUILD, "orders") == made.subscription


async def test_a_guild_has_so_many_and_not_more(pool: LocalPool) -> None:
    await pool.ask(put("a"))
    await pool.ask(put("b"))

    with pytest.raises(ValidationError):
        await pool.ask(put("c"))

    await pool.ask(put("c", context=context(OTHER_GUILD)))
    await pool.ask(put("a", filter_spec={}))


async def test_a_webhook_is_asked_once_and_its_secret_is_shown_once(
    pool: LocalPool, world: World
) -> None:
    made = await pool.ask(put(sink=HOOK))
    same_address = await pool.ask(put(sink=HOOK, filter_spec={}))
    moved = await pool.ask(put(sink=WebhookSink(url="https://example.test/new"), filter_spec={}))
    read = await pool.ask(GetSubscription(context=context(), name="orders"))

    assert made.secret == f"{made.subscription.subscription_id}/1"
    assert (same_address.secret, moved.secret, read.secret) == (None, None, None)
    assert world.asked == [HOOK.url, "https://example.test/new"]


async def test_a_rotated_secret_is_the_next_one_and_stays_so(pool: LocalPool) -> None:
    made = await pool.ask(put(sink=HOOK))

    rotated = await pool.ask(RotateSecret(context=context(), command_id=key(), name="orders"))
    same = await pool.ask(put(sink=HOOK))

    assert rotated.secret == f"{made.subscription.subscription_id}/2"
    assert same.subscription == rotated.subscription
    await pool.ask(put("pulled"))
    with pytest.raises(ValidationError):
        await pool.ask(RotateSecret(context=context(), command_id=key(), name="pulled"))


async def test_the_kind_of_a_sink_stays(pool: LocalPool) -> None:
    await pool.ask(put(sink=PullSink()))

    with pytest.raises(ValidationError):
        await pool.ask(put(sink=SseSink()))


async def test_a_meaning_is_embedded_when_it_is_put(
    pool: LocalPool, store: MemorySubscriptionStore
) -> None:
    await pool.ask(put(filter_spec={"similar_to": "disk full", "min_score": 0.6}))
    await pool.ask(put("plain"))

    assert store.meanings == {"orders": [9.0], "plain": None}


async def test_pausing_and_resuming_are_repeatable_steps(pool: LocalPool) -> None:
    await pool.ask(put())

    def pause() -> PauseSubscription:
        return PauseSubscription(context=context(), command_id=key(), name="orders")

    def resume() -> ResumeSubscription:
        return ResumeSubscription(context=context(), command_id=key(), name="orders")

    steps = [await pool.ask(step()) for step in (pause, pause, resume, resume)]

    assert [(info.subscription.state, info.subscription.version) for info in steps] == [
        ("paused", 2),
        ("paused", 2),
        ("active", 3),
        ("active", 3),
    ]


async def test_a_disabled_webhook_has_to_agree_again(
    pool: LocalPool, store: MemorySubscriptionStore, world: World
) -> None:
    made = (await pool.ask(put(sink=HOOK))).subscription
    gone = replace(made, state="disabled", reason="410", version=2)
    await store.commit(gone, origin=None, meaning=None, cause=put())
    world.asked.clear()

    with pytest.raises(InvalidTransition):
        await pool.ask(PauseSubscription(context=context(), command_id=key(), name="orders"))
    resumed = await pool.ask(ResumeSubscription(context=context(), command_id=key(), name="orders"))

    assert (resumed.subscription.state, resumed.subscription.reason) == ("active", "")
    assert world.asked == [HOOK.url]


async def test_the_rate_that_an_address_allows_is_kept_until_it_is_asked_again(
    pool: LocalPool, store: MemorySubscriptionStore, world: World
) -> None:
    world.rate = 60
    made = (await pool.ask(put(sink=HOOK))).subscription
    world.rate = 30
    same = (await pool.ask(put(sink=HOOK, filter_spec={}))).subscription
    batched = (await pool.ask(put(sink=replace(HOOK, batch=5), filter_spec={}))).subscription
    gone = replace(batched, state="disabled", reason="410", version=batched.version + 1)
    await store.commit(gone, origin=None, meaning=None, cause=put())
    world.rate = None
    resumed = await pool.ask(ResumeSubscription(context=context(), command_id=key(), name="orders"))

    assert [made.sink, same.sink, batched.sink, resumed.subscription.sink] == [
        replace(HOOK, per_minute=60),
        replace(HOOK, per_minute=60),
        replace(HOOK, batch=5, per_minute=30),
        replace(HOOK, batch=5),
    ]


async def test_seeking_begins_a_generation(pool: LocalPool, store: MemorySubscriptionStore) -> None:
    await pool.ask(put())

    sought = await pool.ask(
        SeekSubscription(context=context(), command_id=key(), name="orders", to=NOON)
    )

    assert (sought.subscription.generation, sought.subscription.version) == (2, 2)
    assert store.origins == {"orders": NOON}


async def test_what_is_deleted_or_another_guilds_is_not_found(
    pool: LocalPool, world: World
) -> None:
    await pool.ask(put())
    world.nudges = 0

    with pytest.raises(NotFound):
        await pool.ask(GetSubscription(context=context(OTHER_GUILD), name="orders"))
    await pool.ask(DeleteSubscription(context=context(), command_id=key(), name="orders"))

    with pytest.raises(NotFound):
        await pool.ask(GetSubscription(context=context(), name="orders"))
    listed = await pool.ask(ListSubscriptions(context=context()))
    assert listed.subscriptions == ()
    assert world.nudges == 1
