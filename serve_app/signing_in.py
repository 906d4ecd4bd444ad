"""What every way to a token shares: the form, who asks, and the answer of RFC 6749."""

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote_plus

from fastapi import Request
from fastapi.responses import Response

from actors import clock
from actors.errors import NotAuthenticated, Overloaded, ValidationError
from actors.identity.messages import (
    AuthenticateClient,
    ClientView,
    LogIn,
    TokenGrant,
)
from actors.identity.sessions.messages import StartSession
from actors.runtime.message import Caller, Command, Context, GuildId, ReplyT
from serve_app import opaque, problems
from serve_app.addresses import client_address
from serve_app.call import Call, Origin
from serve_app.problems import Problem
from serve_app.strict import View

Form = Mapping[str, str]

_MAX_FIELDS = 20
NOT_STORED = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class TokenView(View):
    """An access token (RFC 6749, section 5.1)."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105  # nosec B105  # the name of a scheme
    expires_in: int
    scope: str
    refresh_token: str | None = None


async def sign_in(call: Call, request: Request, login: str, password: str) -> TokenGrant:
    """Who has this login and password.

    Raises:
        Problem: 401 whatever is wrong, 429 after too many failures or while too many sign in.
    """
    proxies = call.gateway.settings.gateway.trusted_proxies
    query = LogIn(
        context=call.context,
        login=login,
        password=password,
        address=client_address(request, proxies),
    )
    try:
        return await call.ask("identity", query)
    except NotAuthenticated:
        raise wrong_login() from None
    except Overloaded as error:
        headers = problems.retry_after(error.retry_after_s)
        raise Problem(429, "too many sign-ins; try again later", headers=headers) from None


async def begin_session(call: Call, granted: TokenGrant) -> Response:
    """Tokens of a new session of our own."""
    secret = opaque.new_secret()
    command = StartSession(
        **origin_in(call, granted.guild_id, granted.principal_id),
        granted=granted,
        refresh_digest=opaque.digest(secret),
    )
    try:
        begun = await tell(call, command)
    except NotAuthenticated:
        raise wrong_login() from None
    return answer(call, begun, secret)


def origin_in(call: Call, guild_id: GuildId, principal_id: str) -> Origin:
    """The beginning of a command in the guild of whom was just found out."""
    context = Context(
        caller=Caller(guild_id=guild_id, principal_id=principal_id),
        correlation_id=call.correlation_id,
        causation_id=call.request_id,
    )
    return Origin(context=context, command_id=clock.new_id("cmd"), request_hash="")


async def tell(call: Call, command: Command[ReplyT]) -> ReplyT:
    """The reply to a command, or its error as it is."""
    return (await call.attempt("identity", command)).unwrap()


def answer(call: Call, granted: TokenGrant, secret: str | None) -> Response:
    """An access token, and the refresh token with this secret."""
    issued = call.gateway.tokens.sign(
        granted.guild_id,
        granted.principal_id,
        granted.permissions,
        session_id=granted.session_id,
        version=granted.version,
        client_id=granted.client_id,
        client_version=granted.client_version,
    )
    view = TokenView(
        access_token=issued.token,
        expires_in=issued.expires_in_s,
        scope=" ".join(sorted(granted.permissions)),
        refresh_token=None if secret is None else opaque.render(granted.guild_id, secret),
    )
    return call.reply(view.model_dump_json(exclude_none=True).encode(), headers=NOT_STORED)


def parse_form(raw: bytes) -> Form:
    """The fields of a form, or of a query; each at most once, as RFC 6749 wants it."""
    try:
        pairs = parse_qsl(
            raw.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict"
        )
    except ValueError:  # not UTF-8, or too many
        raise Problem(400, "the form cannot be read", code="invalid_request") from None
    form = dict(pairs)
    if len(form) != len(pairs) or any("\x00" in part for pair in pairs for part in pair):
        raise Problem(400, "the form has a field twice", code="invalid_request")
    return form


def field(form: Form, name: str) -> str:
    """A field that must be there.

    Raises:
        Problem: 400.
    """
    value = form.get(name, "")
    if not value:
        raise Problem(400, f"{name} is missing", code="invalid_request")
    return value


async def authenticate(call: Call, client_id: str, secret: str | None) -> ClientView:
    """The client, if it is who it says.

    Raises:
        Problem: 401.
    """
    query = AuthenticateClient(context=call.context, client_id=client_id, secret=secret)
    try:
        return await call.ask("identity", query)
    except NotAuthenticated:
        raise invalid_client() from None


def credentials(request: Request, form: Form) -> tuple[str, str | None] | None:
    """Id and secret, from HTTP Basic or from the form, never from both; None: neither is there.

    Raises:
        Problem: 401.
    """
    authorization = request.headers.getlist("authorization")
    if not authorization:
        if "client_id" in form:
            return form["client_id"], form.get("client_secret")
        if "client_secret" in form:
            raise invalid_client()
        return None
    scheme, _, encoded = authorization[0].partition(" ")
    if len(authorization) != 1 or scheme.lower() != "basic" or "client_secret" in form:
        raise invalid_client()
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
        client_id, colon, secret = decoded.partition(":")
        client_id = unquote_plus(client_id, errors="strict")
        secret = unquote_plus(secret, errors="strict")
    except (binascii.Error, ValueError):
        raise invalid_client() from None
    if not colon or "\x00" in client_id + secret or form.get("client_id", client_id) != client_id:
        raise invalid_client()
    return client_id, secret


def refused(error: ValidationError) -> Problem:
    """What RFC 6749 calls this refusal."""
    match error.field:
        case "scope":
            return Problem(400, str(error), code="invalid_scope")
        case "grant_type":
            detail = "this grant is not one of the client"
            return Problem(400, detail, code="unauthorized_client")
        case _:
            return Problem(400, str(error), code="invalid_grant")


def wrong_login() -> Problem:
    """The one answer to a login that is none, or a password that is wrong."""
    return Problem(401, "login or password is wrong", code="invalid_grant")


def invalid_client() -> Problem:
    """The one answer to a client that is not who it says."""
    return Problem(
        401,
        "client id or secret is wrong or missing",
        code="invalid_client",
        headers={"WWW-Authenticate": 'Basic realm="elders-guild"'},
    )
