"""Every answer that is not a success: RFC 9457 ``application/problem+json``, one table, one place.

Nothing here repeats what the client sent: no values, no paths, only our own words.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from types import MappingProxyType
from typing import Any

import orjson
from starlette.responses import Response

from actors.clock import ID_PATTERN
from actors.errors import (
    Cycle,
    DeadlineExceeded,
    DependencyUnavailable,
    ElderGuildError,
    Gone,
    HandlerLost,
    InvalidTransition,
    LateAck,
    NotAuthenticated,
    NotAuthorized,
    NotFound,
    Overloaded,
    PositionOfAnotherEpoch,
    StaleIndex,
    ValidationError,
    VersionConflict,
)

STATUS: Mapping[type[ElderGuildError], int] = MappingProxyType(
    {
        ElderGuildError: 500,
        ValidationError: 422,
        NotAuthenticated: 401,
        NotAuthorized: 403,
        NotFound: 404,
        InvalidTransition: 409,
        VersionConflict: 409,  # 412 where the request carried If-Match
        Cycle: 409,
        Overloaded: 503,
        DependencyUnavailable: 503,
        HandlerLost: 503,
        DeadlineExceeded: 504,
        StaleIndex: 504,
        PositionOfAnotherEpoch: 410,
        LateAck: 409,
        Gone: 410,
    }
)
"""The one table from expected failures to HTTP."""

_CODES = {
    400: "bad_request",
    401: "not_authenticated",
    403: "not_authorized",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    412: "precondition_failed",
    413: "payload_too_large",
    414: "uri_too_long",
    415: "unsupported_media_type",
    421: "misdirected_request",
    422: "validation_error",
    428: "precondition_required",
    429: "overloaded",
    431: "headers_too_large",
    500: "internal_error",
    503: "overloaded",
}
_RETRY_AFTER_S = 1.0
_EVENT_ID = re.compile(ID_PATTERN)
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one part of a request.

    Attributes:
        pointer: where, such as ``body/alerts/0/labels``; our own names only.
    """

    pointer: str
    detail: str


class Problem(Exception):
    """A failure of the HTTP exchange itself, such as a missing header or a body that is too large.

    Attributes:
        code: last part of the problem's type.
        extra: further members of the problem document.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str = "",
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] = _NO_HEADERS,
        extra: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.code = code or _CODES.get(status, "error")
        self.errors = tuple(errors)
        self.headers = headers
        self.extra = extra


def problem_of(error: ElderGuildError, *, conditional: bool = False) -> Problem:
    """The problem that an expected failure becomes.

    Args:
        error: what a sage, or the way to it, answered.
        conditional: the request carried ``If-Match``, so a version conflict is its failure.
    """
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    detail, code = str(error), error.code
    match error:
        case VersionConflict() if conditional:
            return Problem(412, "the entity is not at the version that the request expects")
        case ValidationError():
            errors = (FieldError(error.field, error.reason),)
            return Problem(status, "the request is not valid", code=code, errors=errors)
        case NotAuthenticated():
            return Problem(status, detail, code=code, headers={"WWW-Authenticate": "Bearer"})
        case Cycle():
            return Problem(
                status, "this would close a ring", code=code, extra={"cycle": list(error.ids)}
            )
        case LateAck() if _EVENT_ID.fullmatch(error.event_id):
            return Problem(status, detail, code=code, extra={"event_id": error.event_id})
        case PositionOfAnotherEpoch():
            return Problem(status, f"{detail}; leave it out and begin anew", code=code)
        case Overloaded():
            return Problem(status, detail, code=code, headers=retry_after(error.retry_after_s))
        case _ if status == 500:
            return Problem(500, "something failed on our side; it has been logged")
        case _ if error.retryable:
            return Problem(status, detail, code=code, headers=retry_after(_RETRY_AFTER_S))
        case _:
            return Problem(status, detail, code=code)


def retry_after(seconds: float) -> dict[str, str]:
    """The header, in whole seconds as it must be."""
    return {"Retry-After": str(max(1, math.ceil(seconds)))}


def render(problem: Problem, request_id: str) -> Response:
    """The problem document."""
    document = {
        "type": f"urn:elders-guild:problem:{problem.code}",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "detail": problem.detail,
        "instance": f"urn:elders-guild:request:{request_id}",
        "errors": [{"pointer": one.pointer, "detail": one.detail} for one in problem.errors],
        "request_id": request_id,
        **problem.extra,
    }
    return Response(
        orjson.dumps(document),
        status_code=problem.status,
        headers=dict(problem.headers),
        media_type="application/problem+json",
    )


_OAUTH_ERRORS = {
    400: "invalid_request",
    401: "invalid_client",
    413: "invalid_request",
    415: "invalid_request",
    422: "invalid_request",
    429: "temporarily_unavailable",
    503: "temporarily_unavailable",
    504: "temporarily_unavailable",
}


def render_oauth(problem: Problem) -> Response:
    """The same in the form of RFC 6749, section 5.2, for everything below ``/oauth``."""
    known = _OAUTH_ERRORS.get(problem.status, "server_error")
    code = problem.code if problem.code in OAUTH_CODES else known
    return Response(
        orjson.dumps({"error": code, "error_description": problem.detail}),
        status_code=400 if problem.status == 422 else problem.status,
        headers={**problem.headers, "Cache-Control": "no-store", "Pragma": "no-cache"},
        media_type="application/json",
    )


OAUTH_CODES = frozenset(
    {
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "invalid_scope",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)
"""Problem codes that are RFC 6749's own."""
