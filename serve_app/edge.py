"""The outermost layer: every request enters and every answer leaves here."""

import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from starlette.responses import Response

from actors import metrics
from actors.errors import ElderGuildError
from actors.runtime import subject, tracing
from actors.settings import GatewaySettings
from serve_app import problems, trace
from serve_app.headers import METHODS, Headers, Hosts, Origins, Standing
from serve_app.problems import Problem
from serve_app.strict import check_headers, check_target
from serve_app.trace import Scope, Trace

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = structlog.get_logger("elders_guild.gateway")
_ALWAYS_ANSWERED = frozenset({"/healthz", "/readyz", "/metrics"})
_NOT_NOW = frozenset({429, 503, 504})


class Edge:
    """Pure ASGI: bounds what is in flight, names the request, turns every failure into a problem.

    Nothing that is raised below reaches the server, so no answer leaves without our form and our
    ``Guild-Version``: a 404 or 5xx without that header did not come from us.
    """

    def __init__(
        self,
        app: App,
        settings: GatewaySettings,
        version: str,
        *,
        production: bool = False,
        server_echoes_id: bool = False,
    ) -> None:
        """Wraps the application.

        Args:
            app: everything below.
            settings: bounds.
            version: what ``Guild-Version`` says.
            production: see `Standing`.
            server_echoes_id: the server above us, as Ray Serve does, answers the request's
                ``X-Request-Id`` by itself; then we do not say it a second time.
        """
        self._app = app
        self._server_echoes_id = server_echoes_id
        self._settings = settings
        self._in_flight = 0
        self._standing = Standing(settings, version, production=production)
        self._origins = Origins(settings)
        self._hosts = Hosts(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; anything that is not HTTP passes unchanged."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        of = trace.begin(scope)
        says_id = not (self._server_echoes_id and of.given)
        headers = self._origins.on(scope["headers"])
        answer = _Answer(of, send, scope.get("scheme", ""), self._standing, headers)
        if says_id:
            answer.headers.append((b"x-request-id", of.request_id.encode()))
        started = time.perf_counter()
        about = subject.begin(of.fields)
        span = _span(scope, of)
        self._in_flight += 1
        metrics.ACTIVE_CONNECTIONS.set(self._in_flight)
        try:
            with span:
                try:
                    await self._answer(scope, receive, answer)
                finally:
                    _tell(span, scope, answer)
        finally:
            self._in_flight -= 1
            metrics.ACTIVE_CONNECTIONS.set(self._in_flight)
            _note(scope, answer, time.perf_counter() - started)
            about.end()

    async def _answer(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        try:
            self._admit(scope)
            self._check(scope)
            preflight = self._origins.preflight(scope["method"], scope["headers"])
            if preflight is not None:
                await answer.respond(scope, receive, Response(status_code=204, headers=preflight))
                return
            await self._app(scope, receive, answer.send)
        except Problem as problem:
            await answer.fail(scope, receive, problem)
        except ElderGuildError as error:
            await answer.fail(scope, receive, problems.problem_of(error))
        except Exception:
            _log.exception("request_failed")
            await answer.fail(scope, receive, problems.problem_of(ElderGuildError()))

    def _admit(self, scope: Scope) -> None:
        """Sheds load before Serve does: its own 503 would carry no Retry-After."""
        if self._in_flight > self._settings.max_in_flight and scope["path"] not in _ALWAYS_ANSWERED:
            headers = problems.retry_after(self._settings.retry_after_s)
            raise Problem(503, "the gateway is full; try again soon", headers=headers)

    def _check(self, scope: Scope) -> None:
        """Refuses what no route would read the same way as whoever stands in front of us."""
        settings, headers = self._settings, scope["headers"]
        check_headers(headers, settings.max_headers, settings.max_header_bytes)
        raw_path = scope.get("raw_path") or b""
        check_target(raw_path, scope["query_string"], settings.max_target_bytes)
        if scope["method"] not in _METHODS:
            allow = {"Allow": ", ".join(METHODS)}
            raise Problem(405, "there is no such method here", headers=allow)
        if not self._hosts.serve(headers) and scope["path"] not in _ALWAYS_ANSWERED:
            raise Problem(421, "this is not the host that the request means")


class _Answer:
    """What is sent back, with our headers on it."""

    def __init__(
        self, of: Trace, send: Send, scheme: str, standing: Standing, headers: Headers
    ) -> None:
        self.trace = of
        self.status = 0
        self.headers = [*headers, (b"x-correlation-id", of.correlation_id.encode())]
        self._send = send
        self._scheme = scheme
        self._standing = standing

    async def send(self, message: Message) -> None:
        """Passes a message of the answer on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            own = self._standing.over(self._scheme, message.get("headers", ()))
            message["headers"] = [*own, *self.headers, *self.trace.headers]
        await self._send(message)

    async def fail(self, scope: Scope, receive: Receive, problem: Problem) -> None:
        """Answers with the problem, unless an answer has begun: then it can only break off."""
        if self.status:
            raise problem
        await self.respond(scope, receive, problem_response(scope, problem))

    async def respond(self, scope: Scope, receive: Receive, response: Response) -> None:
        """Answers with what was made here."""
        await response(scope, receive, self.send)  # type: ignore[arg-type]  # the same protocol


def problem_response(scope: Scope, problem: Problem) -> Response:
    """A problem in the form of the part of the API that was asked."""
    if scope["path"].startswith("/oauth/"):
        return problems.render_oauth(problem)
    return problems.render(problem, trace.of(scope).request_id)


def _span(scope: Scope, of: Trace) -> tracing.AnySpan:
    if not tracing.is_on() or scope["path"] in _ALWAYS_ANSWERED:
        return tracing.NOTHING
    return tracing.request(of.correlation_id, dict(scope["headers"]), begins=of.begins)


def _tell(span: tracing.AnySpan, scope: Scope, answer: _Answer) -> None:
    if span is tracing.NOTHING:
        return
    method = scope["method"] if scope["method"] in _METHODS else "OTHER"
    span.rename(f"{method} {answer.trace.route}")
    span.note(**{"guild.id": answer.trace.guild_id})
    if answer.status:
        span.note(**{"http.response.status_code": answer.status})
    if answer.status >= 500:
        span.fail(str(answer.status))


def _note(scope: Scope, answer: _Answer, seconds: float) -> None:
    route, method = answer.trace.route, scope["method"]
    label = method if method in _METHODS else "OTHER"
    metrics.HTTP_SECONDS.labels(label, route, str(answer.status)).observe(seconds)
    _log.log(
        _level(scope["path"], answer.status),
        "request",
        method=label,
        route=route,
        status=answer.status,
        duration_ms=round(seconds * 1000, 2),
    )


def _level(path: str, status: int) -> int:
    """A failure of ours is an error, a bound or a server that was reached a warning.

    0 is none: the client went away before it was answered.
    """
    if status in _NOT_NOW:
        return logging.WARNING
    if status >= 500:
        return logging.ERROR
    return logging.DEBUG if path in _ALWAYS_ANSWERED else logging.INFO


_METHODS = frozenset({*METHODS, "HEAD", "OPTIONS"})
