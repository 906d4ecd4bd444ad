"""Signing secrets of webhooks, made of ``SECRET_KEY`` whenever they are needed: none is stored."""

import json
from collections.abc import Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from actors.errors import DependencyUnavailable
from actors.webhooks import signing

_MIN_KEY_BYTES = 32
_MAX_KEYS = 4


class BadKeyRing(Exception):
    """``SECRET_KEY`` cannot be used; the text says why and never what it holds."""


class WebhookKeys:
    """The secrets of all webhooks.

    Args:
        secret_key: ``SECRET_KEY``: JSON ``[{"kid", "key"}]``, the present key first, or any other
            text; each key has at least 32 bytes. Empty: there are no webhooks.

    Raises:
        BadKeyRing: it is something else.
    """

    def __init__(self, secret_key: str) -> None:
        self._ring = _ring(secret_key)

    def require(self) -> None:
        """Raises `DependencyUnavailable` where there is no key."""
        if not self._ring:
            raise DependencyUnavailable("SECRET_KEY")

    def newest(self, subscription_id: str, key_version: int) -> str:
        """The secret that is shown, of the present key.

        Raises:
            DependencyUnavailable: there is no key.
        """
        return self._of(subscription_id, key_version)[0]

    def valid(self, subscription_id: str, key_version: int) -> Sequence[str]:
        """All secrets a receiver may hold: of this version, then of the one before.

        Each under every key of the ring: a receiver that learnt its secret under a key that is
        not the first any more still finds its signature.

        Raises:
            DependencyUnavailable: there is no key.
        """
        versions = [key_version, key_version - 1] if key_version > 1 else [key_version]
        return [secret for version in versions for secret in self._of(subscription_id, version)]

    def _of(self, subscription_id: str, key_version: int) -> list[str]:
        self.require()
        info = f"elders-guild webhook {subscription_id} {key_version}".encode()
        return [
            signing.to_text(HKDF(hashes.SHA256(), 32, salt=None, info=info).derive(key))
            for key in self._ring
        ]


def _ring(secret_key: str) -> tuple[bytes, ...]:
    if not secret_key:
        return ()
    if not secret_key.lstrip().startswith("["):
        keys = (secret_key.encode(),)
    else:
        try:
            keys = tuple(entry["key"].encode() for entry in json.loads(secret_key))
        except (ValueError, TypeError, KeyError, AttributeError):
            raise BadKeyRing('SECRET_KEY is no list of {"kid", "key"}') from None
    if not 1 <= len(keys) <= _MAX_KEYS:
        raise BadKeyRing(f"SECRET_KEY must hold 1 to {_MAX_KEYS} keys")
    if any(len(key) < _MIN_KEY_BYTES for key in keys):
        raise BadKeyRing(f"SECRET_KEY: a key must have at least {_MIN_KEY_BYTES} bytes")
    return keys
