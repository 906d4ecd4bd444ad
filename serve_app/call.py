"""One authenticated, checked request, and the way from it to a sage and back."""

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict
from urllib.parse import parse_qsl, urlencode

from fastapi import Depends, Request
from starlette.responses import Response

from actors import clock
from actors.documents.desk import Desk
from actors.documents.fetching import Fetcher
from actors.errors import NotAuthenticated
from actors.metrics import Sample
from actors.runtime.message import Caller, Command, Context, Outcome, Position, Query, ReplyT
from actors.settings import GuildSettings
from serve_app.auditing import AuditTrail
from serve_app.limiter import Limiter
from serve_app.problems import Problem, problem_of
from serve_app.readiness import PoolOf, Readiness
from serve_app.revocations import Held
from serve_app.streams import Streams
from serve_app.strict import View
from serve_app.tokens import Tokens

_JSON = "application/json"


@dataclass(slots=True, kw_only=True)
class Gateway:
    """What all requests of one replica share.

    Attributes:
        samples: the numbers of all processes.
        streams: the event streams that are open.
        desk: reads files; ended by whoever made the application.
        fetcher: fetches pages; likewise.
        audit: sign-ins and refusals on their way to the audit log.
        running: commands whose caller may have gone away; they run to their end.
    """

    settings: GuildSettings
    pool: PoolOf
    tokens: Tokens
    samples: Callable[[], Awaitable[Sequence[Sample]]]
    readiness: Readiness
    streams: Streams
    desk: Desk
    fetcher: Fetcher
    limiter: Limiter
    audit: AuditTrail
    running: set[asyncio.Task[Any]] = field(default_factory=set)


class Origin(TypedDict):
    """The fields that every command gets from its request."""

    context: Context
    command_id: str
    request_hash: str


@dataclass(slots=True, kw_only=True)
class Call:
    """A request that may be answered: who asks, under which ids, on which version.

    Attributes:
        route: method and path template.
        key: the client's ``Idempotency-Key``.
        expected_version: from ``If-Match``; 0: from ``If-None-Match: *``.
        request_hash: digest of method, address and canonical body; empty without a key.
        good_until: when the caller's token expires, in seconds of `time.monotonic`.
        held: by what that token may be revoked before; None: there is none.
    """

    gateway: Gateway
    caller: Caller
    route: str
    request_id: str
    correlation_id: str
    query: bytes = b""
    key: str | None = None
    expected_version: int | None = None
    request_hash: str = ""
    good_until: float = math.inf
    held: Held | None = None

    @property
    def context(self) -> Context:
        """Where messages of this request come from."""
        return Context(
            caller=self.caller,
            correlation_id=self.correlation_id,
            causation_id=self.request_id,
        )

    @property
    def origin(self) -> Origin:
        """The beginning of the command that this request makes."""
        return self.origin_of("")

    def origin_of(self, part: str) -> Origin:
        """Like `origin`, for one of several commands of one request; ``part`` tells them apart."""
        if self.key is None:
            return Origin(context=self.context, command_id=clock.new_id("cmd"), request_hash="")
        identity = "\x1f".join((self.caller.principal_id, self.route, self.key, part))
        command_id = f"key_{hashlib.sha256(identity.encode()).hexdigest()[:40]}"
        return Origin(context=self.context, command_id=command_id, request_hash=self.request_hash)

    @property
    def revoked(self) -> bool:
        """Whether the caller's token has been revoked since."""
        return self.held is not None and self.gateway.tokens.revocations.refuses(self.held)

    @property
    def version(self) -> int:
        """The version of ``If-Match``, on a route that requires it."""
        if self.expected_version is None:
            raise Problem(428, "this request needs If-Match")
        return self.expected_version

    async def ask(self, pool: str, query: Query[ReplyT]) -> ReplyT:
        """The reply of a sage. A client that goes away cancels the question."""
        timeout_s = self.gateway.settings.gateway.request_timeout_s
        try:
            reply = await self.gateway.pool(pool).ask(query, timeout_s=timeout_s)
        except NotAuthenticated:
            self.gateway.audit.not_authenticated(self, query)
            raise
        self.gateway.audit.answered(self, query, reply)
        return reply

    async def tell(self, pool: str, command: Command[ReplyT]) -> Outcome[ReplyT]:
        """What became of a command. A client that goes away cancels the wait, never the work.

        Raises:
            Problem: the sage refused.
        """
        outcome = await self.attempt(pool, command)
        if outcome.error is not None:
            raise problem_of(outcome.error, conditional=self.expected_version is not None)
        return outcome

    async def attempt(self, pool: str, command: Command[ReplyT]) -> Outcome[ReplyT]:
        """Like `tell`, with a refusal as a value."""
        timeout_s = self.gateway.settings.gateway.request_timeout_s
        asking = self.gateway.pool(pool).ask_outcome(command, timeout_s=timeout_s)
        task = asyncio.ensure_future(asking)
        running = self.gateway.running
        running.add(task)
        task.add_done_callback(running.discard)
        return await asyncio.shield(task)

    def reply(
        self,
        view: View | bytes,
        *,
        status: int = 200,
        version: int | None = None,
        position: Position | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """The answer: JSON, and in headers the entity's version and the log's position.

        Bytes are JSON already, which carries events as they were published.
        """
        response = Response(to_json(view), status, headers, _JSON)
        _mark(response, version, position)
        return response

    def empty(self, position: Position | None = None) -> Response:
        """204."""
        response = Response(status_code=204)
        _mark(response, None, position)
        return response

    def page(self, view: View | bytes, path: str, next_cursor: str | None) -> Response:
        """A page of a list, with a ``Link`` to the next one."""
        response = Response(to_json(view), 200, None, _JSON)
        if next_cursor is not None:
            pairs = parse_qsl(self.query.decode("ascii", "replace"), keep_blank_values=True)
            kept = [(name, value) for name, value in pairs if name != "cursor"]
            target = f"{path}?{urlencode([*kept, ('cursor', next_cursor)])}"
            response.headers["Link"] = f'<{target}>; rel="next"'
        return response


def to_json(view: View | bytes) -> bytes:
    """The view as JSON, straight to bytes; or what was JSON already."""
    if isinstance(view, bytes):
        return view
    return view.__pydantic_serializer__.to_json(view)


def parse_position(text: str) -> Position:
    """The position that a ``Guild-Position`` header or ``min_position`` names.

    Raises:
        Problem: 422, it is none of ours.
    """
    try:
        return Position.parse(text)
    except ValueError:
        raise Problem(422, "the position is not one that this server gave out") from None


def _mark(response: Response, version: int | None, position: Position | None) -> None:
    if version is not None:
        response.headers["ETag"] = f'"{version}"'
    if position is not None:
        response.headers["Guild-Position"] = str(position)


async def _current(request: Request) -> Call:
    call: Call = request.scope[CALL]
    return call


CALL = "guild.call"
Current = Annotated[Call, Depends(_current)]
"""Parameter of every endpoint: the request it answers."""
