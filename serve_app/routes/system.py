"""Whether the gateway lives, whether the guild is ready, and its numbers."""

import hmac
from collections.abc import Sequence
from typing import Literal

from fastapi import HTTPException, Request
from fastapi.responses import Response

from actors.errors import NotAuthenticated, NotFound
from actors.metrics import render
from actors.runtime.ping import Ping
from actors.settings import Environment, GuildSettings
from serve_app.access import API
from serve_app.call import Current
from serve_app.readiness import SAGES
from serve_app.route import new_router
from serve_app.strict import View

router = new_router()
_OK = b'{"status":"ok"}'


class HealthView(View):
    """That this process answers."""

    status: Literal["ok"]


class ReadinessView(View):
    """What answers, by name; ready when everything does."""

    ready: bool
    parts: dict[str, bool]


class PongView(View):
    """Which process of the pool answered."""

    process_id: int


@router.get("/healthz", response_model=HealthView)
async def healthz() -> Response:
    """Says that this process lives; asks nobody."""
    return Response(_OK, media_type="application/json")


@router.get("/readyz", response_model=ReadinessView, responses={503: {"model": ReadinessView}})
async def readyz(call: Current) -> Response:
    """Says whether every pool answers, and PostgreSQL through one of them."""
    parts = await call.gateway.readiness.parts(call.context)
    ready = all(parts.values())
    view = ReadinessView(ready=ready, parts=parts)
    headers = None if ready else {"Retry-After": "1"}
    return call.reply(view, status=200 if ready else 503, headers=headers)


@router.get("/openapi.json", include_in_schema=False)
async def document(request: Request) -> Response:
    """The OpenAPI document of this version; in production only where a setting opens it."""
    settings: GuildSettings = request.app.state.gateway.settings
    if not is_open(settings.gateway.publish_openapi, settings):
        raise _closed()
    return Response(request.app.state.openapi, media_type="application/json")


@router.get("/metrics", response_class=Response)
async def metrics(call: Current, request: Request) -> Response:
    """Prometheus text: the sum over all gateways and actors.

    With `GUILD_METRICS_TOKEN` only for who sends that as its bearer token. Without, it is closed in
    production: who comes through a proxy on the same machine would seem to be local.
    """
    settings = call.gateway.settings
    token = settings.metrics_token.get_secret_value()
    if not token and not is_open(None, settings):
        raise _closed()
    if token and not _holds(token, request.headers.getlist("authorization")):
        raise NotAuthenticated
    samples = await call.gateway.samples()
    return Response(render(samples), media_type="text/plain; version=0.0.4; charset=utf-8")


def is_open(chosen: bool | None, settings: GuildSettings) -> bool:
    """Whether what shows our inside is shown: as chosen, else outside production."""
    return settings.env is not Environment.PRODUCTION if chosen is None else chosen


def _holds(token: str, given: Sequence[str]) -> bool:
    expected = f"Bearer {token}".encode()
    return len(given) == 1 and hmac.compare_digest(given[0].encode(), expected)


def _closed() -> HTTPException:
    return HTTPException(404)


@router.get(f"{API}/noop", response_model=HealthView)
async def noop() -> Response:
    """Does nothing, for an authenticated caller; what the edge itself costs."""
    return Response(_OK, media_type="application/json")


@router.get(f"{API}/ping/{{sage}}", response_model=PongView)
async def ping(call: Current, sage: str) -> Response:
    """Asks a sage for nothing but an answer."""
    if sage not in SAGES:
        raise NotFound("sage", "")
    pong = await call.ask(sage, Ping(context=call.context))
    return call.reply(PongView.model_validate(pong))
