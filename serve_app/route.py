"""The class of all our routes: nothing is parsed before it is known that the caller may ask."""

import email.message
import hashlib
import math
import re
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import APIRouter, Request
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.routing import Match
from starlette.types import Scope

from actors.documents.detecting import MEDIA_TYPES
from actors.errors import NotAuthenticated, NotAuthorized
from actors.runtime.message import Caller, GuildId, Permission
from actors.settings import GatewaySettings, UploadSettings
from serve_app import auditing, event_in, strict, trace
from serve_app.access import Body, Rule, rule_of
from serve_app.call import CALL, Call, Gateway
from serve_app.limiter import Limiter
from serve_app.problems import Problem, retry_after
from serve_app.schemas.common import ProblemView
from serve_app.tokens import Verified

Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {"model": ProblemView, "description": text}
    for status, text in (("4XX", "The request is refused."), ("5XX", "We failed, or are full."))
}
NOBODY = Caller(guild_id=GuildId(""), principal_id="anonymous")
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_ETAG = re.compile(r'"([1-9][0-9]{0,8})"')
_BEARER = re.compile(r"[Bb]earer +([^ ]+)")


class GuildRoute(APIRoute):
    """Authenticates, checks the declared permission, then reads and parses the body strictly."""

    def __init__(self, path: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(path, *args, **kwargs)
        self._begins = path.partition("{")[0]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """See `Route.matches`. There are a hundred routes: most are told apart by how they begin.

        Each request is compared twice, by Serve for the name of its route and by the router.
        """
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if not path.startswith(self._begins):
            return Match.NONE, {}
        return super().matches(scope)

    def get_route_handler(self) -> Endpoint:
        """Wraps FastAPI's own handler; an undeclared route fails here, at start-up."""
        (method,) = tuple(self.methods or {""})
        path = self.path_format
        rule = rule_of(method, path)
        route = f"{method} {path}"
        inner = super().get_route_handler()

        async def handle(request: Request) -> Response:
            of = trace.of(request.scope)
            of.route = path
            of.name_entity(request.path_params)
            call = await _admit(request, rule, route)
            request.scope[CALL] = call
            if rule.body is Body.FILE:
                async with call.gateway.desk.place(call.caller.guild_id):
                    raw = await _read_file(request, call.gateway.settings.uploads)
                    return await answer(request, call, raw, None)
            if rule.body is Body.NONE:
                return await answer(request, call, b"", None)
            raw, value = await _read(request, rule.body, call.gateway.settings.gateway)
            return await answer(request, call, raw, value)

        async def answer(request: Request, call: Call, raw: bytes, value: Any) -> Response:
            if call.key is not None:
                call.request_hash = _digest(request, value if value is not None else raw)
            return await inner(ParsedRequest(request, raw, value))

        return auditing.watched(handle)


class ParsedRequest(Request):
    """A request whose body was read and parsed already, within its bounds."""

    def __init__(self, request: Request, raw: bytes, value: Any) -> None:
        super().__init__(request.scope, request.receive)
        self._raw = raw
        self._value = value

    async def body(self) -> bytes:
        """The bytes that arrived."""
        return self._raw

    async def json(self) -> Any:
        """The value they hold."""
        return self._value


def new_router() -> APIRouter:
    """A router of `GuildRoute`."""
    return APIRouter(route_class=GuildRoute, redirect_slashes=False, responses=_PROBLEMS)


async def _admit(request: Request, rule: Rule, route: str) -> Call:
    gateway: Gateway = request.app.state.gateway
    headers = request.headers
    of = trace.of(request.scope)
    known = None if rule.public else _authenticate(gateway, headers, rule)
    caller = NOBODY if known is None else known.caller
    of.guild_id, of.user_id = caller.guild_id, caller.principal_id
    if not rule.public:
        await _count(gateway.limiter, caller, rule, of)
    for permission in rule.needs:
        if not caller.may(permission):
            raise NotAuthorized(permission)
    return Call(
        gateway=gateway,
        caller=caller,
        route=route,
        request_id=of.request_id,
        correlation_id=of.correlation_id,
        query=request.scope["query_string"],
        key=_key(headers, rule),
        expected_version=_version(headers, rule),
        good_until=math.inf if known is None else gateway.tokens.expiry(known),
        held=None if known is None else known.held,
    )


async def _count(limiter: Limiter, caller: Caller, rule: Rule, of: trace.Trace) -> None:
    """Counts the request against its caller's quotas.

    Alertmanager drops what is answered by a 4xx and repeats what is answered by 503.
    """
    verdict = await limiter.admit(caller)
    of.headers = verdict.headers
    if verdict.refused_by:
        status = 503 if rule.body is Body.INTAKE else 429
        detail = f"the {verdict.refused_by}'s quota of requests is used up"
        raise Problem(status, detail, headers=retry_after(verdict.retry_after_s))


def _authenticate(gateway: Gateway, headers: Headers, rule: Rule) -> Verified:
    gateway.tokens.revocations.check_fresh(admin=Permission.ADMIN in rule.needs)
    given = headers.getlist("authorization")
    match = _BEARER.fullmatch(given[0]) if len(given) == 1 else None
    try:
        if match is None:
            raise NotAuthenticated
        return gateway.tokens.inspect(match[1])
    except NotAuthenticated as error:
        where = f"{gateway.settings.gateway.issuer}/.well-known/oauth-protected-resource"
        raise Problem(
            401,
            str(error),
            code=error.code,
            headers={"WWW-Authenticate": f'Bearer resource_metadata="{where}"'},
        ) from None


def _key(headers: Headers, rule: Rule) -> str | None:
    given = headers.getlist("idempotency-key")
    if not given:
        if rule.key_required:
            raise Problem(400, "this request needs an Idempotency-Key")
        return None
    if len(given) != 1 or not _KEY.fullmatch(given[0]):
        raise Problem(400, "Idempotency-Key is 1 to 255 visible ASCII characters")
    return given[0]


def _version(headers: Headers, rule: Rule) -> int | None:
    """The version that there must be; 0: there must be none."""
    given = headers.getlist("if-match")
    if rule.makes and "if-none-match" in headers:
        if given or headers.getlist("if-none-match") != ["*"]:
            raise Problem(400, "If-None-Match is * here, and does not go with If-Match")
        return 0
    if not given:
        if rule.if_match:
            raise Problem(428, "this request needs If-Match with the ETag of what it changes")
        return None
    match = _ETAG.fullmatch(given[0]) if len(given) == 1 else None
    if match is None:
        raise Problem(412, "the entity has another version than If-Match says")
    return int(match[1])


async def _read(request: Request, kind: Body, settings: GatewaySettings) -> tuple[bytes, Any]:
    """The body and, where it is JSON throughout, its value."""
    sizes = {
        Body.JSON: settings.max_body_bytes,
        Body.BULK: settings.max_documents_body_bytes,
        Body.INTAKE: settings.max_intake_body_bytes,
        Body.EVENTS: settings.max_events_body_bytes,
        Body.FORM: settings.max_form_bytes,
    }
    _check_media_type(request.headers, kind)
    raw = await strict.read_body(
        request.receive, request.headers, sizes[kind], settings.body_timeout_s
    )
    if kind in (Body.FORM, Body.EVENTS):
        return raw, None
    keys = settings.max_json_keys if kind is Body.JSON else settings.max_bulk_json_keys
    limits = strict.JsonLimits(
        max_depth=settings.max_json_depth,
        max_keys=keys,
        max_items=settings.max_json_items,
        max_digits=settings.max_digits,
    )
    return raw, strict.parse_json(raw, limits)


async def _read_file(request: Request, settings: UploadSettings) -> bytes:
    if media_type(request.headers) not in MEDIA_TYPES:
        raise Problem(415, "the body is not of a media type that this route reads")
    return await strict.read_body(
        request.receive, request.headers, settings.max_bytes, settings.body_timeout_s
    )


def media_type(headers: Headers) -> str:
    """What the request declares, in lower case and without parameters; empty: nothing."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _check_media_type(headers: Headers, kind: Body) -> None:
    content_type = headers.get("content-type", "")
    match kind:
        case Body.EVENTS:
            event_in.check_media_type(content_type)
            return
        case Body.FORM:
            taken = media_type(headers) == "application/x-www-form-urlencoded"
        case _:
            taken = _is_json(content_type)
    if not taken:
        raise Problem(415, "the body is not of a media type that this route reads")


def _is_json(content_type: str) -> bool:
    if content_type == "application/json":
        return True
    message = email.message.Message()
    message["content-type"] = content_type
    subtype = message.get_content_subtype()
    return message.get_content_maintype() == "application" and (
        subtype == "json" or subtype.endswith("+json")
    )


def _digest(request: Request, body: Any) -> str:
    """What a repeat under the same key must have in common with the first request."""
    canonical = body if isinstance(body, bytes) else orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
    target = request.scope["path"].encode() + b"?" + request.scope["query_string"]
    parts = (request.method.encode(), target, canonical)
    return hashlib.sha256(b"\x1f".join(parts)).hexdigest()
