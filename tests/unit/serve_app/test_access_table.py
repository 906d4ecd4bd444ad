"""The one table of routes."""

import re

import orjson
import pytest
from fastapi import FastAPI
from fastapi.responses import Response

from actors.runtime.message import Permission
from serve_app import access
from serve_app.access import ACCESS, Body, UndeclaredRoute
from serve_app.http import routes
from serve_app.route import new_router
from tests.fixtures.gateway import app_over

BUS = {"subscriptions", "deadletters", "replays", "timers", "erasures"}
SHOWING_EVENTS = ("deadletters", "timers")
PEOPLE = ("users", "clients")
NO_SAGES = BUS | {"events", *PEOPLE}
ELDER = {Permission.READ, Permission.DELETE}


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return app_over({})


def test_the_router_is_the_table(app: FastAPI) -> None:
    assert routes(app).keys() == ACCESS.keys()


def test_a_route_without_a_rule_stops_the_start() -> None:
    router = new_router()

    with pytest.raises(UndeclaredRoute, match="GET /api/v1/secrets"):

        @router.get("/api/v1/secrets")
        async def secrets() -> Response:
            return Response()


def test_a_rule_without_a_route_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    extended = {**ACCESS, "GET /api/v1/nowhere": access.Rule(public=True)}
    monkeypatch.setattr(access, "ACCESS", extended)

    with pytest.raises(UndeclaredRoute, match="nowhere"):
        app_over({})


def test_only_these_routes_are_public() -> None:
    public = {route for route, rule in ACCESS.items() if rule.public}

    assert public == {
        "GET /healthz",
        "GET /readyz",
        "GET /metrics",
        "GET /openapi.json",
        "POST /oauth/login",
        "POST /oauth/token",
        "GET /oauth/authorize",
        "POST /oauth/authorize",
        "POST /oauth/revoke",
        "POST /oauth/introspect",
        "GET /oauth/jwks.json",
        "GET /.well-known/oauth-authorization-server",
        "GET /.well-known/oauth-protected-resource",
    }


def test_every_other_route_needs_a_permission_and_no_reading_route_can_write() -> None:
    for route, rule in ACCESS.items():
        if rule.public:
            continue
        assert rule.needs, route
        if route.partition("/api/v1/")[2].startswith(PEOPLE):
            assert rule.needs == {Permission.ADMIN}, route
        elif route.startswith("GET "):
            hears = route.removeprefix("GET /api/v1/").startswith(SHOWING_EVENTS)
            needs = ELDER if hears else {Permission.READ}
            audit = route == "GET /api/v1/audit"
            assert rule.needs == ({Permission.ADMIN} if audit else needs), route
            assert rule.body is Body.NONE, route


def test_whatever_changes_a_sage_needs_that_sages_permission() -> None:
    sages = {
        "incidents": Permission.INCIDENT,
        "alerts": Permission.INCIDENT,
        "tasks": Permission.TASK,
        "knowledge": Permission.KNOWLEDGE,
        "rag": Permission.RAG,
    }
    for route, rule in ACCESS.items():
        area = re.match(r"(?:POST|PUT|PATCH|DELETE) /api/v1/(\w+)", route)
        if area is not None and area[1] not in NO_SAGES:
            assert sages[area[1]] in rule.needs, route


def test_what_makes_events_reach_somebody_is_an_elders_and_erasing_an_administrators() -> None:
    for route, rule in ACCESS.items():
        area = re.match(r"(?:POST|PUT|PATCH|DELETE) /api/v1/(\w+)", route)
        if area is not None and area[1] in BUS:
            elder = ELDER | {Permission.WRITE}
            assert rule.needs == ({Permission.ADMIN} if area[1] == "erasures" else elder), route


def test_whoever_may_write_may_publish_events_which_are_no_sages() -> None:
    assert ACCESS["POST /api/v1/events"].needs == {Permission.WRITE}


def test_what_replaces_or_deletes_needs_if_match() -> None:
    without = {
        route
        for route, rule in ACCESS.items()
        if route.startswith(("PATCH ", "PUT ", "DELETE ")) and not rule.if_match
    }

    assert without == {
        "DELETE /api/v1/tasks/{task_id}/relations/{kind}/{other_id}",
        "PUT /api/v1/subscriptions/{name}",
    }
    assert [route for route, rule in ACCESS.items() if rule.makes] == [
        "PUT /api/v1/subscriptions/{name}"
    ]


def test_openapi_is_the_router_with_permissions_and_examples(app: FastAPI) -> None:
    document = orjson.loads(app.state.openapi)
    operations = {
        f"{method.upper()} {path}": operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }

    assert operations.keys() | {"GET /openapi.json"} == ACCESS.keys()
    for route, operation in operations.items():
        rule = ACCESS[route]
        assert operation.get("x-permissions", []) == sorted(rule.needs), route
        assert ("security" in operation) is not rule.public, route
        assert "application/problem+json" in operation["responses"]["4XX"]["content"], route
        names = {parameter["name"] for parameter in operation.get("parameters", [])}
        assert not rule.key_required or "Idempotency-Key" in names, route
        assert not rule.if_match or "If-Match" in names, route
        assert not rule.makes or {"If-Match", "If-None-Match"} <= names, route
        for content in operation.get("requestBody", {}).get("content", {}).values():
            name = content["schema"].get("$ref", "").rpartition("/")[2]
            schema = document["components"]["schemas"].get(name, {})
            assert "example" in content or "example" in schema, route
