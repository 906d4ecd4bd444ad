"""The key ring of ``SECRET_KEY``: the key that seals now, and those that sealed before. Pure.

A key of the ring encrypts nothing itself: each use derives a key of its own from it.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_MIN_BYTES = 32
_KID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class BadKeyRing(ValueError):
    """``SECRET_KEY`` cannot be used; the text says why and never what it holds."""


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Keys by their ids.

    Attributes:
        present: id of the key that is used from now on; None: there is none.
    """

    present: str | None = None
    _keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, secret: str) -> Self:
        """The ring that a text holds.

        Args:
            secret: JSON ``[{"kid", "key"}]``, the present key first, or any other text, which is
                one key whose id follows from it. An older key is also found under the id that it
                had when it was the whole text. Empty: no keys.

        Raises:
            BadKeyRing: it cannot be understood, or a key has fewer than 32 bytes.
        """
        if not secret:
            return cls()
        keys = _listed(secret) if secret.lstrip().startswith("[") else _alone(secret)
        if any(len(key) < _MIN_BYTES for key in keys.values()):
            raise BadKeyRing("SECRET_KEY must hold keys of at least 32 bytes")
        return cls(next(iter(keys)), {_id_of(key): key for key in keys.values()} | keys)

    def derive(self, kid: str, purpose: str) -> bytes:
        """32 bytes for one purpose, the same in every process.

        Raises:
            BadKeyRing: the ring has no key of this id.
        """
        key = self._keys.get(kid)
        if key is None:
            raise BadKeyRing(f"SECRET_KEY holds no key {kid}")
        return _derive(key, purpose, _MIN_BYTES)


def _alone(secret: str) -> dict[str, bytes]:
    key = secret.encode()
    return {_id_of(key): key}


def _listed(secret: str) -> dict[str, bytes]:
    try:
        entries: Any = json.loads(secret)
        keys = {entry["kid"]: entry["key"].encode() for entry in entries}
        understood = len(keys) == len(entries) > 0 and all(map(_KID.fullmatch, keys))
    except (ValueError, TypeError, KeyError, AttributeError):
        understood = False
    if not understood:
        raise BadKeyRing('SECRET_KEY is no list of {"kid", "key"} with different kid')
    return keys


def _id_of(key: bytes) -> str:
    return _derive(key, "elders-guild key id", 8).hex()


def _derive(key: bytes, purpose: str, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt=None, info=purpose.encode()).derive(key)
