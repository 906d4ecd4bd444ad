"""How tokens are got, renewed, given back and looked at."""

from fastapi import Request
from fastapi.responses import Response
from pydantic import ConfigDict, Field, SecretStr

from actors.errors import NotAuthenticated, ValidationError
from actors.identity.messages import FIRST_PARTY, ClientCredentials
from actors.identity.sessions.messages import (
    DenyToken,
    EndSession,
    ExchangeCode,
    InspectSession,
    RefreshSession,
)
from actors.runtime.message import Caller, Context
from serve_app import opaque
from serve_app.call import Call, Current
from serve_app.problems import Problem
from serve_app.route import new_router
from serve_app.schemas.oauth import INTROSPECT, REVOKE, TOKEN, IntrospectionView
from serve_app.signing_in import (
    NOT_STORED,
    Form,
    TokenView,
    answer,
    authenticate,
    begin_session,
    credentials,
    field,
    invalid_client,
    origin_in,
    parse_form,
    refused,
    sign_in,
    tell,
)
from serve_app.strict import Strict

router = new_router()
_INACTIVE = b'{"active":false}'


class LogInIn(Strict):
    """A login and its password."""

    login: str = Field(max_length=128)
    password: SecretStr = Field(max_length=256)

    model_config = ConfigDict(json_schema_extra={"example": {"login": "admin", "password": "…"}})  # nosec B105  # an ellipsis


@router.post("/oauth/login", response_model=TokenView)
async def log_in(call: Current, request: Request, body: LogInIn) -> Response:
    """Signs a person in; for the console and the command line."""
    granted = await sign_in(call, request, body.login, body.password.get_secret_value())
    return await begin_session(call, granted)


@router.post("/oauth/token", response_model=TokenView, openapi_extra=TOKEN)
async def token(call: Current, request: Request) -> Response:
    """Issues a token by `client_credentials`, `authorization_code` or `refresh_token`.

    A code needs its PKCE verifier. A refresh token is used once: the answer holds the next one,
    and a second use ends the session.
    """
    form = parse_form(await request.body())
    try:
        match form.get("grant_type"):
            case "client_credentials":
                return await _by_credentials(call, request, form)
            case "authorization_code":
                return await _by_code(call, request, form)
            case "refresh_token":
                return await _by_refresh_token(call, request, form)
            case "password" if call.gateway.settings.allow_password_grant:
                granted = await sign_in(
                    call, request, field(form, "username"), field(form, "password")
                )
                return await begin_session(call, granted)
            case None:
                raise Problem(400, "grant_type is missing", code="invalid_request")
            case _:
                detail = "grant_type is none of those that are supported"
                raise Problem(400, detail, code="unsupported_grant_type")
    except ValidationError as error:
        raise refused(error) from None


async def _by_credentials(call: Call, request: Request, form: Form) -> Response:
    known = credentials(request, form)
    client_id, secret = known or ("", None)
    if secret is None:
        raise invalid_client()
    query = ClientCredentials(
        context=call.context,
        client_id=client_id,
        secret=secret,
        scopes=tuple(form.get("scope", "").split()),
    )
    try:
        granted = await call.ask("identity", query)
    except NotAuthenticated:
        raise invalid_client() from None
    return answer(call, granted, None)


async def _by_code(call: Call, request: Request, form: Form) -> Response:
    known = credentials(request, form)
    if known is None:
        raise invalid_client()
    client = await authenticate(call, *known)
    secret = opaque.new_secret()
    command = ExchangeCode(
        **origin_in(call, client.guild_id, client.client_id),
        code_digest=opaque.digest(field(form, "code")),
        redirect_uri=field(form, "redirect_uri"),
        verifier=field(form, "code_verifier"),
        refresh_digest=opaque.digest(secret),
    )
    return answer(call, await tell(call, command), secret)


async def _by_refresh_token(call: Call, request: Request, form: Form) -> Response:
    client_id = await _holder(call, request, form)
    given = opaque.parse(field(form, "refresh_token"))
    if given is None:
        raise Problem(400, "refresh_token: is not valid", code="invalid_grant")
    secret = opaque.new_secret()
    command = RefreshSession(
        **origin_in(call, given.guild_id, client_id),
        digest=given.digest,
        next_digest=opaque.digest(secret),
        client_id=client_id,
        scopes=tuple(form.get("scope", "").split()),
    )
    return answer(call, await tell(call, command), secret)


@router.post("/oauth/revoke", response_class=Response, openapi_extra=REVOKE)
async def revoke(call: Current, request: Request) -> Response:
    """Ends a session by its refresh token, or refuses one access token (RFC 7009).

    A token that is none, or is good for nothing any more, is no error.
    """
    form = parse_form(await request.body())
    text = field(form, "token")
    client_id = await _holder(call, request, form)
    given = opaque.parse(text)
    try:
        if given is not None:
            origin = origin_in(call, given.guild_id, client_id)
            await tell(call, EndSession(**origin, digest=given.digest, client_id=client_id))
        else:
            await _deny(call, text, client_id)
    except ValidationError as error:
        raise refused(error) from None
    return Response(headers=NOT_STORED)


async def _deny(call: Call, text: str, client_id: str) -> None:
    try:
        said = call.gateway.tokens.inspect(text)
    except NotAuthenticated:
        return
    if said.held.client_id != client_id:
        raise ValidationError("token", "is not valid")
    origin = origin_in(call, said.caller.guild_id, said.caller.principal_id)
    await tell(call, DenyToken(**origin, token_id=said.held.token_id))


@router.post("/oauth/introspect", response_model=IntrospectionView, openapi_extra=INTROSPECT)
async def introspect(call: Current, request: Request) -> Response:
    """Says what a token of the client's guild is good for (RFC 7662).

    Only clients with a secret may ask; of refresh tokens each learns about its own.
    """
    form = parse_form(await request.body())
    known = credentials(request, form)
    if known is None or known[1] is None:
        raise invalid_client()
    client = await authenticate(call, *known)
    text = field(form, "token")
    call.gateway.tokens.revocations.check_fresh(admin=True)
    asker = Context(
        caller=Caller(guild_id=client.guild_id, principal_id=client.client_id),
        correlation_id=call.correlation_id,
        causation_id=call.request_id,
    )
    view = await _refresh_seen(call, asker, text) or _access_seen(call, asker, text)
    body = _INACTIVE if view is None else view.model_dump_json(exclude_none=True).encode()
    return call.reply(body, headers=NOT_STORED)


async def _refresh_seen(call: Call, asker: Context, text: str) -> IntrospectionView | None:
    given = opaque.parse(text)
    if given is None or given.guild_id != asker.caller.guild_id:
        return None
    session = await call.ask("identity", InspectSession(context=asker, digest=given.digest))
    if session is None:
        return None
    return IntrospectionView(
        active=True,
        scope=" ".join(sorted(session.permissions)),
        client_id=session.client_id,
        sub=session.principal_id,
        exp=int(session.expires_at.timestamp()),
        iss=call.gateway.settings.gateway.issuer,
    )


def _access_seen(call: Call, asker: Context, text: str) -> IntrospectionView | None:
    try:
        said = call.gateway.tokens.inspect(text)
    except NotAuthenticated:
        return None
    if said.caller.guild_id != asker.caller.guild_id:
        return None
    names = call.gateway.settings.gateway
    return IntrospectionView(
        active=True,
        scope=" ".join(sorted(said.caller.permissions)),
        client_id=said.held.client_id,
        sub=said.caller.principal_id,
        exp=said.expires_at,
        iat=said.issued_at,
        iss=names.issuer,
        aud=names.audience,
        jti=said.held.token_id,
        token_type="Bearer",  # noqa: S106  # nosec B106  # the name of a scheme
    )


async def _holder(call: Call, request: Request, form: Form) -> str:
    """Who says that a token is theirs: a client, or a person who signed in to us."""
    known = credentials(request, form)
    if known is None:
        return FIRST_PARTY
    return (await authenticate(call, *known)).client_id
