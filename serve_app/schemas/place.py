"""Places in the log, as requests name them and answers show them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator, TypeAdapter

from actors.bus.messages import Origin
from actors.runtime.message import Position
from serve_app.strict import Moment, Strict


class AtPosition(Strict):
    """Behind a position that this server gave out, itself not included."""

    position: str = Field(max_length=64, examples=["1-7421-12"])


class AtTime(Strict):
    """From a time on, itself included, by when events were recorded."""

    time: Moment = Field(examples=["2026-03-01T12:00:00Z"])


_moment: TypeAdapter[datetime] = TypeAdapter(Moment)
_WRONG = 'is neither "beginning" nor "end" nor {"position": …} nor {"time": …}'


def _place(value: object) -> Origin:
    match value:
        case "beginning":
            return "beginning"
        case "end":
            return "end"
        case {"position": str(text), **others} if not others:
            return _position(text)
        case {"time": str(text), **others} if not others:
            return _time(text)
        case _:
            raise ValueError(_WRONG)


def _position(text: str) -> Position:
    try:
        return Position.parse(text)
    except ValueError:
        raise ValueError("the position is not one that this server gave out") from None


def _time(text: str) -> datetime:
    try:
        return _moment.validate_python(text)
    except ValueError:  # its own words would repeat the text
        raise ValueError("the time is none in the form of RFC 3339, with an offset") from None


Place = Annotated[
    Any,
    PlainValidator(
        _place, json_schema_input_type=Literal["beginning", "end"] | AtPosition | AtTime
    ),
]
"""Where to begin or end; an `Origin` once it is validated."""

Seconds = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]

ShownPosition = Annotated[str, BeforeValidator(str)]
"""A position in an answer."""
