"""A canary listens on loopback: whatever address is asked for, it must never be reached.

The client under test calls any port and plain HTTP, so that nothing but the judgement of the
address stands between them.
"""

import asyncio
import contextlib
import itertools
import ssl
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from actors.errors import ElderGuildError
from actors.outbound.addresses import AddressRefused
from actors.outbound.backend import Resolve
from actors.outbound.client import Outbound, Unreachable
from actors.settings import OutboundSettings
from tests.fixtures.receiver import Receiver, Reply
from tests.security.ssrf_vectors import HOSTS, INSIDE, NAMES, REBINDINGS, REDIRECTS, SCHEMES

GOOD_HOST = "127.0.0.2"
BARE = OutboundSettings(allow_http=True, ports=(), timeout_s=2.0, connect_timeout_s=1.0)
TO_GOOD = BARE.model_copy(update={"allowed_networks": (ip_network(f"{GOOD_HOST}/32"),)})


async def names(host: str, port: int) -> Sequence[str]:
    """A hostile resolver: it also leads everything that it does not know to the canary."""
    return NAMES.get(host, ["127.0.0.1"])


@pytest.fixture
async def canary() -> AsyncIterator[Receiver]:
    async with Receiver().listening() as listening:
        yield listening
        assert listening.connections == 0


class AllLeadsThere(httpcore.AsyncNetworkBackend):
    """A network in which every address is the canary's; every port, too."""

    def __init__(self, canary: Receiver) -> None:
        self._canary = canary
        self._real = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return await self._real.connect_tcp(self._canary.host, self._canary.port, timeout)


@contextlib.asynccontextmanager
async def opened(
    settings: OutboundSettings,
    resolve: Resolve = names,
    network: httpcore.AsyncNetworkBackend | None = None,
) -> AsyncIterator[Outbound]:
    outbound = Outbound(settings, resolve=resolve, network=network)
    try:
        yield outbound
    finally:
        await outbound.close()


@pytest.mark.parametrize("host", [*HOSTS, *NAMES])
async def test_no_name_or_number_of_loopback_reaches_the_canary(
    canary: Receiver, host: str
) -> None:
    async with opened(BARE) as outbound:
        for scheme in ("http", "https"):
            with pytest.raises(AddressRefused):
                await outbound.send("GET", f"{scheme}://{host}:{canary.port}/", headers={})


@pytest.mark.parametrize("host", HOSTS)
async def test_neither_does_any_with_the_systems_own_resolver(canary: Receiver, host: str) -> None:
    outbound = Outbound(BARE)

    with pytest.raises((AddressRefused, Unreachable)):  # the latter where a name server is away
        await outbound.send("GET", f"http://{host}:{canary.port}/", headers={})

    await outbound.close()


@pytest.mark.parametrize("host", INSIDE)
async def test_no_network_of_ones_own_is_called(canary: Receiver, host: str) -> None:
    async with opened(BARE, network=AllLeadsThere(canary)) as outbound:
        for url in (f"http://{host}/", f"https://{host}:{canary.port}/latest/meta-data/"):
            with pytest.raises(AddressRefused):
                await outbound.send("GET", url, headers={})


async def test_a_public_address_is_called_so_that_the_network_above_would_show_a_mistake() -> None:
    async with (
        Receiver().listening() as there,
        opened(BARE, network=AllLeadsThere(there)) as outbound,
    ):
        answer = await outbound.send("GET", "http://93.184.216.34/", headers={})

    assert (answer.status, there.connections) == (204, 1)


@pytest.mark.parametrize("scheme", SCHEMES)
async def test_neither_does_another_scheme(canary: Receiver, scheme: str) -> None:
    async with opened(BARE) as outbound:
        with pytest.raises(AddressRefused):
            await outbound.send("GET", f"{scheme}://127.0.0.1:{canary.port}/", headers={})


@pytest.mark.parametrize("turns", REBINDINGS)
async def test_a_name_that_turns_inward_between_two_looks_does_not_lead_there(
    canary: Receiver, turns: str
) -> None:
    later = [[one.format(good=GOOD_HOST) for one in addresses] for addresses in REBINDINGS[turns]]
    answers = itertools.chain([[GOOD_HOST]], itertools.cycle(later))

    async def rebinding(host: str, port: int) -> Sequence[str]:
        return next(answers)

    never_kept = TO_GOOD.model_copy(update={"max_idle_connections": 0})
    url = f"http://rebinding.example.com:{canary.port}/"
    async with (
        Receiver(host=GOOD_HOST, port=canary.port).listening() as good,
        opened(never_kept, rebinding) as outbound,
    ):
        first = await outbound.send("GET", url, headers={})
        for _ in range(10):
            with pytest.raises(AddressRefused):
                await outbound.send("GET", url, headers={})

    assert (first.status, good.connections) == (204, 1)


async def test_an_answer_is_judged_and_used_and_nobody_is_asked_again(canary: Receiver) -> None:
    asked = 0

    async def counting(host: str, port: int) -> Sequence[str]:
        nonlocal asked
        asked += 1
        return [GOOD_HOST] if asked == 1 else ["127.0.0.1"]

    async with (
        Receiver(host=GOOD_HOST, port=canary.port).listening(),
        opened(TO_GOOD, counting) as outbound,
    ):
        await outbound.send("GET", f"http://rebinding.example.com:{canary.port}/", headers={})

    assert asked == 1


@pytest.mark.parametrize("location", REDIRECTS)
@pytest.mark.parametrize("status", [301, 307])
async def test_no_redirect_is_followed_and_where_it_leads_is_judged(
    canary: Receiver, location: str, status: int
) -> None:
    leads_to = location.format(port=canary.port)
    redirecting = Receiver(behave=lambda _: Reply(status, {"Location": leads_to}), host=GOOD_HOST)

    async with redirecting.listening() as good, opened(TO_GOOD) as outbound:
        answer = await outbound.send("GET", good.url, headers={})
        with pytest.raises(AddressRefused):
            await outbound.send("GET", leads_to, headers={})

    assert (answer.status, len(good.requests)) == (status, 1)


def test_there_are_as_many_ways_in_as_we_say() -> None:
    ways = [*HOSTS, *NAMES, *INSIDE, *SCHEMES, *REDIRECTS, *REBINDINGS]

    assert len(ways) == len(set(ways)) >= 60


async def test_neither_redirects_nor_proxies_lead_to_the_canary(
    canary: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{canary.port}")
    redirecting = Receiver(
        behave=lambda _: Reply(307, {"Location": canary.url, "Refresh": f"0; url={canary.url}"}),
        host=GOOD_HOST,
    )

    async with redirecting.listening() as good, opened(TO_GOOD) as outbound:
        answer = await outbound.send("POST", good.url, headers={}, body=b"{}")
        with pytest.raises(AddressRefused):
            await outbound.send("GET", answer.headers["location"], headers={})

    assert answer.status == 307
    assert len(good.requests) == 1


async def test_what_is_answered_without_end_is_read_up_to_the_bound(canary: Receiver) -> None:
    async with (
        Receiver(behave=lambda _: Reply(200, endless=True), host=GOOD_HOST).listening() as good,
        opened(TO_GOOD.model_copy(update={"timeout_s": 0.3, "unread_s": 0.05})) as outbound,
    ):
        with pytest.raises(ElderGuildError) as bounded:
            await outbound.send("GET", good.url, headers={})
        only_status = await outbound.send("GET", good.url, headers={}, max_bytes=0)

    assert bounded.value.code == "deadline_exceeded"
    assert only_status.status == 200


async def test_tls_is_spoken_to_the_name_and_its_certificate_is_of_the_name(
    canary: Receiver, tmp_path: Path
) -> None:
    server = certified("receiver.example.com", tmp_path)
    trusting = TO_GOOD.model_copy(update={"ca_file": tmp_path / "ca.pem"})

    async def to_good(host: str, port: int) -> Sequence[str]:
        return [GOOD_HOST]

    async with Receiver(host=GOOD_HOST).listening(server) as good:
        async with opened(trusting, to_good) as outbound:
            right = await outbound.send("GET", f"https://receiver.example.com:{good.port}/",
                                        headers={})  # fmt: skip
            with pytest.raises(Unreachable) as wrong:
                await outbound.send("GET", f"https://other.example.com:{good.port}/", headers={})
        async with opened(TO_GOOD, to_good) as distrusting:
            with pytest.raises(Unreachable):
                await distrusting.send("GET", f"https://receiver.example.com:{good.port}/",
                                       headers={})  # fmt: skip

    assert right.status == 204
    assert good.names[:2] == ["receiver.example.com", "other.example.com"]
    assert [request.headers["host"] for request in good.requests] == [
        f"receiver.example.com:{good.port}"
    ]
    assert str(wrong.value) == "its certificate is not valid for this name"


async def test_all_connections_in_use_is_said_at_once_and_not_waited_for_ever(
    canary: Receiver,
) -> None:
    few = TO_GOOD.model_copy(
        update={"max_connections": 2, "connect_timeout_s": 1.0, "timeout_s": 30.0}
    )
    slow = Receiver(behave=lambda _: Reply(delay_s=4), host=GOOD_HOST)

    async with slow.listening() as good, opened(few) as outbound:
        first = [asyncio.create_task(outbound.send("GET", good.url, headers={})) for _ in range(2)]
        async with asyncio.timeout(30):
            while len(good.requests) < 2 and not any(one.done() for one in first):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        others = await asyncio.gather(
            *(outbound.send("GET", good.url, headers={}) for _ in range(3)),
            return_exceptions=True,
        )
        answered = [(await one).status for one in first]

    assert [getattr(one, "code", "answered") for one in others] == ["overloaded"] * 3
    assert answered == [204, 204]


def certified(name: str, folder: Path) -> ssl.SSLContext:
    """A server's side of TLS, with a certificate of an authority that ``ca.pem`` names."""
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority of tests")])
    now = datetime.now(UTC)

    def certificate(subject: x509.Name, public: ec.EllipticCurvePublicKey, is_ca: bool):  # type: ignore[no-untyped-def]  # a builder nobody names
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(authority)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )

    ca = certificate(authority, authority_key.public_key(), True).sign(
        authority_key, hashes.SHA256()
    )
    leaf = (
        certificate(
            x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key.public_key(), False
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(ca.public_bytes(pem))
    (folder / "leaf.pem").write_bytes(leaf.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "leaf.pem", folder / "key.pem")
    return context
