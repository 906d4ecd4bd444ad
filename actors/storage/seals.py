"""Sealing: what is written under a key can be read with it alone, and only where it was written.

AES-256-GCM with a random nonce. Where a text belongs is authenticated with it, so that one which
was copied to another place is refused. No I/O.
"""

import base64
import binascii
import hmac
import secrets
from typing import NamedTuple

import orjson
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_VERSION = "s1."
_NONCE = 12
_KEY_BYTES = 32


class BrokenSeal(Exception):
    """This was not sealed with this key for this place, or was changed since."""


class Place(NamedTuple):
    """The line of the log that a payload belongs to."""

    guild_id: str
    event_id: str
    type: str


def new_key() -> bytes:
    """A random key."""
    return secrets.token_bytes(_KEY_BYTES)


def seal(key: AESGCM, place: Place, data: str) -> str:
    """A payload's JSON text, sealed: a JSON string."""
    box = _lock(key, data.encode(), ("event", *place))
    return f'"{_VERSION}{base64.b64encode(box).decode()}"'


def unseal(key: AESGCM, place: Place, sealed: str) -> bytes:
    """The JSON text that was sealed.

    Raises:
        BrokenSeal: it was sealed under another key or for another place, or is no sealed text.
    """
    if not (sealed.startswith(f'"{_VERSION}') and sealed.endswith('"')):
        raise BrokenSeal("it is not sealed")
    try:
        box = base64.b64decode(sealed[len(_VERSION) + 1 : -1], validate=True)
    except binascii.Error as error:
        raise BrokenSeal("it is no sealed text") from error
    return _unlock(key, box, ("event", *place))


def wrap(wrapping: AESGCM, key: bytes, *whose: str) -> bytes:
    """A key, sealed under another one for its owner."""
    return _lock(wrapping, key, ("key", *whose))


def unwrap(wrapping: AESGCM, wrapped: bytes, *whose: str) -> bytes:
    """The key that was wrapped.

    Raises:
        BrokenSeal: it was wrapped under another key or for somebody else.
    """
    return _unlock(wrapping, wrapped, ("key", *whose))


def digest(key: bytes, name: str) -> str:
    """What stands for a name, in hexadecimal: tells nothing to who has not the key."""
    return hmac.digest(key, name.encode(), "sha256").hex()


def _lock(key: AESGCM, plain: bytes, belongs: tuple[str, ...]) -> bytes:
    nonce = secrets.token_bytes(_NONCE)
    return nonce + key.encrypt(nonce, plain, orjson.dumps(belongs))


def _unlock(key: AESGCM, box: bytes, belongs: tuple[str, ...]) -> bytes:
    try:
        return key.decrypt(box[:_NONCE], box[_NONCE:], orjson.dumps(belongs))
    except (InvalidTag, ValueError) as error:
        raise BrokenSeal("it was sealed under another key, or for another place") from error
