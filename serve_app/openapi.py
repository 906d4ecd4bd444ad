"""The OpenAPI document: made from the routes and from the table of rules, so it cannot drift."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from fastapi.openapi.utils import get_openapi
from starlette.routing import BaseRoute

from serve_app.access import ACCESS, API, Body, Rule
from serve_app.examples import NoWord, example_of

Document = dict[str, Any]

_PROBLEM = "application/problem+json"
_REQUEST = "req_01k0000000000000000000000a"


def _problem(status: int, code: str, title: str, detail: str) -> Document:
    return {
        "type": f"urn:elders-guild:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": f"urn:elders-guild:request:{_REQUEST}",
        "errors": [],
        "request_id": _REQUEST,
    }


_PROBLEMS = {
    "4XX": _problem(429, "overloaded", "Too Many Requests", "the principal's quota is used up"),
    "5XX": _problem(503, "overloaded", "Service Unavailable", "the gateway is full"),
}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "A repeat with the same key and body gets the first answer again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
    "example": "7f1f3c8e-create-1",
}
_OWN_IDENTITY = (Body.INTAKE, Body.EVENTS)
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "description": "The ETag of what is changed.",
    "schema": {"type": "string"},
    "example": '"3"',
}
_IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "description": "There must be none yet.",
    "schema": {"type": "string", "const": "*"},
    "example": "*",
}

_METRICS = """# HELP events_published_total Events committed to the log.
# TYPE events_published_total counter
events_published_total{type="sage.incident.created"} 1.0
"""
_SHOWN: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "GET /metrics": {"text/plain": _METRICS},
        f"POST {API}/events": {
            "application/json": {
                "id": "evt_01k0000000000000000000000a",
                "position": "9-1-1",
                "duplicate": False,
            }
        },
        f"GET {API}/events/schemas/{{type}}": {
            "application/json": {
                "type": "object",
                "properties": {"incident_id": {"type": "string"}},
                "required": ["incident_id"],
            }
        },
    }
)
"""Answers of routes that have no model, by media type."""


def build(title: str, version: str, routes: Sequence[BaseRoute]) -> Document:
    """FastAPI's document, with what the rules add: permissions, headers, the form of problems."""
    document: Document = get_openapi(
        title=title,
        version=version,
        routes=routes,
        description="A team's operational memory that acts.",
    )
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            _complete(operation, method.upper(), ACCESS[f"{method.upper()} {path}"])
    schemas = document.get("components", {}).get("schemas", {})
    for route, operation in _operations(document):
        _illustrate(operation, _SHOWN.get(route, {}), schemas)
    components = document.setdefault("components", {})
    components["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    for unused in ("HTTPValidationError", "ValidationError"):
        components.get("schemas", {}).pop(unused, None)
    return document


def names(document: Document) -> frozenset[str]:
    """Every name that our API gives to anything; what is none of them was made up by a client."""
    found = {"body", "query", "path", "header"}
    for schema in document.get("components", {}).get("schemas", {}).values():
        properties = schema.get("properties", {})
        found.update(properties)
        for one in properties.values():  # which of several it is also stands in a pointer
            found.update(one.get("discriminator", {}).get("mapping", ()))
    for _, operation in _operations(document):
        found.update(parameter["name"] for parameter in operation.get("parameters", ()))
    return frozenset(found)


def _operations(document: Document) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            yield f"{method.upper()} {path}", operation


def _illustrate(
    operation: Mapping[str, Any], shown: Mapping[str, Any], schemas: Mapping[str, Any]
) -> None:
    """Gives each body and each good answer an example, where there is none yet."""
    contents = [operation.get("requestBody", {}).get("content", {})]
    for status, response in operation["responses"].items():
        content = response.setdefault("content", {}) if shown else response.get("content", {})
        if status.startswith("2"):
            for media_type, example in shown.items():
                content.setdefault(media_type, {})["example"] = example
        contents.append(content)
    for content in contents:
        for media in content.values():
            if "example" not in media and "examples" not in media and media.get("schema"):
                with contextlib.suppress(NoWord):  # a test says which word is missing
                    media["example"] = example_of(media["schema"], schemas)


def _complete(operation: dict[str, Any], method: str, rule: Rule) -> None:
    operation["responses"].pop("422", None)
    for status, response in operation["responses"].items():
        content = response.get("content", {})
        if status in _PROBLEMS and "application/json" in content:
            content[_PROBLEM] = {**content.pop("application/json"), "example": _PROBLEMS[status]}
    if not rule.public:
        operation["security"] = [{"bearer": []}]
        operation["x-permissions"] = sorted(rule.needs)
    parameters = operation.setdefault("parameters", [])
    if rule.key_required:
        parameters.append({**_KEY, "required": True})
    elif method == "POST" and rule.body not in _OWN_IDENTITY and not rule.public:
        parameters.append({**_KEY, "required": False})
    if rule.if_match:
        parameters.append({**_IF_MATCH, "required": True})
    if rule.makes:
        parameters += [{**_IF_MATCH, "required": False}, {**_IF_NONE_MATCH, "required": False}]
    if not parameters:
        del operation["parameters"]
