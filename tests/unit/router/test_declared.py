"""What a guild declared is served as it was asked for, and what cannot be read is left out."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from actors.bus.filters import Filters
from actors.carried import carry
from actors.errors import NotFound
from actors.events import (
    CustomEvent,
    DeliverEvent,
    KnowledgeCreated,
    StoredEvent,
    SubscriptionMatch,
)
from actors.events import SubscriptionMatched as Matched
from actors.router.declared import subscriptions_of
from actors.router.redrive import Redriven, redrive
from actors.router.routing import Subscription
from actors.runtime.message import GuildId, Position
from actors.settings import BusSettings
from actors.storage.declarations import Declaration, RunningReplay
from tests.fixtures.router import (
    GUILD,
    QUICK,
    MemoryRouterStore,
    ScriptedPool,
    running,
    stored_event,
    to_pools,
    until,
)

filters = Filters(BusSettings())
BEGINNING = Position(0, 0)


def declared(name: str, **spec: Any) -> Declaration:
    return Declaration(
        guild_id=GUILD,
        name=name,
        subscription_id=f"sub_{name}",
        generation=2,
        filter=spec,
        sink='{"kind":"pool","pool":"task"}',
        delivery="{}",
        origin=BEGINNING,
        version=1,
    )


def served(*declarations: Declaration, running: tuple[RunningReplay, ...] = ()) -> list[Any]:
    found = subscriptions_of(declarations, running, filters)
    return [one for one in found if one.declared_as is not None]


def only(*declarations: Declaration) -> Subscription:
    (one,) = served(*declarations)
    assert isinstance(one, Subscription)
    return one


def ordered(seq: int, data: Any = None, **changes: Any) -> StoredEvent:
    text = orjson.dumps({"total": 9} if data is None else data).decode()
    event = stored_event(seq, payload=CustomEvent(name="custom.order.placed", data=text))
    return replace(event, aggregate_id=f"ext:{seq}", **changes)


def match(seq: int, event: StoredEvent, *subscriptions: str) -> StoredEvent:
    payload = Matched(
        event_id=event.event_id,
        event_type=event.type,
        matches=tuple(SubscriptionMatch(subscription_id=one, score=0.9) for one in subscriptions),
        event=carry(event),
    )
    return stored_event(seq, aggregate=f"match:{event.aggregate_id}", payload=payload)


@pytest.mark.parametrize(
    ("sink", "heard"),
    [
        ('{"kind":"pull"}', ["public", "protected"]),
        ('{"kind":"stream","stream":"a"}', ["public", "protected"]),
        ('{"kind":"webhook","url":"https://example.com"}', ["public", "protected"]),
        ('{"kind":"pool","pool":"task"}', ["public", "protected", "private", "restricted"]),
    ],
)
def test_knowledge_that_is_not_for_all_elders_leaves_the_sages_to_nobody(
    sink: str, heard: list[str]
) -> None:
    one = only(replace(declared("a", types=["sage.knowledge.*"]), sink=sink))

    found = [
        level
        for level in ("public", "protected", "private", "restricted")
        if one.accepts is None or one.accepts(stored_event(1, payload=knowledge(level)))
    ]

    assert found == heard


def test_a_meaning_does_not_bring_out_what_is_hidden() -> None:
    one = only(replace(declared("a", similar_to="redundancy"), sink='{"kind":"pull"}'))
    hidden, shown = (stored_event(1, payload=knowledge(one)) for one in ("private", "public"))
    assert one.accepts is not None

    found = [one.accepts(match(2, event, "sub_a")) for event in (hidden, shown)]

    assert found == [False, True]


def knowledge(access_level: str) -> KnowledgeCreated:
    return KnowledgeCreated(
        entity_id="know_1",
        title="who is let go",
        content="",
        summary="",
        status="active",
        category_id="general",
        access_level=access_level,
    )


def test_without_an_expression_nothing_but_the_type_is_looked_at() -> None:
    one = only(declared("a", types=["custom.order.*"]))

    assert one.accepts is None
    assert one.hears(GUILD, "custom.order.placed")
    assert not one.hears(GUILD, "custom.refund")


def test_an_expression_says_which_events_of_these_types_are_accepted() -> None:
    one = only(declared("a", types=["custom.*"], expression="data.total > 5"))

    assert one.accepts is not None
    assert [one.accepts(ordered(1, {"total": total})) for total in (4, 6)] == [False, True]
    assert not one.accepts(ordered(1, {"sum": 6}))


def test_a_meaning_is_heard_by_what_the_bus_says_of_it() -> None:
    one = only(declared("a", similar_to="disk", types=["custom.*"], expression="data.total > 5"))
    event = ordered(1)

    assert one.types == ("sage.rag.subscription.matched",)
    assert one.accepts is not None
    assert one.accepts(match(2, event, "sub_b", "sub_a"))
    assert not one.accepts(match(2, event, "sub_b"))
    assert not one.accepts(event)


def test_what_matched_is_delivered_under_its_own_id_and_place() -> None:
    one = only(declared("a", similar_to="disk"))
    event = ordered(1, {"big": 12345678901234567890})
    assert one.unwraps is not None

    assert one.unwraps(match(2, event, "sub_a")) == event
    assert one.unwraps(event) == event  # a dead letter holds it as it is


@pytest.mark.parametrize(
    "broken",
    [
        {"event": "{}"},
        {"event": carry(replace(ordered(1), guild_id=GuildId("guild_other")))},
        {"event": carry(replace(ordered(1), position=Position(10, 1, epoch=2)))},
        {"event_id": "evt_9"},
    ],
)
def test_a_match_that_cannot_be_opened_is_delivered_closed(broken: dict[str, Any]) -> None:
    one = only(declared("a", similar_to="disk"))
    good = match(2, ordered(1), "sub_a")
    assert isinstance(good.payload, Matched)
    closed = replace(good, payload=replace(good.payload, **broken))
    assert one.unwraps is not None

    assert one.unwraps(closed) == closed


@pytest.mark.parametrize(
    "spec",
    [
        {"expression": "data.total >"},
        {"expression": "data.l.map(x, x) == []", "similar_to": "disk"},
        {"types": "custom.*"},
    ],
)
def test_a_filter_that_cannot_be_read_is_left_out_and_the_others_go_on(spec: Any) -> None:
    assert [one.title for one in served(declared("bad", **spec), declared("good"))] == ["good"]


def test_a_replay_wants_what_its_subscription_wants() -> None:
    replay = RunningReplay(
        guild_id=GUILD,
        replay_id="rpl_1",
        subscription="a",
        begin=BEGINNING,
        end=Position(10, 9),
        speed=0.0,
    )

    one, again = served(declared("a", similar_to="disk"), running=(replay,))

    assert again.name == "rpl_1"
    assert (again.types, again.accepts, again.unwraps) == (one.types, one.accepts, one.unwraps)


async def test_a_router_delivers_what_matched_and_goes_on_behind_the_match() -> None:
    events = [ordered(1), ordered(2, {"total": 1}), ordered(3)]
    store = MemoryRouterStore(
        log=[*events, match(4, events[2], "sub_a"), match(5, events[0], "sub_b", "sub_a")]
    )
    one, pool = only(declared("a", similar_to="disk")), ScriptedPool()

    async with running(store, {"": pool}, one):
        await until(lambda: store.cursors.get(one.name) == Position(10, 5))

    assert pool.effects == ["evt_3", "evt_1"]
    assert {message.command_id for message in pool.messages} == {
        "sub_a@2/evt_1",
        "sub_a@2/evt_3",
    }
    assert pool.messages[0].event == events[2]


async def test_what_matched_and_is_poison_stands_under_its_own_id_and_is_redriven_by_it() -> None:
    refusing = True

    async def refuse(_: DeliverEvent) -> None:
        if refusing:
            raise NotFound("order", "1")

    event = ordered(1)
    store = MemoryRouterStore(log=[event, match(2, event, "sub_a")])
    one, pool = only(declared("a", similar_to="disk")), ScriptedPool(refuse)

    async with running(store, {"": pool}, one):
        await until(lambda: store.cursors.get(one.name) == Position(10, 2))
    kept, attempts = dict(store.dead), len(pool.arrived)
    store.cursors.clear()  # the router died before it saved how far it had come
    async with running(store, {"": pool}, one):
        await until(lambda: store.cursors.get(one.name) == Position(10, 2))
    repeated = len(pool.arrived) - attempts
    refusing = False
    done = await redrive(
        store, to_pools(lambda _: pool), QUICK, one.name, ["evt_1"], subscriptions=(one,)
    )

    assert list(kept) == [("sub_a@2", "evt_1")]
    assert repeated == 0
    assert done == (Redriven("evt_1", None),)
    assert pool.effects == ["evt_1"]
