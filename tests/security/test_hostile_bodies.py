"""Every route that reads JSON, against over 500 bodies: not one makes us fail.

The usual run sends each route another quarter of its bodies, the long one all of them.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import pytest
from fastapi import FastAPI

from actors import clock
from serve_app.access import ACCESS, Body
from tests.fixtures.asgi import Answered, send, unheard
from tests.fixtures.gateway import token_of, whole_app
from tests.security.hostile_bodies import MARK, corpus

MOST = 520
PARTS = 4
KINDS = ("application/json", "application/cloudevents+json")
SOME_ID = "task_01k0000000000000000000000a"


@pytest.fixture(scope="module")
def app() -> Iterator[FastAPI]:
    with unheard():
        yield whole_app()


def routes_with_json() -> dict[str, dict[str, Any]]:
    """A good body of each route that reads JSON, as the document shows it."""
    paths = orjson.loads(whole_app().state.openapi)["paths"]
    found: dict[str, dict[str, Any]] = {}
    for path, operations in paths.items():
        for method, operation in operations.items():
            content = operation.get("requestBody", {}).get("content", {})
            good = [content[kind] for kind in KINDS if "example" in content.get(kind, {})]
            if good and isinstance(good[-1]["example"], dict):
                found[f"{method.upper()} {path}"] = good[-1]["example"]
    return found


GOOD = routes_with_json()


def test_every_route_with_a_json_body_is_tried() -> None:
    others = (Body.NONE, Body.FORM, Body.FILE)
    reading = {route for route, rule in ACCESS.items() if rule.body not in others}

    assert GOOD.keys() == reading


def test_the_corpus_is_large_and_the_same_on_every_run() -> None:
    good = {"name": "a", "tags": ["b"]}

    assert len(corpus(good)) >= 500
    assert corpus(good, MOST) == corpus(good, MOST)
    assert all(len(corpus(body, MOST)) >= 500 for body in GOOD.values())


@pytest.mark.parametrize("route", GOOD)
async def test_no_body_of_a_part_makes_a_route_fail(app: FastAPI, route: str) -> None:
    await try_bodies(
        app, route, corpus(GOOD[route], MOST)[list(GOOD).index(route) % PARTS :: PARTS]
    )


@pytest.mark.long
@pytest.mark.parametrize("route", GOOD)
async def test_no_body_makes_a_route_fail(app: FastAPI, route: str) -> None:
    await try_bodies(app, route, corpus(GOOD[route], MOST))


async def try_bodies(app: FastAPI, route: str, bodies: Sequence[bytes]) -> None:
    method, path = route.split(" ")
    url = re.sub(r"{\w+}", SOME_ID, path.replace("{name}", "billing"))
    kind = b"application/cloudevents+json" if path.endswith("/events") else b"application/json"
    token = token_of(app).encode()

    for body in bodies:
        headers = [
            (b"authorization", b"Bearer " + token),
            (b"content-type", kind),
            (b"idempotency-key", clock.new_id("key").encode()),
        ]
        if ACCESS[route].if_match:
            headers.append((b"if-match", b'"1"'))
        answered = await send(app, method, url.encode(), headers=headers, body=body)

        check(answered, body)


def check(answered: Answered, body: bytes) -> None:
    assert answered.status < 500, (answered, body[:500])
    if answered.status < 400:
        return
    assert MARK.encode() not in answered.body, body[:500]
    problem = json.loads(answered.body)
    if answered.header("content-type") == "application/problem+json":
        assert problem["status"] == answered.status
    else:
        assert problem["error"]
