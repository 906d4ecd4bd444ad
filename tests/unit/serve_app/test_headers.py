"""What every answer says to browsers, whose pages may read it, and which names we answer to."""

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr, ValidationError

from actors.settings import Environment, GatewaySettings, GuildSettings
from tests.fixtures.gateway import SECRET, app_over, client_of, settings
from tests.fixtures.storage import SECRET_KEY

NOOP = "/api/v1/noop"
PAGE = "https://console.example"
STRANGER = "https://evil.example"
ASKS = {"Origin": PAGE, "Access-Control-Request-Method": "POST"}


def production(**changed: object) -> FastAPI:
    """The application as production has it."""
    secret = SecretStr(SECRET)
    fields = {"database_url": secret, "log_database_url": secret, "redis_url": secret}
    config = GuildSettings.model_validate(
        {"env": Environment.PRODUCTION, "jwt_secret": SECRET, "secret_key": SECRET_KEY}
        | fields
        | changed
    )
    return app_over({}, config)


@pytest.mark.parametrize("url", [NOOP, "/nowhere", "/healthz", "/api/v1/tasks?limit=0", "/%00"])
async def test_every_answer_tells_browsers_to_keep_their_hands_off(url: str) -> None:
    async with client_of(app_over({})) as client:
        headers = (await client.get(url)).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    policy = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"
    assert headers["content-security-policy"] == policy
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers.get_list("cache-control") == ["no-store"]
    assert "strict-transport-security" not in headers
    assert "server" not in headers


async def test_production_and_tls_insist_on_tls() -> None:
    async with client_of(production()) as client:
        plain = await client.get(NOOP)
    async with client_of(app_over({})) as client:
        tls = await client.get(f"https://gateway{NOOP}")

    for answer in (plain, tls):
        said = answer.headers["strict-transport-security"]
        assert said == "max-age=31536000; includeSubDomains"


async def test_without_a_list_no_page_may_call_us() -> None:
    async with client_of(app_over({})) as client:
        preflight = await client.options(NOOP, headers=ASKS)
        answer = await client.get(NOOP, headers={"Origin": PAGE})

    assert preflight.status_code == 405
    for headers in (preflight.headers, answer.headers):
        assert not [name for name in headers if name.startswith("access-control-")]


@pytest.fixture
def listed() -> FastAPI:
    return app_over({}, settings(cors_origins=(PAGE,)))


async def test_a_page_on_the_list_may_call_and_read(listed: FastAPI) -> None:
    async with client_of(listed) as client:
        preflight = await client.options("/api/v1/tasks", headers=ASKS)
        answer = await client.get(NOOP, headers={"Origin": PAGE})
        refusal = await client.get("/nowhere", headers={"Origin": PAGE})

    assert preflight.status_code == 204
    assert preflight.headers["access-control-allow-methods"] == "GET, POST, PUT, PATCH, DELETE"
    assert "Idempotency-Key" in preflight.headers["access-control-allow-headers"]
    assert preflight.headers["access-control-max-age"] == "600"
    for one in (preflight, answer, refusal):
        assert one.headers["access-control-allow-origin"] == PAGE
        assert one.headers["vary"] == "Origin"
        assert "access-control-allow-credentials" not in one.headers
    assert "RateLimit" in answer.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    "origin",
    [
        STRANGER,
        "null",
        "*",
        "",
        f"{PAGE}.evil.example",
        f"{PAGE}:8443",
        f"{PAGE}/",
        PAGE.upper(),
        "http://console.example",
        "https://evilconsole.example",
    ],
)
async def test_a_page_that_is_not_on_the_list_is_told_nothing(listed: FastAPI, origin: str) -> None:
    async with client_of(listed) as client:
        preflight = await client.options(NOOP, headers={**ASKS, "Origin": origin})
        answer = await client.get(NOOP, headers={"Origin": origin})

    assert preflight.status_code == 405
    for one in (preflight, answer):
        assert not [name for name in one.headers if name.startswith("access-control-")]
        assert one.headers["vary"] == "Origin"


async def test_two_origins_are_none(listed: FastAPI) -> None:
    async with client_of(listed) as client:
        answer = await client.get(NOOP, headers=[("Origin", PAGE), ("Origin", STRANGER)])

    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "origin", ["*", "https://*.example", "null", "console.example", f"{PAGE}/", "HTTPS://A.example"]
)
def test_a_list_of_origins_that_is_not_exact_is_refused(origin: str) -> None:
    with pytest.raises(ValidationError, match="cors_origins"):
        GatewaySettings(cors_origins=(origin,))


@pytest.mark.parametrize("host", ["*", "*.example", "guild.example:443", "Guild.example"])
def test_a_list_of_hosts_that_is_not_exact_is_refused(host: str) -> None:
    with pytest.raises(ValidationError, match="allowed_hosts"):
        GatewaySettings(allowed_hosts=(host,))


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("guild.example", 200),
        ("GUILD.example:8443", 200),
        ("[::1]:8000", 200),
        ("guild.example.evil", 421),
        ("evil.example", 421),
        ("guild.example:x", 421),
        ("", 421),
    ],
)
async def test_only_the_hosts_on_the_list_are_served(host: str, status: int) -> None:
    app = app_over({}, settings(allowed_hosts=("guild.example", "[::1]")))
    async with client_of(app) as client:
        answer = await client.get(NOOP, headers={"Host": host})
        health = await client.get("/healthz", headers={"Host": host})

    assert answer.status_code == status
    assert health.status_code == 200  # whoever looks after us may call us by our address


async def test_in_production_the_document_and_the_numbers_are_closed() -> None:
    async with client_of(production()) as client:
        answers = [await client.get(url) for url in ("/openapi.json", "/metrics")]
        nothing = await client.get("/nowhere")

    for answer in answers:
        assert answer.status_code == 404
        assert answer.json()["detail"] == nothing.json()["detail"]


async def test_a_setting_opens_the_document() -> None:
    config = GatewaySettings(publish_openapi=True)
    async with client_of(production(gateway=config)) as client:
        assert (await client.get("/openapi.json")).status_code == 200
    async with client_of(app_over({}, settings(publish_openapi=False))) as client:
        assert (await client.get("/openapi.json")).status_code == 404


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ([], 401),
        ([("Authorization", "Bearer another")], 401),
        ([("Authorization", "Bearer \u00e4")], 401),
        (
            [("Authorization", "Bearer of prometheus"), ("Authorization", "Bearer of prometheus")],
            401,
        ),
        ([("Authorization", "Bearer of prometheus")], 200),
    ],
)
async def test_with_a_token_the_numbers_are_its_holders(
    given: list[tuple[str, str]], status: int
) -> None:
    app = production(metrics_token=SecretStr("of prometheus"))
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://gateway"
    ) as client:
        encoded = [(name.encode(), value.encode()) for name, value in given]
        assert (await client.get("/metrics", headers=encoded)).status_code == status


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT", "BREW", "get"])
async def test_a_method_of_no_route_is_405_everywhere(method: str) -> None:
    async with client_of(app_over({})) as client:
        for url in (NOOP, "/nowhere"):
            request = httpx.Request(method, f"http://gateway{url}")
            request.method = method
            answer = await client.send(request)

            assert answer.status_code == 405
            assert answer.headers["allow"] == "GET, POST, PUT, PATCH, DELETE"


async def test_405_names_every_method_of_the_address() -> None:
    async with client_of(app_over({})) as client:
        lists = await client.put("/api/v1/tasks")
        one = await client.options("/api/v1/tasks/task_01k0000000000000000000000a")

    assert lists.headers["allow"] == "GET, POST"
    assert one.headers["allow"] == "DELETE, GET, PATCH"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([(b"content-length", b"2"), (b"transfer-encoding", b"chunked")], 400),
        ([(b"content-length", b"2"), (b"content-length", b"3")], 400),
        ([(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"identity")], 400),
        ([(b"x-one", b"a\r\nx-two: b")], 400),
        ([(b"x-one", b"a\x00b")], 400),
        ([(b"x-one", b"\x1b[31m")], 400),
        ([(b"x-one", b"a")] * 101, 431),
        ([(b"x-one", b"a" * 40_000)], 431),
        ([(b"x-one", b"a\tb")], 200),
        ([(b"x-one", b"\xff\xfe")], 200),
    ],
)
async def test_headers_that_could_be_read_in_two_ways_or_are_too_many_are_refused(
    headers: list[tuple[bytes, bytes]], status: int
) -> None:
    async with client_of(app_over({})) as client:
        answer = await client.get(NOOP, headers=headers)

    assert answer.status_code == status


async def test_an_address_that_is_too_long_is_414() -> None:
    async with client_of(app_over({})) as client:
        assert (await client.get(f"{NOOP}?{'a' * 8_200}")).status_code == 414
