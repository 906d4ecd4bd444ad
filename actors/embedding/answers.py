"""What an embeddings API is asked and answers, as bytes and back. Pure."""

import base64
import binascii
from collections.abc import Sequence
from typing import Annotated

import numpy as np
import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actors.embedding.messages import Vectors


class BadAnswer(ValueError):
    """Not the vectors that were asked for. The sentence names what is wrong, never a text."""


class _One(BaseModel):
    model_config = ConfigDict(extra="ignore")

    index: int | None = None
    embedding: str | Annotated[list[float], Field(min_length=1)]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="ignore")

    data: list[_One]


def request(model: str, texts: Sequence[str], *, encoding: str) -> bytes:
    """The body of a request; ``encoding`` is ``base64`` or ``float``."""
    return orjson.dumps({"model": model, "input": list(texts), "encoding_format": encoding})


def sendable(text: str, max_chars: int) -> str:
    """Cut, without what UTF-8 has no form for, and never empty, which such servers refuse."""
    return text[:max_chars].encode("utf-8", "replace").decode() or " "


def vectors(body: bytes, *, texts: int, dimension: int) -> Vectors:
    """The unit vectors of an answer, in the order of the texts; shape (texts, dimension).

    Numbers come as base64 of little-endian float32 or as a list, whatever was asked for.

    Raises:
        BadAnswer: other vectors than were asked for, or none of length 1 can be made of them.
    """
    try:
        answer = _Answer.model_validate_json(body)
    except ValidationError as error:
        count = error.error_count()
        raise BadAnswer(f"not an answer of the embeddings API: {count} errors") from None
    if len(answer.data) != texts:
        raise BadAnswer(f"{len(answer.data)} vectors for {texts} texts")
    made = np.stack([_numbers(one, dimension) for one in _in_order(answer.data)])
    with np.errstate(over="ignore"):  # the length is infinite then, and refused
        lengths = np.linalg.norm(made.astype(np.float64), axis=1, keepdims=True)
    if not np.isfinite(lengths).all():
        raise BadAnswer("a vector with a number that is not finite")
    if not (lengths > 0).all():
        raise BadAnswer("a vector of length zero")
    unit: Vectors = (made / lengths).astype(np.float32)
    return unit


def _in_order(data: Sequence[_One]) -> Sequence[_One]:
    places = [at if one.index is None else one.index for at, one in enumerate(data)]
    if sorted(places) != list(range(len(data))):
        raise BadAnswer("places that are not those of the texts")
    return [one for _, one in sorted(zip(places, data, strict=True), key=lambda pair: pair[0])]


def _numbers(one: _One, dimension: int) -> Vectors:
    if isinstance(one.embedding, str):
        try:
            raw = base64.b64decode(one.embedding, validate=True)
        except binascii.Error:
            raise BadAnswer("a vector that is no base64") from None
        if len(raw) % 4:
            raise BadAnswer("a vector that is no float32")
        found = np.frombuffer(raw, "<f4")
    else:
        found = np.array(one.embedding, np.float64)
    if len(found) != dimension:
        raise BadAnswer(f"a vector of dimension {len(found)} where {dimension} is set")
    made: Vectors = found
    return made
