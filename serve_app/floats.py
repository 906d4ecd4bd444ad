"""A vector in a request: numbers, or base64, to float32 without a Python object a number."""

import binascii
from typing import Annotated

import numpy as np
from pydantic import PlainValidator, WithJsonSchema

_WIDTH = 4
_NUMBERS = frozenset((int, float))


def float32(value: object) -> bytes:
    """Little-endian float32, one behind the other.

    Whether they are finite, and as many as they should be, is the sage's to say; the body's own
    bounds are theirs.

    Raises:
        ValueError: it is neither numbers nor strict base64 of whole float32.
    """
    match value:
        case str():
            return _decoded(value)
        case list():
            return _packed(value)
        case _:
            raise ValueError("must be a list of numbers, or base64")


def _decoded(text: str) -> bytes:
    try:
        values = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # binascii's own, and what is not ASCII
        raise ValueError("are not base64") from None
    if not values or len(values) % _WIDTH:
        raise ValueError("are not whole float32 numbers")
    return values


def _packed(numbers: list[object]) -> bytes:
    if not numbers:
        raise ValueError("are no numbers")
    if not _NUMBERS.issuperset(map(type, numbers)):  # a bool is none
        raise ValueError("hold something that is not a number")
    with np.errstate(over="ignore"):  # becomes infinite, and is refused as such
        return np.array(numbers, np.float64).astype("<f4").tobytes()


Floats = Annotated[
    bytes,
    PlainValidator(float32),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "array", "items": {"type": "number"}, "minItems": 1},
                {"type": "string", "contentEncoding": "base64"},
            ]
        }
    ),
]
"""A list of numbers, or the base64 of little-endian float32; as the latter's bytes."""
