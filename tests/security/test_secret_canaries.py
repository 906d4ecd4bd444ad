"""Six secrets go every way through the gateway, and come out nowhere."""

import base64
import io
import json
import logging
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import httpx
import pytest
import structlog
from fastapi import FastAPI
from prometheus_client import generate_latest
from pydantic import SecretStr
from structlog._config import BoundLoggerLazyProxy

from actors import clock, metrics
from actors.embedding.actor import embedder_of
from actors.errors import ElderGuildError
from actors.identity.messages import CreateClient, CreateUser, Role
from actors.runtime import logs
from actors.runtime.message import Message, Permission
from actors.settings import (
    DatabaseSettings,
    EmbeddingProvider,
    EmbeddingSettings,
    GatewaySettings,
    GuildSettings,
)
from actors.storage.database import Database
from cluster.process import free_ports
from serve_app.http import create_app
from tests.fixtures.gateway import GUILD, at, client_of, key, sages
from tests.fixtures.identity_contract import context
from tests.fixtures.receiver import Receiver, Reply, Request

PASSWORD = "canary-password-4f1c9a07de"
CLIENT = "canary-client-secret-0a7d52b9c3e84f61a7c5e2b91d4f"
DSN = "canary-dsn-7be1043f9c"
SIGNING = "canary-signing-key-51d0e2f4a8c64b7993"
RING = "canary-secret-key-93ab7c51d0e2f4a8c6"
SUBSCRIPTIONS = "/api/v1/subscriptions"
HOOK = "https://hooks.example.test/guild"
PROVIDER = "canary-provider-key-c20e77f1"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Everything that this process logs: we at our most talkative, libraries as they always do."""
    written = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", written)
    forget_loggers()
    logs.configure("DEBUG")
    handler = logging.StreamHandler(written)
    root = logging.getLogger()
    root.addHandler(handler)
    yield written
    root.removeHandler(handler)
    forget_loggers()
    structlog.reset_defaults()


def forget_loggers() -> None:
    """Each module's logger is bound once, to what was configured then."""
    logs.configure.cache_clear()
    for module in list(sys.modules.values()):
        log = getattr(module, "_log", None)
        if isinstance(log, BoundLoggerLazyProxy):
            vars(log).pop("bind", None)


class Failing:
    """A pool whose members are ill, each in another way. What they say quotes the message."""

    def __init__(self, failure: Callable[[str], Exception]) -> None:
        self._failure = failure

    async def ask(self, message: Message[Any], *, timeout_s: float | None = None) -> Any:
        raise self._failure(f"cannot handle {message!r}")

    async def ask_outcome(self, message: Message[Any], *, timeout_s: float | None = None) -> Any:
        raise self._failure(f"cannot handle {message!r}")


def config() -> GuildSettings:
    return GuildSettings(
        database_url=SecretStr(f"postgresql://guild_app:{DSN}@127.0.0.1:1/guild"),
        jwt_secret=SecretStr(SIGNING),
        secret_key=SecretStr(RING),
        gateway=GatewaySettings(),
        embedding=EmbeddingSettings(api_key=SecretStr(PROVIDER)),
    )


async def people(pools: dict[str, Any]) -> None:
    scopes = frozenset({Permission.READ})
    ids: dict[str, Any] = {"context": context(GUILD), "command_id": clock.new_id("cmd")}
    await pools["identity"].ask(
        CreateUser(**ids, login="elder", password=PASSWORD, role=Role.ADMIN)
    )
    await pools["identity"].ask(
        CreateClient(**ids, client_id="program", secret=CLIENT, scopes=scopes)
    )


def basic(secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"program:{secret}".encode()).decode()}


Send = Callable[..., Awaitable[httpx.Response]]
Path = Callable[[Send, dict[str, str]], Awaitable[list[httpx.Response]]]


async def in_place(send: Send, secrets: dict[str, str]) -> list[httpx.Response]:
    """Each secret where it belongs."""
    login = {"login": "elder", "password": secrets["password"]}
    grant = {"grant_type": "client_credentials"}
    token = {"Authorization": f"Bearer {secrets['token']}"}
    return [
        await send("POST", "/oauth/login", json=login),
        await send("POST", "/oauth/token", data=grant, headers=basic(secrets["client"])),
        await send("GET", "/api/v1/tasks", headers=token),
        await send("GET", "/api/v1/tasks/nonsense", headers=token),
        await send("GET", "/nowhere", headers=token),
        await send("GET", "/api/v1/tasks", headers={"Authorization": f"Bearer {SIGNING}"}),
    ]


async def misplaced(send: Send, secrets: dict[str, str]) -> list[httpx.Response]:
    """Each secret where it does not belong."""
    login = {"login": "elder", "password": secrets["password"]}
    grant = {"grant_type": "client_credentials"}
    token = {"Authorization": f"Bearer {secrets['token']}"}
    answers = []
    for secret in secrets.values():
        wrong: list[tuple[str, str, dict[str, Any]]] = [
            ("POST", "/oauth/login", {"json": {**login, "password": f"{secret}x"}}),
            ("POST", "/oauth/login", {"json": {**login, "login": secret}}),
            ("POST", "/oauth/login", {"json": {**login, secret: secret}}),
            ("POST", "/oauth/login", {"json": {**login, "password": [secret]}}),
            ("POST", "/oauth/login", {"content": f'{{"password": "{secret}'}),
            ("POST", "/oauth/token", {"data": {"grant_type": secret}}),
            ("POST", "/oauth/token", {"data": grant, "headers": basic(f"{secret}x")}),
            (
                "POST",
                "/oauth/token",
                {"data": {**grant, "scope": secret}, "headers": basic(CLIENT)},
            ),
            ("GET", "/api/v1/tasks", {"headers": {"Authorization": f"Bearer {secret}x"}}),
            ("GET", "/api/v1/tasks", {"headers": {**token, "Idempotency-Key": secret}}),
            ("GET", f"/api/v1/tasks?cursor={secret}&{secret}=1", {"headers": token}),
            ("GET", f"/api/v1/tasks/{secret}", {"headers": token}),
            ("GET", f"/{secret}", {}),
            ("DELETE", f"/api/v1/{secret}", {"headers": token}),
            ("GET", "/healthz", {"headers": {"X-Correlation-Id": f"{secret}\x1b[31m"}}),
            ("POST", "/api/v1/tasks", {"headers": token, "json": {"title": [secret]}}),
        ]
        answers += [await send(method, path, **given) for method, path, given in wrong]
    return answers


@pytest.mark.parametrize(
    "failure", [None, RuntimeError, OSError, lambda text: ElderGuildError(text)]
)
async def test_no_secret_is_in_a_log_a_metric_or_a_problem(
    page: io.StringIO, failure: Callable[[str], Exception] | None
) -> None:
    settings = config()
    pools = sages(settings)
    await people(pools)
    if failure is not None:
        pools = dict.fromkeys(pools, Failing(failure))
    app = create_app(settings, pools.__getitem__)
    token = app.state.gateway.tokens.sign(GUILD, "user_1", frozenset({Permission.READ})).token
    secrets = {
        "password": PASSWORD,
        "client": CLIENT,
        "token": token,
        "webhook": "whsec_" + base64.b64encode(b"canary webhook secret 01234567").decode(),
        "database": DSN,
        "signing": SIGNING,
        "ring": RING,
        "provider": PROVIDER,
    }

    paths = (in_place, misplaced) if failure is None else (in_place,)
    answers = await all_answers(app, secrets, paths)

    statuses = {answer.status_code for answer in answers}
    assert statuses >= ({200, 400, 401, 404, 422} if failure is None else {401, 404, 500})
    shown = {
        "logs": page.getvalue(),
        "metrics": generate_latest(metrics.REGISTRY).decode(),
        "answers": "\n".join(str(answer.headers) + answer.text for answer in answers[2:]),
        "settings": repr(settings) + str(settings.model_dump()),
    }
    for where, text in shown.items():
        assert [name for name, secret in secrets.items() if secret in text] == [], where
    assert '"message":"request"' in shown["logs"]
    if failure is RuntimeError:
        assert "cannot handle" in shown["logs"]  # what went wrong is told


async def all_answers(
    app: FastAPI, secrets: dict[str, str], paths: Sequence[Path]
) -> list[httpx.Response]:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        answers = [one for path in paths for one in await path(client.request, secrets)]
        answers += [await client.get(path) for path in ("/metrics", "/readyz", "/openapi.json")]
        await app.state.gateway.audit.flush()
    return answers


@pytest.mark.parametrize(
    "said", ["a\r\nb", "a\nINFO forged", "\x1b[2J\x1b[31mred", "\u2028line\u2029", "\x85\x00\x7f"]
)
async def test_whatever_a_field_holds_a_line_stays_one_line(page: io.StringIO, said: str) -> None:
    log = structlog.get_logger("elders_guild.test")

    log.info("something", said=said, **{said: 1})
    try:
        raise RuntimeError(said)
    except RuntimeError:
        log.exception("failed", said=[said])

    lines = page.getvalue().splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() and line.isascii() for line in lines)
    assert json.loads(lines[0])["said"] == said


@pytest.mark.parametrize("port", ["closed", "not one"])
async def test_a_database_that_cannot_be_reached_does_not_show_its_password(port: str) -> None:
    number = free_ports(1)[0] if port == "closed" else "port"
    url = f"postgresql://guild_app:{DSN}@127.0.0.1:{number}/guild"

    try:
        await Database.open(url, DatabaseSettings(connect_timeout_s=2))
    except (ElderGuildError, ValueError):
        said = traceback.format_exc()

    assert DSN not in said


@pytest.mark.parametrize("status", [200, 401, 404, 500, 0])
async def test_a_provider_that_repeats_its_key_is_not_repeated(
    page: io.StringIO, status: int
) -> None:
    def behave(request: Request) -> Reply:
        echoed = request.headers.get("authorization", "").encode()
        assert PROVIDER.encode() in echoed
        return Reply(status, {"X-Echo": echoed.decode()}, body=b'{"error": "%b"}' % echoed)

    async with Receiver(behave=behave).listening() as receiver:
        port = free_ports(1)[0] if status == 0 else receiver.port
        chosen = EmbeddingSettings(
            provider=EmbeddingProvider.OPENAI,
            base_url=f"http://127.0.0.1:{port}/v1/",
            model="some-model",
            api_key=SecretStr(PROVIDER),
            dimension=16,
            retry_delay_s=0.01,
        )
        said = ""
        embedder = await embedder_of(GuildSettings(embedding=chosen))
        try:
            await embedder.embed(["text"], urgent=True)
        except ElderGuildError:
            said = traceback.format_exc()
        await embedder.close()

    assert PROVIDER not in said + page.getvalue()


async def test_a_webhooks_secret_is_in_the_answer_that_makes_it_and_in_no_log(
    page: io.StringIO,
) -> None:
    settings = config()
    app = create_app(settings, sages(settings).__getitem__)
    body = {"filter": {"types": ["custom.*"]}, "sink": {"kind": "webhook", "url": HOOK}}

    async with client_of(app) as client:
        made = await client.put(
            f"{SUBSCRIPTIONS}/hook", json=body, headers=key() | {"If-None-Match": "*"}
        )
        rotated = await client.post(f"{SUBSCRIPTIONS}/hook:rotate-secret", headers=key())
        again = await client.put(f"{SUBSCRIPTIONS}/hook", json=body, headers=at(1))
        shown = await client.get(SUBSCRIPTIONS)

    secrets = [made.json()["secret"], rotated.json()["secret"]]
    quiet = page.getvalue() + again.text + shown.text
    quiet += generate_latest(metrics.REGISTRY).decode()
    assert all(secrets)
    assert not any(secret in quiet for secret in secrets)
