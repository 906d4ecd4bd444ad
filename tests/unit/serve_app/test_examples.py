"""The OpenAPI document shows an example of every body and every answer, and each is a true one."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import orjson
import pytest

from serve_app.examples import NoWord, example_of
from tests.fixtures.gateway import app_over

DOCUMENT: dict[str, Any] = orjson.loads(app_over({}).state.openapi)
SCHEMAS: dict[str, Any] = DOCUMENT["components"]["schemas"]
ROUTES = {
    f"{method.upper()} {path}": operation
    for path, operations in DOCUMENT["paths"].items()
    for method, operation in operations.items()
}
EMPTY = {"POST /oauth/revoke"}  # RFC 7009 wants 200 and nothing


def bodies(operation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for media_type, media in operation.get("requestBody", {}).get("content", {}).items():
        yield f"body {media_type}", media
    for status, response in operation["responses"].items():
        for media_type, media in response.get("content", {}).items():
            yield f"{status} {media_type}", media


def fits(value: object, schema: dict[str, Any]) -> None:
    jsonschema.validate(
        value,
        {**schema, "components": {"schemas": SCHEMAS}},
        cls=jsonschema.Draft202012Validator,
    )


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_shows_its_body_its_answer_and_a_problem(route: str) -> None:
    responses = ROUTES[route]["responses"]

    good = {status for status in responses if status.startswith(("2", "3"))}
    assert good
    if route not in EMPTY:
        assert all(responses[status].get("content") for status in good - {"204", "303"})
    for where, media in bodies(ROUTES[route]):
        assert "example" in media or media.get("examples"), f"{where}: {missing(media)}"
    for status in ("4XX", "5XX"):
        assert responses[status]["content"]["application/problem+json"]["example"]


@pytest.mark.parametrize("route", ROUTES)
def test_every_example_is_what_its_schema_says(route: str) -> None:
    for where, media in bodies(ROUTES[route]):
        schema = media.get("schema", {})
        if "example" in media and "event-stream" not in where:
            fits(media["example"], schema)


def missing(media: dict[str, Any]) -> str:
    try:
        example_of(media.get("schema", {}), SCHEMAS)
    except NoWord as error:
        return f"WORDS in serve_app/examples.py does not say what {error} holds"
    return "no schema and no example"


def test_a_name_nobody_knows_has_no_example() -> None:
    schema = {"type": "object", "properties": {"quux": {"type": "string"}}}

    with pytest.raises(NoWord, match="quux"):
        example_of(schema, {})
