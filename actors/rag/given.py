"""Vectors that documents bring: checked, normalised, told apart. Pure."""

import hashlib
import math

import numpy as np

from actors.embedding.identity import ModelIdentity
from actors.errors import ValidationError
from actors.rag.messages import GivenVector

_FLOAT32 = np.dtype("<f4")


def unit(vector: GivenVector | None, model: ModelIdentity) -> GivenVector | None:
    """The vector at length 1; None where there is none.

    Raises:
        ValidationError: it is of another model or dimension, is not finite or has no direction.
    """
    if vector is None:
        return None
    if vector.model != model.model_id:
        raise ValidationError("vector/model", f"is not {model.model_id}, which this guild uses")
    if len(vector.values) != model.dimension * _FLOAT32.itemsize:
        raise ValidationError("vector/values", f"are not {model.dimension} numbers")
    numbers = np.frombuffer(vector.values, _FLOAT32).astype(np.float64)
    length = math.sqrt(numbers @ numbers)
    if not math.isfinite(length):
        raise ValidationError("vector/values", "hold a number that is not finite as float32")
    if length == 0:
        raise ValidationError("vector/values", "are all zero: such a vector is near to nothing")
    values = (numbers / length).astype(_FLOAT32).tobytes()
    return GivenVector(model=vector.model, values=values)


def digest(vector: GivenVector | None) -> str | None:
    """SHA-256 of model and numbers, in hexadecimal; None without a vector."""
    if vector is None:
        return None
    return hashlib.sha256(vector.model.encode() + b"\x00" + vector.values).hexdigest()
