"""Vectors that documents bring: checked, normalised, told apart. Pure."""

import hashlib
from dataclasses import replace

import numpy as np

from actors.embedding.identity import ModelIdentity
from actors.errors import ValidationError
from actors.rag.messages import GivenVector, StoreDocument

_FLOAT32 = np.dtype("<f4")


def normalised(command: StoreDocument, model: ModelIdentity, max_chars: int) -> StoreDocument:
    """The command with its vector at unit length; as it is where it brings none.

    Args:
        command: its content is kept as one passage if it brings a vector.
        model: what the vector must come from.
        max_chars: of that passage.

    Raises:
        ValidationError: the vector is of another model or dimension, is not finite or has no
            direction, or the content is too long for one passage.
    """
    vector = command.vector
    if vector is None:
        return command
    if vector.model != model.model_id:
        raise ValidationError("vector/model", f"is not {model.model_id}, which this guild uses")
    if len(vector.values) != model.dimension * _FLOAT32.itemsize:
        raise ValidationError("vector/values", f"are not {model.dimension} numbers")
    if len(command.content) > max_chars:
        raise ValidationError("content", f"at most {max_chars} characters beside a vector")
    numbers = np.frombuffer(vector.values, _FLOAT32).astype(np.float64)
    length = float(np.sqrt(numbers @ numbers))
    if not np.isfinite(length):
        raise ValidationError("vector/values", "hold a number that is not finite as float32")
    if length == 0:
        raise ValidationError("vector/values", "are all zero: such a vector is near to nothing")
    unit = (numbers / length).astype(_FLOAT32)
    return replace(command, vector=replace(vector, values=unit.tobytes()))


def digest(vector: GivenVector | None) -> str | None:
    """SHA-256 of model and numbers, in hexadecimal; None without a vector."""
    if vector is None:
        return None
    return hashlib.sha256(vector.model.encode() + b"\x00" + vector.values).hexdigest()
