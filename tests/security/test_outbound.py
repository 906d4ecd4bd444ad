"""A canary listens on loopback: whatever address is asked for, it must never be reached.

The client under test calls any port and plain HTTP, so that nothing but the judgement of the
address stands between them.
"""

# ruff: noqa: S104  # 0.0.0.0 is a host to be refused here; nobody binds to it

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

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

GOOD_HOST = "127.0.0.2"
BARE = OutboundSettings(allow_http=True, ports=(), timeout_s=2.0, connect_timeout_s=1.0)
TO_GOOD = BARE.model_copy(update={"allowed_networks": (ip_network(f"{GOOD_HOST}/32"),)})

HOSTS = [
    "127.0.0.1", "127.1", "127.0.1", "127.000.000.001", "0177.0.0.1", "0x7f.0.0.1", "0x7f.1",
    "2130706433", "0x7f000001", "017700000001", "0", "0.0.0.0", "127.0.0.1.", "127.0.0.2",
    "127.255.255.254", "localhost", "LOCALHOST", "localhost.", "localhost.localdomain",
    "ip6-localhost", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]", "[::127.0.0.1]", "[::7f00:1]",
    "[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b:1::7f00:1]", "[2002:7f00:1::]",
    "[::ffff:0:127.0.0.1]", "[fe80::1]", "[fe80::1%lo]", "[fe80::1%25lo]", "[::1%lo]",
    "example.com@127.0.0.1", "user:secret@127.0.0.1", "127.0.0.1@127.0.0.1",
    "example.com:80@127.0.0.1", "example.com%40127.0.0.1", "127.0.0.1%2f@example.com",
    "example.com\\@127.0.0.1", "127.0.0.1\\.example.com", "127.0.0.1%00.example.com",
    "127.0.0.1\x00.example.com", "127.0.0.1%0d%0a", "127.0.0.1\r\n", "127.0.0.1\t", " 127.0.0.1",
    "127.0.0.1 ", "127%2e0%2e0%2e1", "%31%32%37.0.0.1", "\uff11\uff12\uff17.0.0.1",
    "\u2460\u2461\u2466.0.0.1", "127\u30020\u30020\u30021", "127\uff0e0\uff0e0\uff0e1",
    "loc\u0430lhost", "\u24db\u24de\u24d2\u24d0\u24db\u24d7\u24de\u24e2\u24e3", "\u2488\u2488",
    "l\u00adocalhost", "127.0.0.1#example.com", "127.0.0.1?@example.com", "127.0.0.1;example.com",
]  # fmt: skip
NAMES = {
    "inside.example.com": ["127.0.0.1"],
    "six.example.com": ["::1"],
    "mapped.example.com": ["::ffff:127.0.0.1"],
    "nat64.example.com": ["64:ff9b::7f00:1"],
    "mixed.example.com": ["93.184.216.34", "127.0.0.1"],
    "last.example.com": ["127.0.0.1", "93.184.216.34"],
    "zero.example.com": ["0.0.0.0"],
    "scoped.example.com": ["fe80::1%lo"],
    "xn--lcalhost-n6a.example.com": ["127.0.0.1"],
    "nothing.example.com": [],
}


async def names(host: str, port: int) -> Sequence[str]:
    """A hostile resolver: it also leads everything that it does not know to the canary."""
    return NAMES.get(host, ["127.0.0.1"])


@pytest.fixture
async def canary() -> AsyncIterator[Receiver]:
    async with Receiver().listening() as listening:
        yield listening
        assert listening.connections == 0


@contextlib.asynccontextmanager
async def opened(settings: OutboundSettings, resolve: Resolve = names) -> AsyncIterator[Outbound]:
    outbound = Outbound(settings, resolve=resolve)
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


@pytest.mark.parametrize("scheme", ["ftp", "file", "gopher", "ws", "wss", "unix", "dict", "data"])
async def test_neither_does_another_scheme(canary: Receiver, scheme: str) -> None:
    async with opened(BARE) as outbound:
        with pytest.raises(AddressRefused):
            await outbound.send("GET", f"{scheme}://127.0.0.1:{canary.port}/", headers={})


async def test_a_name_that_turns_inward_between_two_looks_does_not_lead_there(
    canary: Receiver,
) -> None:
    answers = iter([[GOOD_HOST], *[["127.0.0.1"]] * 50])

    async def rebinding(host: str, port: int) -> Sequence[str]:
        return next(answers)

    never_kept = TO_GOOD.model_copy(update={"max_idle_connections": 0})
    url = f"http://rebinding.example.com:{canary.port}/"
    async with (
        Receiver(host=GOOD_HOST, port=canary.port).listening() as good,
        opened(never_kept, rebinding) as outbound,
    ):
        first = await outbound.send("GET", url, headers={})
        for _ in range(50):
            with pytest.raises(AddressRefused):
                await outbound.send("GET", url, headers={})

    assert (first.status, good.connections) == (204, 1)


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
    few = TO_GOOD.model_copy(update={"max_connections": 2, "connect_timeout_s": 0.1})
    slow = Receiver(behave=lambda _: Reply(delay_s=0.5), host=GOOD_HOST)

    async with slow.listening() as good, opened(few) as outbound:
        results = await asyncio.gather(
            *(outbound.send("GET", good.url, headers={}) for _ in range(5)),
            return_exceptions=True,
        )

    codes = sorted(getattr(one, "code", "answered") for one in results)
    assert codes == ["answered", "answered", "overloaded", "overloaded", "overloaded"]


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
