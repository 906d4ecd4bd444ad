"""Pages are fetched from the hosts that an operator has named, and from no other."""

from collections.abc import Mapping

import pytest

from actors.documents.fetching import Fetched, Fetcher, NotFetched, allowed
from actors.outbound.client import Outbound
from actors.settings import OutboundSettings, UploadSettings
from tests.fixtures.network import PUBLIC, Network

HOSTS = {"*": ("docs.example.com",), "guild_1": ("*.example.org",)}
URL = "https://docs.example.com/disk.md"


def answer(status: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def fetcher(*answers: bytes, hosts: Mapping[str, tuple[str, ...]] = HOSTS) -> Fetcher:
    """One over a network that gives each connection the next of these answers."""
    waiting = list(answers)

    class InTurn(Network):
        async def connect_tcp(self, *args: object, **others: object):  # type: ignore[no-untyped-def]  # passed on
            self.answer = (waiting.pop(0),)
            return await super().connect_tcp(*args, **others)  # type: ignore[arg-type]  # passed on

    async def public(host: str, port: int) -> list[str]:
        return [PUBLIC]

    settings = OutboundSettings(max_idle_connections=0)
    uploads = UploadSettings(fetch_hosts=dict(hosts), fetch_max_bytes=1_000)
    return Fetcher(lambda: Outbound(settings, resolve=public, network=InTurn()), uploads)


@pytest.mark.parametrize(
    ("host", "patterns", "yes"),
    [
        ("docs.example.com", ("docs.example.com",), True),
        ("docs.example.com", ("Docs.Example.com",), True),
        ("docs.example.com", ("*.example.com",), True),
        ("a.b.example.com", ("*.example.com",), True),
        ("example.com", ("*.example.com",), False),
        ("evilexample.com", ("*.example.com",), False),
        ("docs.example.com.evil.org", ("docs.example.com",), False),
        ("docs.example.com.", ("docs.example.com",), False),
        ("anything", (), False),
        ("", ("*.example.com",), False),
    ],
)
def test_a_host_is_one_of_those_named(host: str, patterns: tuple[str, ...], yes: bool) -> None:
    assert allowed(host, patterns) is yes


async def test_a_page_comes_with_its_type() -> None:
    page = answer("200 OK", {"Content-Type": "text/HTML; charset=utf-8"}, b"<p>full")

    fetched = await fetcher(page).fetch("guild_2", URL)

    assert fetched == Fetched(data=b"<p>full", name="", media_type="text/html")


async def test_a_name_counts_where_the_type_says_little() -> None:
    page = answer("200 OK", {"Content-Type": "text/plain"}, b"# full")

    assert (await fetcher(page).fetch("guild_2", URL)).name == "disk.md"


async def test_a_redirect_is_followed_to_another_host_of_the_guild_only() -> None:
    there = answer("302 Found", {"Location": "https://a.example.org/x"})
    page = answer("200 OK", {"Content-Type": "text/html"}, b"<p>full")

    fetched = await fetcher(there, page).fetch("guild_1", URL)
    with pytest.raises(NotFetched, match="leads to a host"):
        await fetcher(there, page).fetch("guild_2", URL)

    assert fetched.data == b"<p>full"


@pytest.mark.parametrize(
    "location",
    [
        "http://docs.example.com/",
        "https://docs.example.com:8443/",
        "https://user@docs.example.com/",
        "https://docs.example.com\\@127.0.0.1/",
        "https://127.0.0.1/",
        "//127.0.0.1/",
        "file:///etc/passwd",
        "https://[::1",
        "https://docs.example.com/\u00e9",
    ],
)
async def test_a_redirect_is_judged_as_any_address_is(location: str) -> None:
    there = answer("307 Temporary Redirect", {"Location": location})

    with pytest.raises(NotFetched):
        await fetcher(there).fetch("guild_1", URL)


async def test_redirects_end() -> None:
    there = answer("301 Moved Permanently", {"Location": "/again"})

    with pytest.raises(NotFetched, match="too often"):
        await fetcher(*[there] * 9).fetch("guild_1", URL)


@pytest.mark.parametrize(
    ("page", "why"),
    [
        (answer("404 Not Found", {}), "status 404"),
        (answer("200 OK", {"Content-Encoding": "gzip"}, b"x"), "compressed"),
        (answer("200 OK", {}, b"x" * 1_001), "larger than 1000 bytes"),
    ],
)
async def test_an_answer_that_is_no_page_is_refused(page: bytes, why: str) -> None:
    with pytest.raises(NotFetched, match=why):
        await fetcher(page).fetch("guild_1", URL)


async def test_nothing_is_fetched_where_no_host_is_named() -> None:
    with pytest.raises(NotFetched, match="no host is allowed"):
        await fetcher(hosts={}).fetch("guild_1", URL)
