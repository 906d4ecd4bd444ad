"""Vectors as others send them: numbers or base64, to float32 without a Python object a number."""

import binascii
import math

import numpy as np
import numpy.typing as npt

WIDTH = 4
"""Bytes of a number."""
_NUMBERS = frozenset((int, float))


def float32(value: object) -> bytes:
    """Little-endian float32, one behind the other.

    Args:
        value: a list of numbers, or base64 of little-endian float32.

    Raises:
        ValueError: it is neither. The sentence continues one that names the vector.
    """
    match value:
        case str():
            return _decoded(value)
        case list():
            return _packed(value)
        case _:
            raise ValueError("must be a list of numbers, or base64")


def unit(values: bytes, dimension: int | None = None) -> npt.NDArray[np.float32]:
    """The vector at length 1, shape (dimension,).

    Args:
        values: as `float32` answers them.
        dimension: that it must have; None: any.

    Raises:
        ValueError: another dimension, not finite, or without a direction.
    """
    if dimension is not None and len(values) != dimension * WIDTH:
        raise ValueError(f"are not {dimension} numbers")
    numbers = np.frombuffer(values, "<f4").astype(np.float64)  # whose squares do not overflow
    length = math.sqrt(numbers @ numbers)
    if not math.isfinite(length):
        raise ValueError("hold a number that is not finite as float32")
    if length == 0:
        raise ValueError("are all zero: such a vector is near to nothing")
    made: npt.NDArray[np.float32] = (numbers / length).astype(np.float32)
    return made


def _decoded(text: str) -> bytes:
    try:
        values = binascii.a2b_base64(text, strict_mode=True)
    except ValueError:  # binascii's own, and what is not ASCII
        raise ValueError("are not base64") from None
    if not values or len(values) % WIDTH:
        raise ValueError("are not whole float32 numbers")
    return values


def _packed(numbers: list[object]) -> bytes:
    if not numbers:
        raise ValueError("are no numbers")
    if not _NUMBERS.issuperset(map(type, numbers)):  # a bool is none
        raise ValueError("hold something that is not a number")
    try:
        with np.errstate(over="ignore"):  # becomes infinite, and is refused as such
            return np.array(numbers, np.float64).astype("<f4").tobytes()
    except OverflowError:  # an integer beyond any float
        raise ValueError("hold a number that is not finite as float32") from None
