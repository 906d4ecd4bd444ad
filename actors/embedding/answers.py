"""What an embeddings API is asked and answers, as bytes and back. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from actors import floats
from actors.embedding.messages import Vectors


class BadAnswer(ValueError):
    """Not the vectors that were asked for. The sentence names what is wrong, never a text."""


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
        data = orjson.loads(body)["data"]
    except (ValueError, TypeError, KeyError):
        raise BadAnswer("not an answer of the embeddings API") from None
    if not isinstance(data, list) or not all(isinstance(one, dict) for one in data[: texts + 1]):
        raise BadAnswer("not an answer of the embeddings API")
    if len(data) != texts:  # before anything is looked at: it may be millions
        raise BadAnswer(f"{len(data)} vectors for {texts} texts")
    return np.stack([_vector(one.get("embedding"), dimension) for one in _in_order(data)])


def _in_order(data: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    places = [one.get("index", at) for at, one in enumerate(data)]
    if any(type(place) is not int for place in places) or sorted(places) != [*range(len(data))]:
        raise BadAnswer("places that are not those of the texts")
    return [one for _, one in sorted(zip(places, data, strict=True), key=lambda pair: pair[0])]


def _vector(embedding: object, dimension: int) -> Vectors:
    try:
        vector = floats.unit(floats.float32(embedding))
    except ValueError as error:
        raise BadAnswer(f"a vector whose numbers {error}") from None
    if vector.size != dimension:
        raise BadAnswer(f"a vector of dimension {vector.size} where {dimension} is set")
    return vector
