"""How a token is got: by a person's password, or by a program's id and secret."""

import base64
import binascii
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote_plus

from fastapi import Request
from fastapi.responses import Response
from pydantic import ConfigDict, Field, SecretStr

from actors.errors import NotAuthenticated, ValidationError
from actors.identity.messages import ClientCredentials, LogIn, TokenGrant
from serve_app.call import Call, Current
from serve_app.problems import Problem
from serve_app.route import new_router
from serve_app.strict import Strict, View

router = new_router()
_MAX_FIELDS = 20
_NOT_STORED = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_FORM = {
    "requestBody": {
        "required": True,
        "content": {
            "application/x-www-form-urlencoded": {
                "schema": {
                    "type": "object",
                    "required": ["grant_type"],
                    "properties": {
                        "grant_type": {"type": "string", "enum": ["client_credentials"]},
                        "client_id": {"type": "string"},
                        "client_secret": {"type": "string"},
                        "scope": {"type": "string"},
                    },
                },
                "example": {"grant_type": "client_credentials", "scope": "write sage.incident"},
            }
        },
    }
}


class LogInIn(Strict):
    """A login and its password."""

    login: str = Field(max_length=128)
    password: SecretStr = Field(max_length=256)

    model_config = ConfigDict(json_schema_extra={"example": {"login": "admin", "password": "…"}})  # nosec B105  # an ellipsis


class TokenView(View):
    """An access token (RFC 6749, section 5.1)."""

    access_token: str
    token_type: str = "Bearer"  # noqa: S105  # nosec B105  # the name of a scheme
    expires_in: int
    scope: str


@router.post("/oauth/login", response_model=TokenView)
async def log_in(call: Current, body: LogInIn) -> Response:
    """Signs a person in; for the console and the command line."""
    query = LogIn(context=call.context, login=body.login, password=body.password.get_secret_value())
    try:
        granted = await call.ask("identity", query)
    except NotAuthenticated:
        raise Problem(401, "login or password is wrong", code="invalid_grant") from None
    return _token(call, granted)


@router.post("/oauth/token", response_model=TokenView, openapi_extra=_FORM)
async def token(call: Current, request: Request) -> Response:
    """Issues a token to a program by ``client_credentials``, the only grant there is."""
    form = _form(await request.body())
    match form.get("grant_type"):
        case "client_credentials":
            pass
        case None:
            raise Problem(400, "grant_type is missing", code="invalid_request")
        case _:
            detail = "only client_credentials is supported"
            raise Problem(400, detail, code="unsupported_grant_type")
    client_id, secret = _client(request.headers.getlist("authorization"), form)
    query = ClientCredentials(
        context=call.context,
        client_id=client_id,
        secret=secret,
        scopes=tuple(form.get("scope", "").split()),
    )
    try:
        granted = await call.ask("identity", query)
    except NotAuthenticated:
        raise _invalid_client() from None
    except ValidationError as error:
        raise Problem(400, str(error), code="invalid_scope") from None
    return _token(call, granted)


def _token(call: Call, granted: TokenGrant) -> Response:
    issued = call.gateway.tokens.sign(granted.guild_id, granted.principal_id, granted.permissions)
    view = TokenView(
        access_token=issued.token,
        expires_in=issued.expires_in_s,
        scope=" ".join(sorted(granted.permissions)),
    )
    return call.reply(view, headers=_NOT_STORED)


def _form(raw: bytes) -> Mapping[str, str]:
    """The fields of a form; each at most once, as RFC 6749 wants it."""
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


def _client(authorization: list[str], form: Mapping[str, str]) -> tuple[str, str]:
    """Id and secret, from HTTP Basic or from the form, never from both."""
    if not authorization:
        if "client_id" not in form or "client_secret" not in form:
            raise _invalid_client()
        return form["client_id"], form["client_secret"]
    scheme, _, encoded = authorization[0].partition(" ")
    if len(authorization) != 1 or scheme.lower() != "basic" or "client_secret" in form:
        raise _invalid_client()
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
        client_id, colon, secret = decoded.partition(":")
        client_id = unquote_plus(client_id, errors="strict")
        secret = unquote_plus(secret, errors="strict")
    except (binascii.Error, ValueError):
        raise _invalid_client() from None
    if not colon or "\x00" in decoded:
        raise _invalid_client()
    return client_id, secret


def _invalid_client() -> Problem:
    return Problem(
        401,
        "client id or secret is wrong or missing",
        code="invalid_client",
        headers={"WWW-Authenticate": 'Basic realm="elders-guild"'},
    )
