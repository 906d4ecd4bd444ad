"""Access tokens and the keys that sign them. What must not pass is in tests/security."""

import json

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from actors.errors import NotAuthenticated
from actors.runtime.message import Permission
from actors.settings import GatewaySettings
from serve_app.tokens import BadKeyRing, Tokens, key_ring
from tests.fixtures.gateway import GUILD, SECRET

READ = frozenset({Permission.READ})


class Clock:
    def __init__(self) -> None:
        self.at = 1_700_000_000.0

    def __call__(self) -> float:
        return self.at


def pem(key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def entry(kid: str, algorithm: str, key: str) -> dict[str, str]:
    return {"kid": kid, "alg": algorithm, "key": key}


ED25519 = pem(ed25519.Ed25519PrivateKey.generate())
P256 = pem(ec.generate_private_key(ec.SECP256R1()))


def ring(*entries: dict[str, str]) -> str:
    return json.dumps(entries)


@pytest.mark.parametrize(
    "secret", [SECRET, ring(entry("a", "EdDSA", ED25519)), ring(entry("b", "ES256", P256))]
)
def test_what_was_signed_is_verified(secret: str) -> None:
    tokens = Tokens(key_ring(secret), GatewaySettings())

    caller = tokens.verify(tokens.sign(GUILD, "user_1", READ).token)

    assert (caller.guild_id, caller.principal_id) == (GUILD, "user_1")
    assert caller.permissions == READ


def test_two_replicas_with_one_secret_know_each_others_tokens() -> None:
    first, second = (Tokens(key_ring(SECRET), GatewaySettings()) for _ in range(2))

    assert second.verify(first.sign(GUILD, "user_1", READ).token).guild_id == GUILD


def test_a_token_ends_with_its_time_also_when_it_was_verified_before() -> None:
    clock = Clock()
    settings = GatewaySettings(access_token_ttl_s=60, token_leeway_s=10)
    tokens = Tokens(key_ring(SECRET), settings, clock)
    token = tokens.sign(GUILD, "user_1", READ).token
    tokens.verify(token)

    clock.at += 69
    assert tokens.verify(token).guild_id == GUILD
    clock.at += 1

    with pytest.raises(NotAuthenticated):
        tokens.verify(token)


def test_an_old_key_still_verifies_and_a_removed_one_does_not() -> None:
    old = key_ring(ring(entry("old", "EdDSA", ED25519)))
    token = Tokens(old, GatewaySettings()).sign(GUILD, "user_1", READ).token
    rotated = key_ring(ring(entry("new", "ES256", P256), entry("old", "EdDSA", ED25519)))
    removed = key_ring(ring(entry("new", "ES256", P256)))

    assert Tokens(rotated, GatewaySettings()).verify(token).principal_id == "user_1"
    with pytest.raises(NotAuthenticated):
        Tokens(removed, GatewaySettings()).verify(token)


def test_only_so_many_verified_tokens_are_remembered() -> None:
    tokens = Tokens(key_ring(SECRET), GatewaySettings(token_cache_entries=3))

    for number in range(10):
        tokens.verify(tokens.sign(GUILD, f"user_{number}", READ).token)

    assert len(tokens._verified) == 3


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "x" * 31,
        "[" + " " * 40,
        "[]" + " " * 40,
        ring(entry("a", "HS256", "x" * 64)),
        ring(entry("a", "ES256", ED25519)),
        ring(entry("a", "EdDSA", P256)),
        ring(entry("a", "ES256", pem(ec.generate_private_key(ec.SECP384R1())))),
        ring(entry("a", "RS256", pem(rsa.generate_private_key(65537, 2048)))),
        ring(entry("a b", "EdDSA", ED25519)),
        ring(entry("a", "EdDSA", ED25519), entry("a", "ES256", P256)),
        json.dumps([{"kid": "a", "alg": "EdDSA", "note": "without a key at all"}]),
        json.dumps(["a", "list", "of", "words", "and", "nothing", "else"]),
    ],
)
def test_a_weak_or_strange_key_ring_is_refused_and_never_shown(secret: str) -> None:
    with pytest.raises(BadKeyRing) as refused:
        key_ring(secret)

    assert "JWT_SECRET" in str(refused.value)
    assert "PRIVATE" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_nothing_shows_a_key_or_a_token() -> None:
    keys = key_ring(SECRET)
    issued = Tokens(keys, GatewaySettings()).sign(GUILD, "user_1", READ)

    assert "PrivateKey" not in repr(keys)
    assert issued.token not in repr(issued)
