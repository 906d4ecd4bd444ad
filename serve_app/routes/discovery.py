"""What a client can find out by itself: our endpoints, our keys, who issues our tokens."""

import orjson
from fastapi.responses import Response

from actors.runtime.message import Permission
from serve_app.call import Current
from serve_app.route import new_router
from serve_app.strict import View

router = new_router()
_SCOPES = tuple(permission.value for permission in Permission)
_CLIENT_AUTH = ("client_secret_basic", "client_secret_post")


class KeysView(View):
    """A JWK set (RFC 7517)."""

    keys: tuple[dict[str, str], ...]


class ServerView(View):
    """RFC 8414."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str
    introspection_endpoint: str
    jwks_uri: str
    scopes_supported: tuple[str, ...] = _SCOPES
    response_types_supported: tuple[str, ...] = ("code",)
    response_modes_supported: tuple[str, ...] = ("query",)
    grant_types_supported: tuple[str, ...]
    token_endpoint_auth_methods_supported: tuple[str, ...] = (*_CLIENT_AUTH, "none")
    revocation_endpoint_auth_methods_supported: tuple[str, ...] = (*_CLIENT_AUTH, "none")
    introspection_endpoint_auth_methods_supported: tuple[str, ...] = _CLIENT_AUTH
    code_challenge_methods_supported: tuple[str, ...] = ("S256",)
    authorization_response_iss_parameter_supported: bool = True


class ResourceView(View):
    """RFC 9728."""

    resource: str
    authorization_servers: tuple[str, ...]
    jwks_uri: str
    scopes_supported: tuple[str, ...] = _SCOPES
    bearer_methods_supported: tuple[str, ...] = ("header",)
    resource_name: str = "Elders Guild"


@router.get("/.well-known/oauth-authorization-server", response_model=ServerView)
async def authorization_server(call: Current) -> Response:
    """Says where tokens are got, and how."""
    settings = call.gateway.settings
    issuer = settings.gateway.issuer
    grants = ["client_credentials", "authorization_code", "refresh_token"]
    if settings.allow_password_grant:
        grants.append("password")
    view = ServerView(
        issuer=issuer,
        authorization_endpoint=f"{issuer}/oauth/authorize",
        token_endpoint=f"{issuer}/oauth/token",
        revocation_endpoint=f"{issuer}/oauth/revoke",
        introspection_endpoint=f"{issuer}/oauth/introspect",
        jwks_uri=f"{issuer}/oauth/jwks.json",
        grant_types_supported=tuple(grants),
    )
    return call.reply(view)


@router.get("/.well-known/oauth-protected-resource", response_model=ResourceView)
async def protected_resource(call: Current) -> Response:
    """Says who issues the tokens that this API takes."""
    issuer = call.gateway.settings.gateway.issuer
    view = ResourceView(
        resource=issuer, authorization_servers=(issuer,), jwks_uri=f"{issuer}/oauth/jwks.json"
    )
    return call.reply(view)


@router.get("/oauth/jwks.json", response_model=KeysView)
async def keys(call: Current) -> Response:
    """Lists the public keys of the ring; a token names its own by `kid`."""
    return call.reply(orjson.dumps(call.gateway.tokens.jwks))
