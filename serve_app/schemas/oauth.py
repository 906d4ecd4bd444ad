"""What the forms of OAuth hold, for the OpenAPI document, and what introspection answers."""

from collections.abc import Mapping
from typing import Any

from serve_app.strict import View


def form(required: tuple[str, ...], example: Mapping[str, str], *optional: str) -> dict[str, Any]:
    """The ``openapi_extra`` of a route that reads a form."""
    names = (*required, *optional, "client_id", "client_secret")
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/x-www-form-urlencoded": {
                    "schema": {
                        "type": "object",
                        "required": list(required),
                        "properties": {name: {"type": "string"} for name in names},
                    },
                    "example": dict(example),
                }
            },
        }
    }


TOKEN = form(
    ("grant_type",),
    {"grant_type": "client_credentials", "scope": "write sage.incident"},
    "scope",
    "code",
    "redirect_uri",
    "code_verifier",
    "refresh_token",
)
REVOKE = form(("token",), {"token": "…"}, "token_type_hint")  # nosec B105  # an ellipsis
INTROSPECT = form(("token",), {"token": "…"}, "token_type_hint")  # nosec B105  # an ellipsis


class IntrospectionView(View):
    """What a token is good for (RFC 7662, section 2.2); of a bad one only that it is."""

    active: bool
    scope: str | None = None
    client_id: str | None = None
    sub: str | None = None
    exp: int | None = None
    iat: int | None = None
    iss: str | None = None
    aud: str | None = None
    jti: str | None = None
    token_type: str | None = None
