"""Access tokens: signed here, checked here, and nowhere trusted further than they say.

A token is a JWT of the kind ``at+jwt`` (RFC 9068) with exactly the claims below. Everything that
a lenient library lets pass is refused before it is asked: foreign header fields, other encodings
of the same bytes, claims that are given twice or in another type.
"""

import base64
import binascii
import hashlib
import hmac
import json
import re
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from actors import clock
from actors.errors import NotAuthenticated
from actors.identity.messages import FIRST_PARTY
from actors.runtime.message import Caller, GuildId, Permission
from actors.settings import GatewaySettings
from serve_app.revocations import Held, Revocations

PrivateKey = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
PublicKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey

_MAX_TOKEN = 4096
_MIN_SECRET_BYTES = 32
_TYPE = "at+jwt"
_CLAIMS = frozenset(
    {
        *("iss", "aud", "sub", "exp", "iat", "nbf", "jti", "typ", "guild", "perms"),
        *("sid", "ver", "client_id", "cver"),
    }
)
_TEXTS = ("iss", "aud", "sub", "jti", "typ", "guild", "sid", "client_id")
_NUMBERS = ("exp", "iat", "nbf", "ver", "cver")
_SHAPE = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_SUBJECT = re.compile(r"[A-Za-z0-9._@+-]{1,128}|[a-z]+_[0-9a-z]{26}")
_CLIENT = re.compile(rf"{FIRST_PARTY}|[a-z0-9._@+-]{{1,128}}")
_KID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_GUILD = re.compile(clock.ID_PATTERN)
_JTI = re.compile(clock.ID_PATTERN)
_MAX_VERSION = 2**31 - 1


class BadKeyRing(Exception):
    """``JWT_SECRET`` cannot be used; the text says why and never what it holds."""


@dataclass(frozen=True, slots=True)
class Key:
    """One signing key. It has one algorithm for its whole life."""

    kid: str
    algorithm: str
    private: PrivateKey = field(repr=False)
    public: PublicKey


def key_ring(secret: str) -> tuple[Key, ...]:
    """The keys of ``JWT_SECRET``: the first signs, all verify.

    Args:
        secret: JSON ``[{"kid", "alg", "key"}]`` with ``EdDSA`` or ``ES256`` and a PEM private key
            each, or any other text of at least 32 bytes, which yields one Ed25519 key.

    Raises:
        BadKeyRing: neither.
    """
    if len(secret.encode()) < _MIN_SECRET_BYTES:
        raise BadKeyRing("JWT_SECRET must have at least 32 bytes")
    if not secret.lstrip().startswith("["):
        return (_derived(secret),)
    try:
        entries = json.loads(secret)
        keys = tuple(_loaded(entry) for entry in entries)
    except (ValueError, TypeError, KeyError, UnsupportedAlgorithm):
        raise BadKeyRing('JWT_SECRET is no list of {"kid", "alg", "key"}') from None
    if not keys or len({key.kid for key in keys}) != len(keys):
        raise BadKeyRing("JWT_SECRET must hold keys of different kid")
    return keys


def _derived(secret: str) -> Key:
    seed = HKDF(hashes.SHA256(), 32, salt=None, info=b"elders-guild access token").derive(
        secret.encode()
    )
    private = ed25519.Ed25519PrivateKey.from_private_bytes(seed)
    public = private.public_key()
    raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    return Key(hashlib.sha256(raw).hexdigest()[:16], "EdDSA", private, public)


def _loaded(entry: Mapping[str, str]) -> Key:
    kid, algorithm = entry["kid"], entry["alg"]
    if not _KID.fullmatch(kid):
        raise ValueError
    private = serialization.load_pem_private_key(entry["key"].encode(), password=None)
    match algorithm, private:
        case "EdDSA", ed25519.Ed25519PrivateKey():
            return Key(kid, algorithm, private, private.public_key())
        case "ES256", ec.EllipticCurvePrivateKey() if private.curve.name == "secp256r1":
            return Key(kid, algorithm, private, private.public_key())
        case _:
            raise ValueError


@dataclass(frozen=True, slots=True)
class Issued:
    """A signed token and how long it is good for, in seconds."""

    token: str = field(repr=False)
    expires_in_s: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a good token says.

    Attributes:
        issued_at: seconds since 1970, like `expires_at`.
        good_until: the same, with the leeway for clocks that differ.
    """

    caller: Caller
    held: Held
    issued_at: int
    expires_at: int
    good_until: float


class Tokens:
    """Signs and verifies. Verified tokens are remembered until they expire, a bounded number."""

    def __init__(
        self,
        keys: Sequence[Key],
        settings: GatewaySettings,
        wall: Callable[[], float] = time.time,
        revocations: Revocations | None = None,
    ) -> None:
        """A signer and its memory.

        Args:
            keys: the first signs, all verify.
            settings: names, times and bounds.
            wall: clock.
            revocations: None: nothing is revoked.
        """
        self._signer = keys[0]
        self._keys = {key.kid: key for key in keys}
        self._settings = settings
        self._wall = wall
        self._verified: OrderedDict[str, Verified] = OrderedDict()
        self.revocations = Revocations(settings) if revocations is None else revocations
        self.jwks = {"keys": [_jwk(key) for key in keys]}

    def sign(
        self,
        guild_id: GuildId,
        principal_id: str,
        permissions: frozenset[Permission],
        *,
        session_id: str = "",
        version: int = 0,
        client_id: str = FIRST_PARTY,
        client_version: int = 0,
    ) -> Issued:
        """An access token for one identity in one guild; see `TokenGrant`."""
        now = int(self._wall())
        claims = {
            "iss": self._settings.issuer,
            "aud": self._settings.audience,
            "sub": principal_id,
            "exp": now + self._settings.access_token_ttl_s,
            "iat": now,
            "nbf": now,
            "jti": clock.new_id("jti"),
            "typ": "access",
            "guild": guild_id,
            "perms": sorted(permissions),
            "sid": session_id or clock.new_id("ses"),
            "ver": version,
            "client_id": client_id,
            "cver": client_version,
        }
        token = jwt.encode(
            claims,
            self._signer.private,
            algorithm=self._signer.algorithm,
            headers={"kid": self._signer.kid, "typ": _TYPE},
        )
        return Issued(token, self._settings.access_token_ttl_s)

    def verify(self, token: str) -> Caller:
        """Who holds the token.

        Raises:
            NotAuthenticated: whatever is wrong with it; the text never says what.
        """
        return self.inspect(token).caller

    def expiry(self, verified: Verified) -> float:
        """When the token expires, in seconds of `time.monotonic`."""
        return time.monotonic() + verified.good_until - self._wall()

    def inspect(self, token: str) -> Verified:
        """What the token says.

        Raises:
            NotAuthenticated: whatever is wrong with it; the text never says what.
        """
        now = self._wall()
        known = self._verified.get(token)
        if known is None:
            known = self._check(token, now)
            self._verified[token] = known
            while len(self._verified) > self._settings.token_cache_entries:
                self._verified.popitem(last=False)
        elif now < known.good_until:
            self._verified.move_to_end(token)
        else:
            del self._verified[token]
            raise NotAuthenticated
        if self.revocations.refuses(known.held):
            raise NotAuthenticated
        return known

    def _check(self, token: str, now: float) -> Verified:
        parts = _SHAPE.fullmatch(token) if len(token) <= _MAX_TOKEN else None
        if parts is None:
            raise NotAuthenticated
        header, claims, _ = (_decoded(part) for part in parts.groups())
        key = self._key(_object(header))
        try:
            jwt.api_jws.decode(token, key.public, algorithms=[key.algorithm])
        except jwt.PyJWTError:
            raise NotAuthenticated from None
        return self._said(_object(claims), now)

    def _key(self, header: Mapping[str, Any]) -> Key:
        kid = header.get("kid")
        key = self._keys.get(kid) if isinstance(kid, str) else None
        if key is None or header != {"alg": key.algorithm, "kid": kid, "typ": _TYPE}:
            raise NotAuthenticated
        return key

    def _said(self, claims: Mapping[str, Any], now: float) -> Verified:
        leeway = self._settings.token_leeway_s
        well_formed = (
            claims.keys() == _CLAIMS
            and all(type(claims[name]) is str for name in _TEXTS)
            and all(type(claims[name]) is int for name in _NUMBERS)
            and type(claims["perms"]) is list
        )
        if not well_formed:
            raise NotAuthenticated
        right = (
            claims["iss"] == self._settings.issuer
            and claims["aud"] == self._settings.audience
            and claims["typ"] == "access"
            and _SUBJECT.fullmatch(claims["sub"])
            and _GUILD.fullmatch(claims["guild"])
            and _JTI.fullmatch(claims["jti"])
            and _JTI.fullmatch(claims["sid"])
            and _CLIENT.fullmatch(claims["client_id"])
            and 0 <= claims["ver"] <= _MAX_VERSION
            and 0 <= claims["cver"] <= _MAX_VERSION
            and claims["nbf"] <= now + leeway
            and claims["iat"] <= now + leeway
            and now - leeway < claims["exp"]
            and claims["exp"] - claims["iat"] <= self._settings.access_token_ttl_s
        )
        if not right:
            raise NotAuthenticated
        caller = Caller(
            guild_id=GuildId(claims["guild"]),
            principal_id=claims["sub"],
            permissions=_permissions(claims["perms"]),
        )
        held = Held(
            token_id=claims["jti"],
            session_id=claims["sid"],
            principal_id=claims["sub"],
            version=claims["ver"],
            client_id=claims["client_id"],
            client_version=claims["cver"],
        )
        return Verified(
            caller=caller,
            held=held,
            issued_at=claims["iat"],
            expires_at=claims["exp"],
            good_until=float(claims["exp"] + leeway),
        )


def _jwk(key: Key) -> dict[str, str]:
    """The public half, as RFC 7517 writes it."""
    common = {"kid": key.kid, "alg": key.algorithm, "use": "sig"}
    match key.public:
        case ed25519.Ed25519PublicKey():
            raw = key.public.public_bytes(
                serialization.Encoding.Raw, serialization.PublicFormat.Raw
            )
            return {**common, "kty": "OKP", "crv": "Ed25519", "x": _b64(raw)}
        case _:
            numbers = key.public.public_numbers()
            x, y = (_b64(number.to_bytes(32)) for number in (numbers.x, numbers.y))
            return {**common, "kty": "EC", "crv": "P-256", "x": x, "y": y}


def _b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _permissions(names: Sequence[str]) -> frozenset[Permission]:
    try:
        found = [Permission(name) for name in names]
    except ValueError:
        raise NotAuthenticated from None
    if len(set(found)) != len(names):
        raise NotAuthenticated
    return frozenset(found)


def _decoded(part: str) -> bytes:
    """The bytes of one part, if this is the one way to write them."""
    try:
        raw = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise NotAuthenticated from None
    if not hmac.compare_digest(base64.urlsafe_b64encode(raw).rstrip(b"="), part.encode()):
        raise NotAuthenticated
    return raw


def _object(raw: bytes) -> dict[str, Any]:
    """A JSON object in which no name stands twice."""
    try:
        value = json.loads(
            raw.decode(), object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_refuse
        )
    except (ValueError, RecursionError):
        raise NotAuthenticated from None
    if type(value) is not dict:
        raise NotAuthenticated
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _refuse(_: str) -> NoReturn:
    raise ValueError("no fractions, no infinities")
