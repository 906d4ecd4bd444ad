"""The outermost layer: every request enters and every answer leaves here."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from starlette.responses import Response

from actors import metrics
from actors.errors import ElderGuildError
from actors.settings import GatewaySettings
from serve_app import problems, trace
from serve_app.problems import Problem
from serve_app.strict import check_target
from serve_app.trace import Scope, Trace

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_log = structlog.get_logger("elders_guild.gateway")
_ALWAYS_ANSWERED = frozenset({"/healthz", "/readyz", "/metrics"})


class Edge:
    """Pure ASGI: bounds what is in flight, names the request, turns every failure into a problem.

    Nothing that is raised below reaches the server, so no answer leaves without our form and our
    ``Guild-Version``: a 404 or 5xx without that header did not come from us.
    """

    def __init__(
        self, app: App, settings: GatewaySettings, version: str, *, server_echoes_id: bool = False
    ) -> None:
        """Wraps the application.

        Args:
            app: everything below.
            settings: bounds.
            version: what ``Guild-Version`` says.
            server_echoes_id: the server above us, as Ray Serve does, answers the request's
                ``X-Request-Id`` by itself; then we do not say it a second time.
        """
        self._app = app
        self._server_echoes_id = server_echoes_id
        self._settings = settings
        self._in_flight = 0
        self._headers = [
            (b"guild-version", version.encode()),
            (b"x-content-type-options", b"nosniff"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers one request; anything that is not HTTP passes unchanged."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        of = trace.begin(scope)
        says_id = not (self._server_echoes_id and of.given)
        answer = _Answer(of, send, self._headers, says_id=says_id)
        started = time.perf_counter()
        self._in_flight += 1
        metrics.ACTIVE_CONNECTIONS.set(self._in_flight)
        try:
            await self._answer(scope, receive, answer)
        finally:
            self._in_flight -= 1
            metrics.ACTIVE_CONNECTIONS.set(self._in_flight)
            _note(scope["method"], answer, time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        try:
            self._admit(scope)
            check_target(scope.get("raw_path") or b"", scope["query_string"])
            await self._app(scope, receive, answer.send)
        except Problem as problem:
            await answer.fail(scope, receive, problem)
        except ElderGuildError as error:
            await answer.fail(scope, receive, problems.problem_of(error))
        except Exception:
            _log.exception("request_failed", request_id=answer.trace.request_id)
            await answer.fail(scope, receive, problems.problem_of(ElderGuildError()))

    def _admit(self, scope: Scope) -> None:
        """Sheds load before Serve does: its own 503 would carry no Retry-After."""
        if self._in_flight > self._settings.max_in_flight and scope["path"] not in _ALWAYS_ANSWERED:
            headers = problems.retry_after(self._settings.retry_after_s)
            raise Problem(503, "the gateway is full; try again soon", headers=headers)


class _Answer:
    """What is sent back, with our headers on it."""

    def __init__(
        self, of: Trace, send: Send, headers: list[tuple[bytes, bytes]], *, says_id: bool
    ) -> None:
        self.trace = of
        self.status = 0
        self._send = send
        self._headers = [*headers, (b"x-correlation-id", of.correlation_id.encode())]
        if says_id:
            self._headers.append((b"x-request-id", of.request_id.encode()))

    async def send(self, message: Message) -> None:
        """Passes a message of the answer on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self._headers]
        await self._send(message)

    async def fail(self, scope: Scope, receive: Receive, problem: Problem) -> None:
        """Answers with the problem, unless an answer has begun: then it can only break off."""
        if self.status:
            raise problem
        response = problem_response(scope, problem)
        await response(scope, receive, self.send)  # type: ignore[arg-type]  # the same protocol


def problem_response(scope: Scope, problem: Problem) -> Response:
    """A problem in the form of the part of the API that was asked."""
    if scope["path"].startswith("/oauth/"):
        return problems.render_oauth(problem)
    return problems.render(problem, trace.of(scope).request_id)


def _note(method: str, answer: _Answer, seconds: float) -> None:
    of = answer.trace
    label = method if method in _METHODS else "OTHER"
    metrics.HTTP_SECONDS.labels(label, of.route, str(answer.status)).observe(seconds)
    _log.info(
        "request",
        method=label,
        route=of.route,
        status=answer.status,
        duration_ms=round(seconds * 1000, 2),
        request_id=of.request_id,
        correlation_id=of.correlation_id,
        guild_id=of.guild_id,
        user_id=of.user_id,
    )


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
