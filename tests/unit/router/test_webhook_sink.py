"""What is posted to an address, on a network in memory."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from actors.bus.filters import Filters
from actors.bus.messages import StreamSink, WebhookSink
from actors.errors import DependencyUnavailable, ElderGuildError
from actors.events import CustomEvent, StoredEvent
from actors.outbound.client import Outbound
from actors.router.declared import subscriptions_of
from actors.router.pace import Pace
from actors.router.sinks import webhook
from actors.runtime.message import GuildId, Position
from actors.settings import BusSettings, OutboundSettings, WebhookSettings
from actors.storage.declarations import Declaration
from actors.webhooks.signing import to_text, verify
from tests.fixtures.network import PUBLIC, Names, Network
from tests.fixtures.router import stored_event

NOON = datetime(2031, 5, 4, 12, tzinfo=UTC)
SECRETS = [to_text(bytes(32)), to_text(bytes([1] * 32))]
SETTINGS = WebhookSettings(origin="guild.example.com", max_request_bytes=4096)
TAKEN = b"HTTP/1.1 204 No Content\r\n\r\n"


def two_secrets() -> Sequence[str]:
    return SECRETS


def sink(
    network: Network,
    found: Sequence[str] = (PUBLIC,),
    settings: WebhookSettings = SETTINGS,
    secrets: Callable[[], Sequence[str]] = two_secrets,
) -> webhook.WebhookSink:
    outbound = Outbound(OutboundSettings(), resolve=Names(found), network=network)
    return webhook.WebhookSink(
        outbound,
        "https://example.com/hook?a=1",
        secrets,
        settings,
        pace=Pace(rest_after=9, rest_s=1, rest_max_s=1),
        now=lambda: NOON,
    )


def requests(network: Network) -> list[tuple[dict[str, str], bytes]]:
    """Headers, by name in lower case, and body of each request."""
    found, rest = [], b"".join(network.sent)
    while rest:
        head, _, rest = rest.partition(b"\r\n\r\n")
        assert head.startswith(b"POST /hook?a=1 HTTP/1.1")
        lines = (line.decode().partition(": ") for line in head.split(b"\r\n")[1:])
        headers = {name.lower(): value for name, _, value in lines}
        length = int(headers["content-length"])
        found.append((headers, rest[:length]))
        rest = rest[length:]
    return found


async def test_one_event_is_posted_as_itself_signed_and_under_its_own_id() -> None:
    network = Network((TAKEN,))

    await sink(network).deliver("sub_1@1", [stored_event(1)], 5)

    ((headers, body),) = requests(network)
    assert headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    assert headers["webhook-request-origin"] == "guild.example.com"
    assert headers["host"] == "example.com"
    assert json.loads(body)["id"] == "evt_1"
    for secret in SECRETS:
        assert verify(secret, headers, body, NOON) == "sub_1@1/evt_1"


async def test_several_are_a_batch_in_their_order() -> None:
    network = Network((TAKEN,))

    await sink(network).deliver("sub_1@1", [stored_event(seq) for seq in (1, 2, 3)], 5)

    ((headers, body),) = requests(network)
    assert headers["content-type"] == "application/cloudevents-batch+json; charset=utf-8"
    assert [event["id"] for event in json.loads(body)] == ["evt_1", "evt_2", "evt_3"]
    assert verify(SECRETS[0], headers, body, NOON).startswith("sub_1@1/3-")


async def test_a_repeat_has_the_same_id_and_another_delivery_has_not() -> None:
    network = Network((TAKEN,) * 9)
    deliver = sink(network).deliver
    one, two = stored_event(1), stored_event(2)

    for delivery, events in [
        ("sub_1@1", [one]), ("sub_1@1", [one]), ("sub_1@2", [one]),
        ("sub_1@1", [one, two]), ("sub_1@1", [one, two]), ("sub_1@1", [two, one]),
    ]:  # fmt: skip
        await deliver(delivery, events, 5)

    first, again, seek, batch, batch_again, other = (
        headers["webhook-id"] for headers, _ in requests(network)
    )
    assert (first, batch) == (again, batch_again)
    assert len({first, seek, batch, other}) == 4


async def test_a_batch_that_is_too_large_is_several_requests_and_none_is_larger() -> None:
    network = Network((TAKEN,) * 9)
    heavy = [large(seq, 1500) for seq in range(1, 6)]

    await sink(network).deliver("sub_1@1", heavy, 5)

    bodies = [json.loads(body) for _, body in requests(network)]
    assert [[event["id"] for event in body] for body in bodies[:2]] == [
        ["evt_1", "evt_2"],
        ["evt_3", "evt_4"],
    ]
    assert bodies[2]["id"] == "evt_5"


async def test_one_event_is_sent_however_large() -> None:
    network = Network((TAKEN,))

    await sink(network).deliver("sub_1@1", [large(1, 10_000)], 5)

    assert len(requests(network)) == 1


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (b"HTTP/1.1 500 No\r\nContent-Length: 6\r\n\r\nsecret", "declined"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\n\r\n", "declined"),
        (b"HTTP/1.1 410 Gone\r\n\r\n", "gone"),
        (b"HTTP/1.1 429 Slow\r\nRetry-After: 7\r\n\r\n", "overloaded"),
        (b"HTTP/1.1 503 Away\r\n\r\n", "dependency_unavailable"),
        (b"", "dependency_unavailable"),
    ],
)
async def test_what_is_not_taken_says_why_and_nothing_of_the_answers_body(
    answer: bytes, code: str
) -> None:
    with pytest.raises(ElderGuildError) as failed:
        await sink(Network((answer,))).deliver("sub_1@1", [stored_event(1)], 5)

    assert failed.value.code == code
    assert "secret" not in str(failed.value)


async def test_the_first_request_that_fails_ends_the_batch() -> None:
    network = Network((b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", TAKEN))

    with pytest.raises(ElderGuildError):
        await sink(network).deliver("sub_1@1", [large(1, 3000), large(2, 3000)], 5)

    assert len(requests(network)) == 1


async def test_a_name_that_leads_inside_by_now_is_refused() -> None:
    network = Network((TAKEN,))

    with pytest.raises(ElderGuildError) as refused:
        await sink(network, ["10.0.0.1"]).deliver("sub_1@1", [stored_event(1)], 5)

    assert refused.value.code == "address_refused"
    assert not refused.value.retryable
    assert network.tried == []


async def test_a_receiver_that_is_silent_is_waited_for_no_longer_than_asked() -> None:
    settings = SETTINGS.model_copy(update={"timeout_s": 0.02})

    for timeout_s, bounded in [(0.02, SETTINGS), (60, settings)]:
        with pytest.raises(ElderGuildError) as late:
            await sink(Network((), hangs=True), settings=bounded).deliver(
                "sub_1@1", [stored_event(1)], timeout_s
            )
        assert late.value.code == "deadline_exceeded"


async def test_without_a_key_nothing_is_sent() -> None:
    network = Network((TAKEN,))

    def none() -> Sequence[str]:
        raise DependencyUnavailable("SECRET_KEY")

    with pytest.raises(DependencyUnavailable):
        await sink(network, secrets=none).deliver("sub_1@1", [stored_event(1)], 5)

    assert network.sent == []


def test_webhooks_and_streams_are_served_and_the_filter_of_a_stream_of_clients_is_not() -> None:
    kinds = {
        "hook": '{"kind":"webhook","url":"https://example.com","key_version":2,"per_minute":60}',
        "older": '{"kind":"webhook","url":"https://example.com","key_version":1}',
        "stream": '{"kind":"stream","stream":"orders","max_length":5}',
        "shown": '{"kind":"sse"}',
    }
    filters = Filters(BusSettings())

    served = subscriptions_of([declared(name, sink) for name, sink in kinds.items()], [], filters)

    assert {one.title: one.sink for one in served} == {
        "hook": WebhookSink(url="https://example.com", key_version=2, per_minute=60),
        "older": WebhookSink(url="https://example.com"),
        "stream": StreamSink(stream="orders", max_length=5),
    }


def declared(name: str, sink: str) -> Declaration:
    return Declaration(
        guild_id=GuildId("guild_one"),
        name=name,
        subscription_id=f"sub_{name}",
        generation=1,
        filter={},
        sink=sink,
        delivery="{}",
        origin=Position(1, 0),
        version=1,
    )


def large(seq: int, size: int) -> StoredEvent:
    payload = CustomEvent(name="custom.large", data=json.dumps("x" * size))
    return replace(stored_event(seq), payload=payload)
