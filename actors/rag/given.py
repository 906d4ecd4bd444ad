"""Vectors that documents bring: checked, normalised, told apart. Pure."""

import hashlib

from actors import floats
from actors.embedding.identity import ModelIdentity
from actors.errors import ValidationError
from actors.rag.messages import GivenVector


def unit(vector: GivenVector | None, model: ModelIdentity) -> GivenVector | None:
    """The vector at length 1; None where there is none.

    Raises:
        ValidationError: it is of another model or dimension, is not finite or has no direction.
    """
    if vector is None:
        return None
    if vector.model != model.model_id:
        raise ValidationError("vector/model", f"is not {model.model_id}, which this guild uses")
    try:
        values = floats.unit(vector.values, model.dimension).astype("<f4").tobytes()
    except ValueError as error:
        raise ValidationError("vector/values", str(error)) from None
    return GivenVector(model=vector.model, values=values)


def digest(vector: GivenVector | None) -> str | None:
    """SHA-256 of model and numbers, in hexadecimal; None without a vector."""
    if vector is None:
        return None
    return hashlib.sha256(vector.model.encode() + b"\x00" + vector.values).hexdigest()
