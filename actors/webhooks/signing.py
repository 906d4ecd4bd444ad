"""How a delivery is signed and how its receiver checks it: the Standard Webhooks scheme. Pure.

The signed text is ``<webhook-id>.<webhook-timestamp>.<body>`` with the exact bytes of the body.
A receiver needs `verify` and nothing else of ours; libraries of the scheme do the same.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from datetime import datetime

PREFIX = "whsec_"
TOLERANCE_S = 300.0

_ID = "webhook-id"
_TIMESTAMP = "webhook-timestamp"
_SIGNATURE = "webhook-signature"
_VERSION = "v1,"
_MAX_SIGNATURES = 16
_SECONDS = re.compile(r"[0-9]{1,12}")


class BadSignature(Exception):
    """Not from the sender who shares the secret, or not from now. Answer 401 and do nothing."""


def sign(secrets: Sequence[str], webhook_id: str, sent_at: datetime, body: bytes) -> dict[str, str]:
    """The headers of a delivery; one signature for each secret, the newest first.

    Args:
        secrets: in text form, ``whsec_`` and base64.
        webhook_id: the same whenever the delivery is repeated; holds no dot.
        sent_at: of this attempt.
        body: as it is sent.
    """
    timestamp = str(int(sent_at.timestamp()))
    signatures = [_signature(secret, webhook_id, timestamp, body) for secret in secrets]
    return {_ID: webhook_id, _TIMESTAMP: timestamp, _SIGNATURE: " ".join(signatures)}


def verify(
    secret: str,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime,
    tolerance_s: float = TOLERANCE_S,
) -> str:
    """Checks a received delivery and returns its id.

    The same id again is the same delivery again: a receiver that has handled it answers 2xx and
    does nothing. Parse the body only after this.

    Args:
        secret: as it was shown when the webhook was made, ``whsec_`` and base64.
        headers: of the request; the case of their names does not matter.
        body: the raw bytes.
        now: the receiver's time, aware of its zone.
        tolerance_s: how far the sender's time may be from it, either way.

    Raises:
        BadSignature: a header is missing, no signature fits, or the time is too far away.
        ValueError: the secret is none.
    """
    given = {name.lower(): value for name, value in headers.items()}
    webhook_id, timestamp = given.get(_ID, ""), given.get(_TIMESTAMP, "")
    if not webhook_id or "." in webhook_id or not _SECONDS.fullmatch(timestamp):
        raise BadSignature("the delivery does not say which one it is, and of when")
    expected = _signature(secret, webhook_id, timestamp, body).encode()
    offered = given.get(_SIGNATURE, "").split(" ")[:_MAX_SIGNATURES]
    # All are compared, each in constant time: how long it takes says nothing of how close one is.
    fits = [hmac.compare_digest(expected, one.encode()) for one in offered]
    if not any(fits):
        raise BadSignature("no signature is of this secret, this time and this body")
    if abs(now.timestamp() - int(timestamp)) > tolerance_s:
        raise BadSignature("the delivery is not of now")
    return webhook_id


def to_text(key: bytes) -> str:
    """A secret as people copy it."""
    return PREFIX + base64.b64encode(key).decode()


def _signature(secret: str, webhook_id: str, timestamp: str, body: bytes) -> str:
    signed = f"{webhook_id}.{timestamp}.".encode() + body
    digest = hmac.digest(_key(secret), signed, hashlib.sha256)
    return _VERSION + base64.b64encode(digest).decode()


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("a secret is whsec_ and base64") from None
    if not secret.startswith(PREFIX) or not key:
        raise ValueError("a secret is whsec_ and base64")
    return key
