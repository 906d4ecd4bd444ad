"""The client on a network in memory: what it connects to, how much it reads, how long it waits."""

import asyncio
import socket
from collections.abc import Sequence

import pytest

from actors.errors import DeadlineExceeded
from actors.outbound.addresses import AddressRefused
from actors.outbound.client import AnswerTooLarge, Outbound, Unreachable
from actors.settings import OutboundSettings
from tests.fixtures.network import OK, PUBLIC, Names, Network

OTHER, PRIVATE = "93.184.216.35", "10.0.0.1"
HOOK = "https://example.com/hook"
KEEP_NOTHING = OutboundSettings(max_idle_connections=0)


def client(
    network: Network, names: Names | None = None, settings: OutboundSettings | None = None
) -> Outbound:
    return Outbound(
        settings or OutboundSettings(), resolve=names or Names([PUBLIC]), network=network
    )


async def test_the_answer_comes_back_with_its_headers_and_body() -> None:
    network = Network()

    answer = await client(network).send("POST", HOOK, headers={"X-B": "3"}, body=b"hello")

    assert (answer.status, answer.body, answer.headers["x-a"]) == (200, b"ok", "1, 2")
    head, _, body = b"".join(network.sent).partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /hook HTTP/1.1"
    assert {b"Host: example.com", b"X-B: 3", b"Content-Length: 5"} <= set(lines)
    assert body == b"hello"


async def test_it_connects_to_the_resolved_address_and_speaks_tls_to_the_name() -> None:
    network = Network()

    await client(network).send("GET", HOOK, headers={})

    assert (network.connected, network.names) == ([PUBLIC], ["example.com"])


async def test_a_name_that_changes_its_mind_is_not_asked_a_second_time() -> None:
    network, names = Network(), Names([PUBLIC], [PRIVATE])

    await client(network, names).send("GET", HOOK, headers={})

    assert (names.asked, network.connected) == (1, [PUBLIC])


async def test_a_connection_that_is_made_again_is_judged_again() -> None:
    network, names = Network(), Names([PUBLIC], [PRIVATE])
    outbound = client(network, names, KEEP_NOTHING)
    await outbound.send("GET", HOOK, headers={})

    with pytest.raises(AddressRefused):
        await outbound.send("GET", HOOK, headers={})

    assert network.tried == [PUBLIC]


async def test_a_connection_that_is_kept_needs_no_second_look() -> None:
    network, names = Network(), Names([PUBLIC], [PRIVATE])
    network.answer = (OK, OK)
    outbound = client(network, names)

    for _ in range(2):
        await outbound.send("GET", HOOK, headers={})

    assert (names.asked, network.connected) == (1, [PUBLIC])


@pytest.mark.parametrize(
    "found", [[], [PRIVATE], [PUBLIC, PRIVATE], ["::ffff:10.0.0.1"], ["169.254.169.254"]]
)
async def test_a_name_that_leads_inside_is_not_connected(found: list[str]) -> None:
    network = Network()

    with pytest.raises(AddressRefused):
        await client(network, Names(found)).send("GET", HOOK, headers={})

    assert network.tried == []


async def test_an_address_needs_no_resolver() -> None:
    network, names = Network(), Names([PRIVATE])

    await client(network, names).send("GET", f"https://{PUBLIC}/", headers={})

    assert (names.asked, network.connected) == (0, [PUBLIC])


async def test_the_next_address_is_tried_when_one_is_dead_and_only_so_many() -> None:
    reachable = Network(dead=frozenset({PUBLIC}))
    await client(reachable, Names([PUBLIC, OTHER])).send("GET", HOOK, headers={})
    many = [f"93.184.216.{n}" for n in range(50)]
    dead = Network(dead=frozenset(many))

    with pytest.raises(Unreachable) as unreachable:
        await client(dead, Names(many)).send("GET", HOOK, headers={})

    assert reachable.connected == [OTHER]
    assert len(dead.tried) == 3
    assert str(unreachable.value) == "the connection is refused"


async def test_a_redirect_is_an_answer_and_nothing_is_followed() -> None:
    network = Network((b"HTTP/1.1 302 Found\r\nLocation: http://10.0.0.1/\r\n\r\n",))

    answer = await client(network).send("GET", HOOK, headers={})

    assert (answer.status, answer.headers["location"]) == (302, "http://10.0.0.1/")
    assert network.connected == [PUBLIC]


async def test_no_proxy_of_the_environment_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://10.0.0.1:3128")
    network = Network()

    await client(network).send("GET", HOOK, headers={})

    assert network.tried == [PUBLIC]


async def test_more_than_the_bound_is_not_read() -> None:
    endless = [b"HTTP/1.1 200 OK\r\n\r\n", *[b"x" * 1000] * 1000]
    network = Network(endless)

    with pytest.raises(AnswerTooLarge):
        await client(network).send("GET", HOOK, headers={}, max_bytes=5_000)


async def test_a_compressed_answer_is_not_asked_for_and_not_unpacked() -> None:
    packed = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08"
    network = Network((packed,))

    answer = await client(network).send("GET", HOOK, headers={})

    assert answer.body == b"\x1f\x8b\x08"
    assert b"Accept-Encoding: identity" in b"".join(network.sent)


async def test_where_only_the_status_is_wanted_a_body_without_end_does_no_harm() -> None:
    quick = OutboundSettings(unread_s=0.01)
    drips = Network((OK[:-1],), hangs=True)
    floods = Network([b"HTTP/1.1 202 Yes\r\n\r\n", *[b"x" * 10_000] * 1000])

    statuses = [
        (await client(network, settings=quick).send("POST", HOOK, headers={}, max_bytes=0)).status
        for network in (drips, floods)
    ]

    assert statuses == [200, 202]


@pytest.mark.parametrize("answer", [(), (OK[:20],), (OK[:-1],)])
async def test_who_answers_too_slowly_is_given_up(answer: tuple[bytes, ...]) -> None:
    network = Network(answer, hangs=True)

    with pytest.raises(DeadlineExceeded):
        await client(network).send("GET", HOOK, headers={}, timeout_s=0.02)


async def test_a_resolver_that_hangs_is_given_up() -> None:
    async def hang(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        return ()

    settings = OutboundSettings(connect_timeout_s=0.02)
    outbound = Outbound(settings, resolve=hang, network=Network())

    with pytest.raises(Unreachable):
        await outbound.send("GET", HOOK, headers={})


async def test_a_resolver_that_fails_is_no_verdict_on_the_name() -> None:
    async def fail(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    outbound = Outbound(OutboundSettings(), resolve=fail, network=Network())

    with pytest.raises(Unreachable) as unreachable:
        await outbound.send("GET", HOOK, headers={})

    assert str(unreachable.value) == "the name cannot be resolved now"


@pytest.mark.parametrize("broken", [(b"",), (b"nonsense\r\n\r\n",), (OK[:-1],)])
async def test_a_conversation_that_breaks_off_is_nobody_there(broken: tuple[bytes, ...]) -> None:
    with pytest.raises(Unreachable) as unreachable:
        await client(Network(broken)).send("GET", HOOK, headers={})

    assert str(unreachable.value) == "the connection broke"
