"""Where a person may be sent back to, and the proof of who asked for it (PKCE). Pure."""

import base64
import hashlib
import hmac
import re
from collections.abc import Sequence

from actors.errors import ValidationError

MAX_REDIRECT_URI = 512
_MAX_URIS = 10
_PATH = r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@/-]*)?(?:\?[A-Za-z0-9._~!$&'()*+,;=:@/?-]*)?"
_REDIRECT_URI = re.compile(
    r"https://[a-z0-9.-]+(?::[0-9]{1,5})?"
    + _PATH
    + r"|http://(?:127\.0\.0\.1|\[::1\])(?::[0-9]{1,5})?"
    + _PATH  # a program on the person's host
    + r"|[a-z][a-z0-9+-]*(?:\.[a-z0-9+-]+)+:/"
    + r"[A-Za-z0-9._~!$&'()*+,;=:@/-]*"  # its own scheme
)
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")


def check_redirect_uris(uris: Sequence[str]) -> None:
    """Raises `ValidationError` unless each may be registered.

    HTTPS, or HTTP to a loopback address, or a scheme of the program's own with a dot in it; no
    fragment, no user, no escapes: they are compared letter by letter.
    """
    if len(uris) > _MAX_URIS or len(set(uris)) != len(uris):
        raise ValidationError("redirect_uris", f"are at most {_MAX_URIS} different ones")
    for uri in uris:
        if len(uri) > MAX_REDIRECT_URI or not _REDIRECT_URI.fullmatch(uri):
            raise ValidationError("redirect_uris", "has one that nobody may be sent back to")


def check_challenge(challenge: str) -> None:
    """Raises `ValidationError` unless it can be a SHA-256 in base64url."""
    if not _CHALLENGE.fullmatch(challenge):
        raise ValidationError("code_challenge", "is not a SHA-256 in base64url")


def proves(verifier: str, challenge: str) -> bool:
    """Whether the verifier is the one that the challenge was made of (RFC 7636, S256)."""
    if not _VERIFIER.fullmatch(verifier):
        return False
    made = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=")
    return hmac.compare_digest(made, challenge.encode())
