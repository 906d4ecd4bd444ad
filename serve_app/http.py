"""The gateway as a plain FastAPI application: no Ray, so that a test can run it in process."""

import functools
import itertools
from collections.abc import Awaitable, Callable, Sequence
from importlib import metadata
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import Lifespan

from actors import metrics
from actors.documents.desk import Desk
from actors.documents.fetching import Fetcher
from actors.errors import ElderGuildError
from actors.metrics import Sample
from actors.outbound.client import Outbound
from actors.settings import Environment, GuildSettings
from serve_app import access, openapi
from serve_app.auditing import AuditTrail
from serve_app.call import Gateway
from serve_app.edge import Edge, problem_response
from serve_app.limiter import Limiter, SharedCount
from serve_app.problems import FieldError, Problem, problem_of
from serve_app.readiness import PoolOf, Readiness
from serve_app.revocations import Revocations
from serve_app.route import GuildRoute
from serve_app.routes import (
    audit,
    authorize,
    client,
    dead_letter,
    discovery,
    erasure,
    events,
    incident,
    intake,
    knowledge,
    oauth,
    pulling,
    rag,
    rag_files,
    replay,
    saga,
    subscription,
    system,
    task,
    timer,
    user,
)
from serve_app.streams import Stopping, Streams
from serve_app.tokens import Tokens, key_ring

# Routes are tried in this order, one after the other, so what is asked most comes first.
_ROUTERS = (
    events.router,
    rag.router,
    intake.router,
    system.router,
    oauth.router,
    incident.router,
    task.router,
    knowledge.router,
    subscription.router,
    pulling.router,
    dead_letter.router,
    replay.router,
    timer.router,
    saga.router,
    erasure.router,
    user.router,
    client.router,
    authorize.router,
    discovery.router,
    rag_files.router,
    audit.router,
)
_MAX_ERRORS = 20
_TITLE = "Elders Guild"


async def _own_samples() -> Sequence[Sample]:
    return metrics.samples()


def create_app(
    settings: GuildSettings,
    pool: PoolOf,
    *,
    samples: Callable[[], Awaitable[Sequence[Sample]]] = _own_samples,
    lifespan: Lifespan[FastAPI] | None = None,
    server_echoes_id: bool = False,
    stopping: Stopping | None = None,
    revocations: Revocations | None = None,
    fetcher: Fetcher | None = None,
    shared_count: SharedCount | None = None,
) -> FastAPI:
    """Builds the application.

    Args:
        settings: sizes, times, and the secret that signs tokens.
        pool: gives the pool of a name; called on the running event loop only.
        samples: the numbers of all processes; the default gives this process's.
        lifespan: what is open while the application serves.
        server_echoes_id: see `Edge`.
        stopping: see `Streams`.
        revocations: which tokens are refused, watched by whoever serves; None: nobody watches.
        fetcher: default: one over an outbound client of its own.
        shared_count: see `Limiter`.

    Raises:
        BadKeyRing: the signing secret is missing or weak.
        UndeclaredRoute: routes and the table in `access` do not agree.
    """
    secret = settings.jwt_secret.get_secret_value()
    app = FastAPI(
        title=_TITLE,
        version=_version(),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # `Edge` does all three
        lifespan=lifespan,
        exception_handlers={
            Problem: _problem,
            ElderGuildError: _expected,
            HTTPException: _http,
        },
    )
    app.state.gateway = Gateway(
        settings=settings,
        pool=pool,
        tokens=Tokens(key_ring(secret), settings.gateway, revocations=revocations),
        samples=samples,
        readiness=Readiness(pool),
        streams=Streams(settings.gateway, stopping),
        desk=Desk(settings.uploads, max_chars=settings.index.max_document_chars),
        fetcher=fetcher
        or Fetcher(functools.partial(Outbound, settings.outbound), settings.uploads),
        limiter=Limiter(settings.gateway.rate, shared_count),
        audit=AuditTrail(pool, settings.audit),
    )
    for router in _ROUTERS:
        app.router.routes.extend(router.routes)
    _check_declared(app)
    app.state.openapi, names = _described(app.version)
    app.add_exception_handler(RequestValidationError, _Invalid(names))
    app.add_middleware(
        Edge,
        settings=settings.gateway,
        version=_version(),
        production=settings.env is Environment.PRODUCTION,
        server_echoes_id=server_echoes_id,
    )
    return app


@functools.cache
def _described(version: str) -> tuple[bytes, frozenset[str]]:
    """The OpenAPI document and the names in it: a second's work, and the same for every one."""
    every = [route for router in _ROUTERS for route in router.routes]
    document = openapi.build(_TITLE, version, every)
    return orjson.dumps(document), openapi.names(document)


def routes(app: FastAPI) -> dict[str, GuildRoute]:
    """All routes, by method and path template."""
    return {
        f"{method} {route.path_format}": route
        for route in app.router.routes
        if isinstance(route, GuildRoute)
        for method in route.methods or ()
    }


def _check_declared(app: FastAPI) -> None:
    foreign = [route for route in app.router.routes if not isinstance(route, GuildRoute)]
    missing = access.ACCESS.keys() - routes(app).keys()
    if foreign or missing:
        raise access.UndeclaredRoute(f"no such route: {sorted(missing)}, no rule: {foreign}")


async def _problem(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)  # noqa: S101  # nosec B101  # registered for it
    return problem_response(request.scope, problem)


async def _expected(request: Request, error: Exception) -> Response:
    assert isinstance(error, ElderGuildError)  # noqa: S101  # nosec B101
    return problem_response(request.scope, problem_of(error))


async def _http(request: Request, error: Exception) -> Response:
    """Starlette's own: no such route, or no such method on it."""
    assert isinstance(error, HTTPException)  # noqa: S101  # nosec B101
    details = {404: "there is nothing at this address", 405: "the address has no such method"}
    detail = details.get(error.status_code, "the request cannot be answered")
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = _methods_at(request)
    return problem_response(request.scope, Problem(error.status_code, detail, headers=headers))


def _methods_at(request: Request) -> str:
    """All methods of an address; Starlette names those of the first route only."""
    path = request.scope["path"]
    found = [
        method
        for route in request.app.router.routes
        if isinstance(route, GuildRoute) and route.path_regex.match(path)
        for method in route.methods or ()
    ]
    return ", ".join(sorted(found))


class _Invalid:
    """Answers a request that is not what its route declares: where and why, not what was sent."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    async def __call__(self, request: Request, error: Exception) -> Response:
        """The problem, with at most a few dozen errors."""
        assert isinstance(error, RequestValidationError)  # noqa: S101  # nosec B101
        found = itertools.islice(error.errors(), _MAX_ERRORS)
        errors = [FieldError(self._pointer(one["loc"]), _reason(one)) for one in found]
        problem = Problem(422, "the request is not valid", errors=errors)
        return problem_response(request.scope, problem)

    def _pointer(self, location: Sequence[str | int]) -> str:
        """Where it is, in our own names. A key that the client made up is shown as ``*``."""
        return "/".join(
            str(part) if isinstance(part, int) or part in self._names else "*" for part in location
        )


def _reason(error: Any) -> str:
    """Pydantic's sentence, which speaks of our limits only; unless it is one that quotes."""
    known: str = _REASONS.get(error["type"], "")
    return known or str(error["msg"])


_REASONS = {
    "extra_forbidden": "is not a field of this",
    "json_invalid": "is not well-formed JSON",
    "union_tag_invalid": "is of a kind that there is not",
    "datetime_from_date_parsing": "is no time",
    "datetime_parsing": "is no time",
    "datetime_object_invalid": "is no time",
}


def _version() -> str:
    try:
        return metadata.version("elders-guild")
    except metadata.PackageNotFoundError:
        return "0"
