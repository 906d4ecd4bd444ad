"""The little of protobuf that reading and writing an ONNX file needs.

The `onnx` package would do the same and bring its own protobuf code with it. Numbers of fields are
those of ``onnx.proto``, where the format is fixed for good.
"""

import struct
from collections.abc import Iterator

_VARINT, _EIGHT_BYTES, _BLOCK, _FOUR_BYTES = 0, 1, 2, 5
_SIZES = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Number and value of every field, in their order; strings and messages as views.

    Raises:
        ValueError: it is no protobuf message, or one that is cut off.
    """
    at = 0
    while at < len(message):
        key, at = _read_varint(message, at)
        number, form = key >> 3, key & 7
        if form == _VARINT:
            value, at = _read_varint(message, at)
            yield number, value
            continue
        if form == _BLOCK:
            size, at = _read_varint(message, at)
        elif form in _SIZES:
            size = _SIZES[form]
        else:
            raise ValueError(f"no field has the form {form}")
        if at + size > len(message):
            raise ValueError("the message ends within a field")
        yield number, message[at : at + size]
        at += size


def number(field: int, value: int) -> bytes:
    """A field with an integer.

    Raises:
        ValueError: it is negative.
    """
    if value < 0:
        raise ValueError("a negative number has another form")
    return _varint(field << 3 | _VARINT) + _varint(value)


def real(field: int, value: float) -> bytes:
    """A field with a 32-bit float."""
    return _varint(field << 3 | _FOUR_BYTES) + struct.pack("<f", value)


def block(field: int, body: bytes) -> bytes:
    """A field with bytes or a message."""
    return _varint(field << 3 | _BLOCK) + _varint(len(body)) + body


def text(field: int, value: str) -> bytes:
    """A field with a string."""
    return block(field, value.encode())


def _varint(value: int) -> bytes:
    groups = bytearray()
    while value > 0x7F:
        groups.append(value & 0x7F | 0x80)
        value >>= 7
    groups.append(value)
    return bytes(groups)


def _read_varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("the message ends within a number")
        group = message[at]
        value |= (group & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if group < 0x80:
            return value, at
