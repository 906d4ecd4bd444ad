"""Models that several parts of the API share."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from actors.events import SourceType
from serve_app.strict import Line, Strict, View, Words


class Paging(Strict):
    """Which part of a list is asked for."""

    limit: int = Field(default=20, ge=1, le=100)
    cursor: str | None = Field(default=None, max_length=512, pattern="^[A-Za-z0-9_=-]+$")


class Reason(Strict):
    """Why something is done."""

    reason: Words = Field(max_length=2_000)

    model_config = ConfigDict(
        json_schema_extra={"example": {"reason": "the alert came back within an hour"}}
    )


Person = Annotated[Line, Field(max_length=128)]
"""Id of a user or a client."""


class EvidenceView(View):
    """One line of a dossier."""

    source_type: SourceType
    source_id: str
    external_id: str | None
    title: str
    excerpt: str
    score: float
    strong: bool
    reasons: tuple[str, ...]


class RunbookStepView(View):
    """One step of a runbook."""

    title: str
    detail: str


class FieldErrorView(View):
    """What is wrong with one part of a request."""

    pointer: str
    detail: str


class ProblemView(View):
    """RFC 9457; what every answer of 4xx and 5xx looks like."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: tuple[FieldErrorView, ...]
    request_id: str

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": "urn:elders-guild:problem:not_found",
                "title": "Not Found",
                "status": 404,
                "detail": "no such incident",
                "instance": "urn:elders-guild:request:req_01k0000000000000000000000a",
                "errors": [],
                "request_id": "req_01k0000000000000000000000a",
            }
        }
    )


Example = dict[str, Any]


def example(**fields: Any) -> Example:
    """The ``json_schema_extra`` that shows one example in the OpenAPI document."""
    return {"example": fields}
