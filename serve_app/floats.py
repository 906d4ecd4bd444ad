"""A vector in a request."""

from typing import Annotated

from pydantic import PlainValidator, WithJsonSchema

from actors.floats import float32

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
"""A list of numbers, or the base64 of little-endian float32; as the latter's bytes.

Whether they are finite, and as many as they should be, is the sage's to say; the body's own bounds
are theirs.
"""
