"""Vectors that documents bring: checked, normalised, told apart. Pure."""

import hashlib

from actors import floats
from actors.embedding.identity import ModelIdentity
from actors.errors import ValidationError
from actors.rag.messages import GivenVector


def unit(vector: GivenVector | None) -> GivenVector | None:
    """The vector at length 1; None where there is none.

    Raises:
        ValidationError: it is not finite or has no direction.
    """
    if vector is None:
        return None
    try:
        values = floats.unit(vector.values).astype("<f4", copy=False).tobytes()
    except ValueError as error:
        raise ValidationError("vector/values", str(error)) from None
    return GivenVector(model=vector.model, values=values)


def check(vector: GivenVector | None, model: ModelIdentity) -> None:
    """Whether it can be compared with the others of the guild.

    Raises:
        ValidationError: it is of another model or dimension.
    """
    if vector is None:
        return
    if vector.model != model.model_id:
        raise ValidationError("vector/model", f"is not {model.model_id}, which this guild uses")
    if len(vector.values) != model.dimension * floats.WIDTH:
        raise ValidationError("vector/values", f"are not {model.dimension} numbers")


def digest(vector: GivenVector | None) -> str | None:
    """SHA-256 of model and numbers, in hexadecimal; None without a vector."""
    if vector is None:
        return None
    return hashlib.sha256(vector.model.encode() + b"\x00" + vector.values).hexdigest()
