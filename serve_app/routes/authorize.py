"""How a person lets a program act for them: a page, its form, and a code (RFC 6749, PKCE)."""

import html
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from fastapi import Request
from fastapi.responses import Response

from actors.errors import ElderGuildError, NotAuthenticated, NotFound, ValidationError
from actors.identity.messages import ClientView, FindClient
from actors.identity.redirects import check_challenge
from actors.identity.sessions.messages import IssueCode
from serve_app import opaque
from serve_app.call import Call, Current
from serve_app.problems import Problem
from serve_app.route import new_router
from serve_app.schemas.oauth import form as form_of
from serve_app.signing_in import Form, field, origin_in, parse_form, sign_in, tell

router = new_router()
_STATE = re.compile(r"[\x20-\x7e]{0,512}")
_KEPT = (
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
)
_EXAMPLE = {
    "response_type": "code",
    "client_id": "dashboard",
    "redirect_uri": "https://dashboard.example/callback",
    "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
    "code_challenge_method": "S256",
}
_QUERY = {
    "parameters": [
        {
            "name": name,
            "in": "query",
            "required": name in _EXAMPLE,
            "schema": {"type": "string"},
            "example": _EXAMPLE.get(name, "read"),
        }
        for name in _KEPT
    ]
}
_POSTED = form_of(
    ("client_id", "redirect_uri", "login", "password"),
    {**_EXAMPLE, "login": "elder", "password": "…", "decision": "allow"},  # nosec B105  # an ellipsis
    *_KEPT[3:],
    "decision",
)
_HTML: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/html": {"example": "<!doctype html><title>Elders Guild</title>"}},
        "description": "A page without scripts.",
    }
}
_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Elders Guild</title></head><body>
<h1>Sign in to Elders Guild</h1>
<p>The program <strong>{client}</strong> asks to act for you: <strong>{scope}</strong>.
Afterwards you are sent to <strong>{target}</strong>. It may act until you sign out of it, or for
{days} days at most.</p>
<p role="alert">{message}</p>
<form method="post" action="/oauth/authorize">
{hidden}
<p><label>Login <input name="login" maxlength="128" required></label></p>
<p><label>Password <input name="password" type="password" maxlength="256" required></label></p>
<p><button name="decision" value="allow">Sign in and allow</button>
<button name="decision" value="deny" formnovalidate>Refuse</button></p>
</form></body></html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request of a known client with one of its own addresses.

    Attributes:
        wrong: what else is wrong with it, in the words of RFC 6749; empty: nothing.
    """

    client: ClientView
    form: Form
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str
    challenge: str
    wrong: str


@router.get("/oauth/authorize", response_class=Response, openapi_extra=_QUERY, responses=_HTML)
async def ask(call: Current, request: Request) -> Response:
    """Shows a person who asks for what, and has them sign in.

    Only with PKCE by S256, and only to an address that the client has registered.
    """
    asked = await _asked(call, request.scope["query_string"])
    if asked.wrong:
        return _sent_back(call, asked, error=asked.wrong)
    return _page(call, asked, 200, "")


@router.post(
    "/oauth/authorize",
    response_class=Response,
    status_code=303,
    openapi_extra=_POSTED,
    responses={303: {"description": "To the client's address, with a code or an error."}},
)
async def decide(call: Current, request: Request) -> Response:
    """Signs the person in and sends them back with a code, which is good once and not for long."""
    asked = await _asked(call, await request.body())
    if asked.wrong:
        return _sent_back(call, asked, error=asked.wrong)
    if asked.form.get("decision") != "allow":
        return _sent_back(call, asked, error="access_denied")
    try:
        granted = await sign_in(
            call, request, asked.form.get("login", ""), asked.form.get("password", "")
        )
    except Problem as problem:
        if problem.status not in (401, 429):
            raise
        answer = _page(call, asked, problem.status, problem.detail)
        answer.headers.update(problem.headers)
        return answer
    call.gateway.audit.signed_in(call, granted.guild_id, granted.principal_id, "password")
    code = opaque.new_secret()
    command = IssueCode(
        **origin_in(call, granted.guild_id, granted.principal_id),
        granted=granted,
        client_id=asked.client.client_id,
        code_digest=opaque.digest(code),
        redirect_uri=asked.redirect_uri,
        challenge=asked.challenge,
        scopes=asked.scopes,
    )
    try:
        await tell(call, command)
    except ValidationError:
        return _sent_back(call, asked, error="invalid_scope")
    except (NotFound, NotAuthenticated):  # a client of another guild is none of theirs
        return _sent_back(call, asked, error="access_denied")
    except ElderGuildError:
        return _sent_back(call, asked, error="temporarily_unavailable")
    return _sent_back(call, asked, code=code)


async def _asked(call: Call, raw: bytes) -> Asked:
    """The request, as far as the person may be sent back to whoever made it.

    Raises:
        Problem: 400, nobody is sent anywhere.
    """
    form = parse_form(raw)
    redirect_uri = field(form, "redirect_uri")
    try:
        query = FindClient(context=call.context, client_id=field(form, "client_id"))
        client = await call.ask("identity", query)
    except NotFound:
        raise _unknown() from None
    if redirect_uri not in client.redirect_uris:
        raise _unknown()
    state = form.get("state", "")
    wrong = ""
    if not _STATE.fullmatch(state):
        wrong, state = "invalid_request", ""
    elif form.get("response_type") != "code":
        wrong = "unsupported_response_type"
    elif not _has_proof_key(form):
        wrong = "invalid_request"
    return Asked(
        client=client,
        form=form,
        redirect_uri=redirect_uri,
        scopes=tuple(form.get("scope", "").split()),
        state=state,
        challenge=form.get("code_challenge", ""),
        wrong=wrong,
    )


def _has_proof_key(form: Form) -> bool:
    try:
        check_challenge(form.get("code_challenge", ""))
    except ValidationError:
        return False
    return form.get("code_challenge_method") == "S256"


def _unknown() -> Problem:
    detail = "the client is not known, or the address is not registered with it"
    return Problem(400, detail, code="invalid_request")


def _sent_back(call: Call, asked: Asked, **said: str) -> Response:
    """To the client's own address, with who we are (RFC 9207)."""
    fields = {**said, "iss": call.gateway.settings.gateway.issuer}
    if asked.state:
        fields["state"] = asked.state
    mark = "&" if "?" in asked.redirect_uri else "?"
    location = f"{asked.redirect_uri}{mark}{urlencode(fields)}"
    return Response(status_code=303, headers={"Location": location, **_headers(asked)})


def _page(call: Call, asked: Asked, status: int, message: str) -> Response:
    days = round(call.gateway.settings.identity.session_s / 86_400)
    hidden = "\n".join(
        f'<input type="hidden" name="{name}" value="{html.escape(asked.form[name])}">'
        for name in _KEPT
        if name in asked.form
    )
    scopes = asked.scopes or tuple(sorted(asked.client.scopes))
    page = _PAGE.format(
        client=html.escape(asked.client.client_id),
        scope=html.escape(", ".join(scopes)),
        target=html.escape(_origin(asked.redirect_uri)),
        message=html.escape(message),
        days=days,
        hidden=hidden,
    )
    return Response(page, status, _headers(asked), "text/html; charset=utf-8")


def _headers(asked: Asked) -> dict[str, str]:
    """A browser also holds the redirect after a form to ``form-action``."""
    policy = (
        "default-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action 'self' {_origin(asked.redirect_uri)}"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


def _origin(redirect_uri: str) -> str:
    parts = urlsplit(redirect_uri)
    return f"{parts.scheme}://{parts.netloc}" if parts.netloc else f"{parts.scheme}:"
