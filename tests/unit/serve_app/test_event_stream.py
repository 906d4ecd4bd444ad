"""The live stream: what a reader gets, and everything that ends it."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from fastapi import FastAPI

from actors import events, metrics
from actors.bus.messages import PullSink, SseSink, Tail, TailEvents
from actors.carried import carry
from actors.errors import DependencyUnavailable, PositionOfAnotherEpoch
from actors.events import StoredEvent
from actors.identity.sessions.messages import Revocation, Revoked, RevokedSince
from actors.runtime.local import LocalPool
from actors.runtime.message import Caller, Permission, Position
from actors.runtime.pool import Asker
from actors.settings import BusSettings, GatewaySettings, GuildSettings
from actors.storage.frontier import Frontier
from serve_app.problems import Problem
from serve_app.streams import Address, Streams
from serve_app.tokens import Tokens, key_ring
from tests.fixtures.bus_builders import new_event, new_subscription, publish, stored_event
from tests.fixtures.bus_in_process import MemoryLog
from tests.fixtures.gateway import GUILD, SECRET, app_over, settings, token_of
from tests.fixtures.sse import Frame, Reader, reading


class Served:
    """One application, made once; what it stands on is each test's own."""

    def __init__(self) -> None:
        self._pools: dict[str, Asker] = {}
        self._app = app_over(self._pools)

    def over(self, bus: Asker, config: GuildSettings | None = None) -> FastAPI:
        """The application over this bus, with these settings."""
        config, gateway = config or settings(), self._app.state.gateway
        self._pools["bus"] = bus
        gateway.settings = config
        gateway.streams = Streams(config.gateway)
        gateway.tokens = Tokens(key_ring(SECRET), config.gateway)
        return self._app

    def log(self, log: MemoryLog, config: GuildSettings | None = None) -> FastAPI:
        """The application over the bus of this log."""
        config = config or settings()
        return self.over(LocalPool(log.handlers(config.bus)), config)


@pytest.fixture(scope="module")
def served() -> Served:
    return Served()


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog()


def with_bus(**bus: Any) -> GuildSettings:
    return GuildSettings(jwt_secret=SECRET, bus=BusSettings(**bus))


@pytest.fixture
def app(served: Served, log: MemoryLog) -> FastAPI:
    return served.log(log)


async def happens(app: FastAPI, *names: str, **changes: Any) -> None:
    """So many events, one transaction each."""
    pool = app.state.gateway.pool("bus")
    for name in names:
        await pool.ask(publish(new_event(name, **changes), guild_id=GUILD))


def ids(frames: list[Frame]) -> list[str]:
    return [frame.json()["id"] for frame in frames]


async def test_events_come_as_they_happen_in_the_form_of_the_specification(app: FastAPI) -> None:
    async with reading(app, token_of(app)) as reader:
        opening = await reader.frame()
        await happens(app, "one", "two")
        first, second = await reader.events(2)

    assert reader.status == 200
    assert reader.headers["content-type"].startswith("text/event-stream")
    assert reader.headers["cache-control"] == "no-store"
    assert reader.headers["x-accel-buffering"] == "no"
    assert "content-length" not in reader.headers
    assert reader.parser.retry_ms == 2_000
    assert (opening.id, opening.data) == ("1-0-0", "")
    assert (first.id, first.event) == ("1-1-1", "custom.order.placed")
    assert first.json()["position"] == first.id
    assert first.json()["data"] == {"total": 3}
    assert ids([first, second]) == ["one", "two"]


@pytest.mark.parametrize("how", ["header", "query", "header before query"])
async def test_a_reader_resumes_behind_the_last_id_it_saw(app: FastAPI, how: str) -> None:
    await happens(app, "one", "two", "three")
    headers = {} if how == "query" else {"Last-Event-ID": "1-1-1"}
    query = {} if how == "header" else {"last_event_id": "1-1-1" if how == "query" else "1-3-3"}

    async with reading(app, token_of(app), headers, **query) as reader:
        opening = await reader.frame()
        missed = await reader.events(2)

    assert opening.id == "1-1-1"
    assert ids(missed) == ["two", "three"]


async def test_a_long_way_behind_is_caught_up_with_in_pages(served: Served, log: MemoryLog) -> None:
    app = served.log(log, with_bus(max_page=3, stream_buffer=2))
    await happens(app, *map(str, range(20)))

    async with reading(app, token_of(app), last_event_id="1-0-0") as reader:
        caught_up = await reader.events(20)
        await happens(app, "20")
        live = await reader.event()

    assert ids([*caught_up, live]) == [str(number) for number in range(21)]


async def test_only_what_is_asked_for_comes_and_the_place_moves_on(
    served: Served, log: MemoryLog
) -> None:
    app = served.log(log, with_bus(heartbeat_s=0.01))
    await happens(app, "unwanted", "unwanted too")

    async with reading(
        app, token_of(app), last_event_id="1-0-0", types=["custom.a.*", "custom.b"]
    ) as reader:
        opening, beat = await reader.frame(), await reader.frame()
        await happens(app, "wanted", type="custom.a.b")
        wanted = await reader.event()

    assert (opening.id, beat.id) == ("1-0-0", "1-2-2")
    assert beat.comments == ("still here",)
    assert ids([wanted]) == ["wanted"]


async def test_a_caller_gets_only_what_they_may_see(app: FastAPI, log: MemoryLog) -> None:
    told = [
        events.KnowledgeCreated(
            entity_id="know_1",
            title=level,
            content="",
            summary="",
            status="active",
            category_id="general",
            access_level=level,
        )
        for level in ("restricted", "protected", "public")
    ]
    log.events += [
        replace(stored_event(place=place, guild_id=GUILD), payload=payload)
        for place, payload in enumerate(told, start=1)
    ]
    guest = token_of(app, {Permission.READ})

    async with reading(app, guest, last_event_id="1-0-0") as reader:
        seen = await reader.event()

    assert seen.json()["data"]["title"] == "public"


async def test_a_line_break_in_the_data_cannot_break_the_frame(
    app: FastAPI, log: MemoryLog
) -> None:
    data = '{\r\n  "a":\r"id: 9-9-9",\n\n"b": "\\n\\ndata: forged"\n}'
    log.events.append(stored_event(new_event(data=data), guild_id=GUILD))

    async with reading(app, token_of(app), last_event_id="1-0-0") as reader:
        event = await reader.event()

    assert event.id == "1-1-1"
    assert event.json()["data"] == {"a": "id: 9-9-9", "b": "\n\ndata: forged"}


async def test_no_id_promises_more_than_was_shown_where_a_transaction_is_open(
    served: Served, log: MemoryLog
) -> None:
    def at(xid: int) -> StoredEvent:
        return replace(stored_event(guild_id=GUILD), position=Position(xid, xid))

    open_one = Frontier(Position(20, 0), holes=(Position(7, 0),))
    tails = iter(
        [
            Tail(events=(at(5), at(10)), frontier=open_one, resume=open_one.settled),
            Tail(
                events=(at(7), at(21)),
                frontier=Frontier.at(Position(30, 0)),
                resume=Position(30, 0),
            ),
        ]
    )

    async def tail(query: TailEvents) -> Tail:
        try:
            return next(tails)
        except StopIteration:
            raise DependencyUnavailable("bus") from None

    app = served.over(LocalPool({TailEvents: tail}))

    async with reading(app, token_of(app), last_event_id="1-4-0") as reader:
        shown = await reader.events(4)

    places = [(frame.json()["position"], frame.id) for frame in shown]
    assert places == [
        ("1-5-5", "1-5-5"),
        ("1-10-10", "1-7-0"),
        ("1-7-7", "1-7-7"),
        ("1-21-21", "1-21-21"),
    ]


# --- Subscriptions ----------------------------------------------------------------------------


async def test_a_subscription_lends_its_filter(app: FastAPI, log: MemoryLog) -> None:
    log.subscriptions["orders"] = new_subscription(
        filter_spec={"types": ["custom.order.*"]}, sink=SseSink()
    )

    async with reading(app, token_of(app), subscription="orders") as reader:
        await reader.frame()
        await happens(app, "other", type="custom.other")
        await happens(app, "order")
        event = await reader.event()

    assert ids([event]) == ["order"]


async def test_a_subscription_by_meaning_shows_what_matched_it(
    app: FastAPI, log: MemoryLog
) -> None:
    subscription = new_subscription(filter_spec={"similar_to": "a full disk"}, sink=SseSink())
    log.subscriptions["disks"] = subscription

    def match(subscription_id: str, name: str) -> events.SubscriptionMatched:
        event = stored_event(new_event(name), guild_id=GUILD)
        return events.SubscriptionMatched(
            event_id=event.event_id,
            event_type=event.type,
            matches=(events.SubscriptionMatch(subscription_id=subscription_id, score=0.8),),
            event=carry(event),
        )

    ours = match(subscription.subscription_id, "ours")
    closed = replace(ours, event=ours.event.replace("custom.order.placed", "sage.later"))
    matches = [match("sub_other", "another's"), closed, ours]
    log.events += [
        replace(stored_event(place=place, guild_id=GUILD), payload=payload)
        for place, payload in enumerate(matches, start=1)
    ]

    async with reading(app, token_of(app), subscription="disks", last_event_id="1-0-0") as reader:
        event = await reader.event()

    told = event.json()
    assert (event.id, event.event) == ("1-3-3", "custom.order.placed")
    assert (told["specversion"], told["type"]) == ("1.0", "custom.order.placed")
    assert (told["id"], told["position"]) == ("ours", "1-1-1")
    assert told["data"] == {"total": 3}
    assert "guild_id" not in told


async def test_the_place_moves_on_behind_what_matched_others(
    served: Served, log: MemoryLog
) -> None:
    log.subscriptions["disks"] = new_subscription(
        filter_spec={"similar_to": "a full disk"}, sink=SseSink()
    )
    inside = stored_event(guild_id=GUILD)
    anothers = events.SubscriptionMatched(
        event_id=inside.event_id,
        event_type=inside.type,
        matches=(events.SubscriptionMatch(subscription_id="sub_other", score=0.8),),
        event=carry(inside),
    )
    read = 0

    async def tail(query: TailEvents) -> Tail:
        nonlocal read
        await asyncio.sleep(0.001)
        read += 1
        match = replace(stored_event(place=read, guild_id=GUILD), payload=anothers)
        here = Frontier.at(match.position)
        return Tail(events=(match,), frontier=here, resume=here.settled)

    app = served.over(LocalPool({**log.handlers(BusSettings()), TailEvents: tail}))

    async with reading(app, token_of(app), subscription="disks", last_event_id="1-0-0") as reader:
        await reader.frame()
        heartbeat = await reader.frame()

    assert heartbeat.comments == ("still here",)
    assert Position.parse(heartbeat.id) > Position(0, 0)


@pytest.mark.parametrize(
    ("changes", "query", "status"),
    [
        ({"sink": PullSink()}, {}, 422),
        ({"sink": SseSink(), "state": "paused"}, {}, 409),
        ({"sink": SseSink()}, {"types": "*"}, 422),
        ({"sink": SseSink()}, {"subscription": "nobody's"}, 422),
        ({"sink": SseSink()}, {"subscription": "nobodys"}, 404),
    ],
)
async def test_a_subscription_that_cannot_be_streamed_is_a_problem(
    app: FastAPI,
    log: MemoryLog,
    changes: dict[str, Any],
    query: dict[str, str],
    status: int,
) -> None:
    log.subscriptions["orders"] = new_subscription(**changes)

    asked: dict[str, Any] = {"subscription": "orders"} | query

    async with reading(app, token_of(app), **asked) as reader:
        await reader.over()

    assert problem(reader)["status"] == status


# --- Before the first byte --------------------------------------------------------------------


def problem(reader: Reader) -> dict[str, Any]:
    assert reader.headers["content-type"] == "application/problem+json"
    told: dict[str, Any] = orjson.loads(reader.body)
    assert told["status"] == reader.status
    return told


@pytest.mark.parametrize(
    "query",
    [
        {"last_event_id": "x"},
        {"last_event_id": "1-1"},
        {"last_event_id": "9" * 65},
        {"types": "a b"},
        {"types": ["x"] * 51},
        {"expression": "data.total >"},
        {"unknown": "1"},
    ],
)
async def test_what_cannot_be_streamed_is_a_problem_before_the_first_byte(
    app: FastAPI, query: dict[str, Any]
) -> None:
    async with reading(app, token_of(app), **query) as reader:
        await reader.over()

    assert problem(reader)["status"] == 422
    assert len(app.state.gateway.streams) == 0


async def test_a_position_of_a_log_that_was_moved_says_to_begin_anew(served: Served) -> None:
    async def moved(query: TailEvents) -> None:
        raise PositionOfAnotherEpoch(1, 2)

    app = served.over(LocalPool({TailEvents: moved}))

    async with reading(app, token_of(app), last_event_id="1-1-1") as reader:
        await reader.over()

    told = problem(reader)
    assert told["status"] == 410
    assert told["type"].endswith(":position_of_another_epoch")
    assert "begin anew" in told["detail"]


async def test_places_are_bounded_for_a_replica_and_for_each_caller(
    served: Served, log: MemoryLog
) -> None:
    app = served.log(log, settings(max_streams=2, max_streams_each=1))
    first, second, third = (token_of(app, principal=name) for name in ("ann", "bob", "cid"))

    async with reading(app, first), reading(app, second):
        async with reading(app, first) as again:
            await again.over()
        async with reading(app, third) as late:
            await late.over()
    async with reading(app, third) as later:
        pass

    assert problem(again)["status"] == 429
    assert problem(late)["status"] == 503
    assert again.headers["retry-after"] == late.headers["retry-after"] == "1"
    assert later.status == 200


# --- After it ---------------------------------------------------------------------------------


def ended(reason: str) -> float:
    name = "elders_guild_event_streams_ended_total"
    return metrics.REGISTRY.get_sample_value(name, {"reason": reason}) or 0.0


async def test_a_reader_that_goes_away_ends_everything_at_once(
    app: FastAPI, log: MemoryLog
) -> None:
    before = ended("gone")

    async with reading(app, token_of(app)) as reader:
        await reader.frame()
        assert len(app.state.gateway.streams) == 1

    assert len(app.state.gateway.streams) == 0
    assert not reader.complete
    assert ended("gone") == before + 1


async def test_a_slow_reader_is_cut_off_and_can_resume(served: Served, log: MemoryLog) -> None:
    app = served.log(log, with_bus(stream_buffer=5, heartbeat_s=0.02))
    before = ended("slow")
    everything = [str(number) for number in range(30)]

    async with reading(app, token_of(app)) as slow:
        await slow.frame()
        await happens(app, everything[0])
        seen = await slow.events(1)
        slow.takes.clear()
        await happens(app, *everything[1:])
        seen += [frame for frame in await slow.over() if frame.data]
    app = served.log(log, with_bus(stream_buffer=5))  # one that is patient
    async with reading(app, token_of(app), last_event_id=slow.parser.last_id) as again:
        seen += await again.events(len(everything) - len(seen))

    assert not slow.complete
    assert ended("slow") == before + 1
    assert ids(seen) == everything


async def test_a_reader_that_takes_a_little_at_a_time_is_not_cut_off(
    served: Served, log: MemoryLog
) -> None:
    app = served.log(log, with_bus(stream_buffer=2, max_page=3))
    everything = [str(number) for number in range(12)]
    await happens(app, *everything)

    async with reading(app, token_of(app), last_event_id="1-0-0") as reader:
        seen = []
        for _ in everything:
            reader.takes.set()
            seen.append(await reader.event())
            reader.takes.clear()

    assert ids(seen) == everything


async def test_a_stream_does_not_outlive_its_token(served: Served, log: MemoryLog) -> None:
    now = [1_000_000.0]
    app = served.log(log, settings(access_token_ttl_s=60, token_leeway_s=0))
    app.state.gateway.tokens = Tokens(
        key_ring(SECRET), app.state.gateway.settings.gateway, lambda: now[0]
    )
    token = token_of(app)
    now[0] += 59.98

    async with reading(app, token) as reader:
        *_, last = await reader.over()
    now[0] += 1
    async with reading(app, token) as again:
        await again.over()

    assert "expired" in last.comments[0]
    assert reader.complete
    assert problem(again)["status"] == 401


async def test_a_stream_ends_soon_after_its_token_was_revoked(
    served: Served, log: MemoryLog
) -> None:
    app = served.log(log, settings(revocation_poll_s=0.02))
    tokens = app.state.gateway.tokens
    token = token_of(app)
    page = Revoked(
        revocations=(
            Revocation(
                kind="session",
                subject=tokens.inspect(token).held.session_id,
                version=0,
                expires_at=datetime(9999, 1, 1, tzinfo=UTC),
            ),
        ),
        cursor=1,
        horizon=1,
        more=False,
    )

    async def since(_: RevokedSince) -> Revoked:
        return page

    async with reading(app, token) as reader:
        await reader.frame()
        await tokens.revocations.look(lambda _: LocalPool({RevokedSince: since}))
        *_, last = await reader.over()

    assert "revoked" in last.comments[0]
    assert reader.complete


async def test_what_a_stream_waits_for_before_it_begins_counts_as_well(
    served: Served, log: MemoryLog
) -> None:
    happened = stored_event(guild_id=GUILD)

    async def tail(query: TailEvents) -> Tail:
        first = query.frontier is None
        await asyncio.sleep(0.03 if first else 0.005)  # the token is good for 0.02 s
        here = Frontier.at(happened.position)
        return Tail(events=() if first else (happened,), frontier=here, resume=here.settled)

    now = [1_000_000.0]
    app = served.over(
        LocalPool({TailEvents: tail}), settings(access_token_ttl_s=60, token_leeway_s=0)
    )
    app.state.gateway.tokens = Tokens(
        key_ring(SECRET), app.state.gateway.settings.gateway, lambda: now[0]
    )
    token = token_of(app)
    now[0] += 59.98

    async with reading(app, token) as reader:
        told = await reader.over()

    assert reader.complete
    assert "expired" in told[-1].comments[0]
    assert not any(frame.data for frame in told)


async def test_all_streams_end_before_a_replica_does_and_no_other_begins(app: FastAPI) -> None:
    async with reading(app, token_of(app)) as one, reading(app, token_of(app)) as two:
        app.state.gateway.streams.end()
        last = [(await reader.over())[-1] for reader in (one, two)]
    async with reading(app, token_of(app)) as late:
        await late.over()

    assert all("about to stop" in frame.comments[0] for frame in last)
    assert one.complete
    assert two.complete
    assert problem(late)["status"] == 503


@pytest.mark.parametrize(
    ("failure", "code", "retryable"),
    [
        (DependencyUnavailable("postgres"), "dependency_unavailable", True),
        (PositionOfAnotherEpoch(1, 2), "position_of_another_epoch", False),
    ],
)
async def test_a_failure_after_the_first_byte_is_the_last_event(
    served: Served, log: MemoryLog, failure: Exception, code: str, retryable: bool
) -> None:
    handlers = dict(log.handlers(BusSettings()))
    answer = handlers[TailEvents]
    fails: list[Exception] = []

    async def tail(query: TailEvents) -> Any:
        if fails:
            raise fails[0]
        return await answer(query)

    app = served.over(LocalPool({**handlers, TailEvents: tail}))

    async with reading(app, token_of(app)) as reader:
        await reader.frame()
        fails.append(failure)
        await happens(app, "one")
        event, last = await reader.events(2)
        rest = await reader.over()

    assert ids([event]) == ["one"]
    assert last.event == "error"
    assert (last.json()["code"], last.json()["retryable"]) == (code, retryable)
    assert rest == []
    assert reader.complete
    assert last.id == event.id


async def test_what_nobody_expected_is_told_without_its_inside(
    served: Served, log: MemoryLog
) -> None:
    class Broken(LocalPool):
        async def ask(self, message: Any, *, timeout_s: float | None = None) -> Any:
            if message.frontier is not None:
                raise RuntimeError("secret inside")
            return await super().ask(message, timeout_s=timeout_s)

    app = served.over(Broken(log.handlers(BusSettings())))

    async with reading(app, token_of(app)) as reader:
        last = await reader.event()

    assert (last.event, last.json()["code"]) == ("error", "internal_error")
    assert "secret" not in last.data


def test_places_count_each_caller_for_itself() -> None:
    streams = Streams(GatewaySettings(max_streams=3, max_streams_each=1))
    one, two = (Caller(guild_id=GUILD, principal_id=name) for name in ("ann", "bob"))

    with streams.place(one), streams.place(two):
        with pytest.raises(Problem), streams.place(one):
            pass
        assert len(streams) == 2
    with streams.place(one):
        assert len(streams) == 1


async def test_streams_end_when_their_server_is_about_to_stop() -> None:
    asked: list[Address] = []

    async def stopping(server: Address) -> bool:
        asked.append(server)
        return len(asked) > 2

    streams = Streams(GatewaySettings(stopping_poll_s=0.001), stopping)
    ann = Caller(guild_id=GUILD, principal_id="ann")

    with streams.place(ann, ("127.0.0.1", 8001)) as ending:
        await asyncio.wait_for(ending.wait(), 5)

    assert asked == [("127.0.0.1", 8001)] * 3
    with pytest.raises(Problem) as refused, streams.place(ann, ("127.0.0.1", 8001)):
        pass
    assert refused.value.status == 503
    assert refused.value.headers["Connection"] == "close"
