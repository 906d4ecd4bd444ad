"""Tokens that must not be believed: each is 401, with the same body, whatever is wrong with it."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from fastapi import FastAPI

from actors import clock
from actors.settings import GuildSettings
from serve_app.tokens import key_ring
from tests.fixtures.gateway import GUILD, SECRET, app_over, token_of

KEY = key_ring(SECRET)[0]
CHALLENGE = (
    f'Bearer resource_metadata="{GuildSettings().gateway.issuer}'
    '/.well-known/oauth-protected-resource"'
)
FOREIGN = ed25519.Ed25519PrivateKey.generate()
PUBLIC_RAW = KEY.public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
PUBLIC_PEM = KEY.public.public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)
PUBLIC_DER = KEY.public.public_bytes(
    serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
)
PUBLIC_SSH = KEY.public.public_bytes(
    serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
)
PUBLIC_JWK = json.dumps(
    {"kty": "OKP", "crv": "Ed25519", "x": base64.urlsafe_b64encode(PUBLIC_RAW).decode().rstrip("=")}
).encode()


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(**changed: Any) -> dict[str, Any]:
    """Good claims, with these changes; a value of Ellipsis removes the claim."""
    now = int(time.time())
    good = {
        "iss": GuildSettings().gateway.issuer,
        "aud": "elders-guild-api",
        "sub": "user_1",
        "exp": now + 600,
        "iat": now,
        "nbf": now,
        "jti": clock.new_id("jti"),
        "typ": "access",
        "guild": GUILD,
        "perms": ["read"],
        "sid": clock.new_id("ses"),
        "ver": 1,
        "client_id": "_guild",
        "cver": 0,
    }
    return {name: value for name, value in {**good, **changed}.items() if value is not ...}


def header(**changed: Any) -> dict[str, Any]:
    good = {"alg": "EdDSA", "kid": KEY.kid, "typ": "at+jwt"}
    return {name: value for name, value in {**good, **changed}.items() if value is not ...}


def signed(
    payload: Mapping[str, Any] | str,
    head: Mapping[str, Any] | str | None = None,
    key: Any = KEY.private,
) -> str:
    """A token with a right signature over any text, proper or not."""
    head = header() if head is None else head
    parts = [text if isinstance(text, str) else json.dumps(text) for text in (head, payload)]
    message = ".".join(b64(part.encode()) for part in parts)
    return f"{message}.{b64(key.sign(message.encode()))}"


def by_hmac(secret: bytes) -> str:
    message = ".".join(b64(json.dumps(part).encode()) for part in (header(alg="HS256"), claims()))
    return f"{message}.{b64(hmac.digest(secret, message.encode(), hashlib.sha256))}"


def unsigned(algorithm: str) -> str:
    message = ".".join(b64(json.dumps(part).encode()) for part in (header(alg=algorithm), claims()))
    return f"{message}."


def malleable() -> str:
    """A good token whose last character says the same bytes in another way."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    good = signed(claims())
    return good[:-1] + alphabet[alphabet.index(good[-1]) ^ 1]


def raw_claims(old: str, new: str) -> str:
    """Good claims as text, with one part of the text replaced."""
    text = json.dumps(claims())
    assert old in text
    return text.replace(old, new)


BAD: dict[str, Callable[[], str]] = {
    "empty": lambda: "",
    "a word": lambda: "token",
    "two parts": lambda: signed(claims()).rpartition(".")[0],
    "four parts": lambda: signed(claims()) + ".AAAA",
    "five parts, as if encrypted": lambda: ".".join(["e30"] * 5),
    "algorithm none": lambda: unsigned("none"),
    "algorithm nOnE": lambda: unsigned("nOnE"),
    "no signature": lambda: unsigned("EdDSA"),
    "none with a signature": lambda: signed(claims(), header(alg="none")),
    "HMAC with the public key, raw": lambda: by_hmac(PUBLIC_RAW),
    "HMAC with the public key, PEM": lambda: by_hmac(PUBLIC_PEM),
    "HMAC with the public key, DER": lambda: by_hmac(PUBLIC_DER),
    "HMAC with the public key, OpenSSH": lambda: by_hmac(PUBLIC_SSH),
    "HMAC with the public key, JWK": lambda: by_hmac(PUBLIC_JWK),
    "HMAC with nothing": lambda: by_hmac(b""),
    "HMAC with the secret itself": lambda: by_hmac(SECRET.encode()),
    "another algorithm of the key": lambda: signed(claims(), header(alg="ES256")),
    "a signature of zeros": lambda: signed(claims()).rpartition(".")[0] + "." + b64(bytes(64)),
    "a foreign key": lambda: signed(claims(), key=FOREIGN),
    "a foreign key under its own kid": lambda: signed(claims(), header(kid="mine"), FOREIGN),
    "no kid": lambda: signed(claims(), header(kid=...)),
    "kid null": lambda: signed(claims(), header(kid=None)),
    "kid a list": lambda: signed(claims(), header(kid=[KEY.kid])),
    "kid a path": lambda: signed(claims(), header(kid="../../dev/null")),
    "kid SQL": lambda: signed(claims(), header(kid="' OR 1=1 --")),
    "an embedded key": lambda: signed(claims(), header(jwk=json.loads(PUBLIC_JWK)), FOREIGN),
    "jku": lambda: signed(claims(), header(jku="http://keys.example/jwks.json")),
    "x5u": lambda: signed(claims(), header(x5u="http://keys.example/cert.pem")),
    "x5c": lambda: signed(claims(), header(x5c=["AAAA"])),
    "unknown crit": lambda: signed(claims(), header(crit=["exp"])),
    "b64 false": lambda: signed(claims(), header(b64=False, crit=["b64"])),
    "zip": lambda: signed(claims(), header(zip="DEF")),
    "header typ JWT": lambda: signed(claims(), header(typ="JWT")),
    "no header typ": lambda: signed(claims(), header(typ=...)),
    "header with a name twice": lambda: signed(
        claims(), json.dumps(header()).replace("{", '{"alg": "none", ', 1)
    ),
    "header no object": lambda: signed(claims(), '["EdDSA"]'),
    "header not UTF-8": lambda: "_w." + signed(claims()).partition(".")[2],
    **{
        f"without {name}": lambda name=name: signed(claims(**{name: ...}))  # type: ignore[misc]
        for name in claims()
    },
    **{
        f"{name} null": lambda name=name: signed(claims(**{name: None}))  # type: ignore[misc]
        for name in claims()
    },
    "a claim too many": lambda: signed(claims(role="admin")),
    "expired": lambda: signed(claims(exp=int(time.time()) - 31, iat=int(time.time()) - 600)),
    "exp a text": lambda: signed(claims(exp=str(int(time.time()) + 600))),
    "exp a fraction": lambda: signed(claims(exp=time.time() + 600)),
    "exp true": lambda: signed(claims(exp=True)),
    "exp NaN": lambda: signed(json.dumps(claims(exp=float("nan")))),
    "exp 1e400": lambda: signed(raw_claims('"exp": ', '"exp": 1e400, "was": ')),
    "exp far away": lambda: signed(claims(exp=int(time.time()) + 10_000_000)),
    "exp very long": lambda: signed(raw_claims('"exp": ', '"exp": ' + "9" * 1000)),
    "exp twice": lambda: signed(raw_claims('"exp": ', '"exp": 1, "exp": ')),
    "nbf in the future": lambda: signed(claims(nbf=int(time.time()) + 300)),
    "iat in the future": lambda: signed(
        claims(iat=int(time.time()) + 300, exp=int(time.time()) + 600)
    ),
    "another issuer": lambda: signed(claims(iss="somebody")),
    "another audience": lambda: signed(claims(aud="somebody")),
    "a list of audiences": lambda: signed(claims(aud=["elders-guild-api"])),
    "typ refresh": lambda: signed(claims(typ="refresh")),
    "sub empty": lambda: signed(claims(sub="")),
    "sub a number": lambda: signed(claims(sub=1)),
    "sub with a line break": lambda: signed(claims(sub="user\nadmin")),
    "sub with NUL": lambda: signed(claims(sub="user\x00")),
    "guild empty": lambda: signed(claims(guild="")),
    "guild SQL": lambda: signed(claims(guild="guild_'; DROP TABLE guilds; --")),
    "guild with a line break": lambda: signed(claims(guild=GUILD + "\n")),
    "sid a word": lambda: signed(claims(sid="one")),
    "sid empty": lambda: signed(claims(sid="")),
    "a version below all": lambda: signed(claims(ver=-1)),
    "a version beyond all": lambda: signed(claims(ver=2**31)),
    "a version that is a fraction": lambda: signed(claims(ver=1.5)),
    "a version that is a text": lambda: signed(claims(ver="1")),
    "a version that is true": lambda: signed(claims(ver=True)),
    "a client's version below all": lambda: signed(claims(cver=-1)),
    "client_id empty": lambda: signed(claims(client_id="")),
    "client_id with a line break": lambda: signed(claims(client_id="a\n")),
    "client_id with NUL": lambda: signed(claims(client_id="a\x00b")),
    "iss without its path": lambda: signed(claims(iss="http://127.0.0.1:8000/")),
    "kid of an older ring": lambda: signed(claims(), header(kid="0" * 16)),
    "kid a number": lambda: signed(claims(), header(kid=0)),
    "alg missing": lambda: signed(claims(), header(alg=...)),
    "alg a list": lambda: signed(claims(), header(alg=["EdDSA"])),
    "x5t": lambda: signed(claims(), header(x5t="AAAA")),
    "cty": lambda: signed(claims(), header(cty="JWT")),
    "jti a word": lambda: signed(claims(jti="one")),
    "perms a text": lambda: signed(claims(perms="admin")),
    "perms an object": lambda: signed(claims(perms={"admin": True})),
    "an unknown permission": lambda: signed(claims(perms=["read", "root"])),
    "a permission twice": lambda: signed(claims(perms=["read", "read"])),
    "a permission in a list": lambda: signed(claims(perms=[["admin"]])),
    "perms 100,000 deep": lambda: signed("[" * 1200 + "]" * 1200),
    "payload no object": lambda: signed('"admin"'),
    "payload empty": lambda: signed(""),
    "payload not JSON": lambda: signed("admin"),
    "payload compressed away": lambda: signed("\x1f\x8b"),
    "20 kB": lambda: signed(claims(sub="x" * 20_000)),
    "another way to write the signature": malleable,
    "padding": lambda: signed(claims()) + "=",
    "trailing line break": lambda: signed(claims()) + "%0A",
    "trailing bytes": lambda: signed(claims()) + "AAAA",
    "standard alphabet": lambda: signed(claims()).replace("-", "+").replace("_", "/") + "+",
    "a blank inside": lambda: signed(claims()).replace(".", ". ", 1),
    "signature of another token": lambda: (
        signed(claims(perms=["admin"])).rpartition(".")[0]
        + "."
        + signed(claims()).rpartition(".")[2]
    ),
}


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return app_over({})


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://gateway"
    ) as client:
        yield client


async def refused(client: httpx.AsyncClient, headers: Any, url: str = "/api/v1/noop") -> bool:
    """Whether the answer is the one that everybody gets whom we do not know."""
    answer = await client.get(url, headers=headers)
    body = answer.json()
    body.pop("instance")
    body.pop("request_id")
    return (
        answer.status_code == 401
        and answer.headers["www-authenticate"] == CHALLENGE
        and body
        == {
            "type": "urn:elders-guild:problem:not_authenticated",
            "title": "Unauthorized",
            "status": 401,
            "detail": "credentials are missing or not valid",
            "errors": [],
        }
    )


def test_there_are_enough_of_them() -> None:
    assert len(BAD) >= 80


async def test_the_token_they_are_made_from_is_good(client: httpx.AsyncClient) -> None:
    answer = await client.get(
        "/api/v1/noop", headers={"Authorization": f"Bearer {signed(claims())}"}
    )

    assert answer.status_code == 200


@pytest.mark.parametrize("name", BAD)
async def test_a_bad_token_is_401(client: httpx.AsyncClient, name: str) -> None:
    assert await refused(client, {"Authorization": f"Bearer {BAD[name]()}"})


async def test_a_token_of_a_megabyte_is_not_even_read(client: httpx.AsyncClient) -> None:
    token = signed(claims(sub="x" * 1_000_000))

    answer = await client.get("/api/v1/noop", headers={"Authorization": f"Bearer {token}"})

    assert answer.status_code == 431


async def test_a_token_anywhere_but_in_one_bearer_header_is_401(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    good = token_of(app)

    assert await refused(client, {})
    assert await refused(client, {}, f"/api/v1/noop?access_token={good}")
    assert await refused(client, {"Cookie": f"token={good}"})
    for value in (good, f"Basic {good}", f"Bearer{good}", f"Bearer {good} {good}", "Bearer"):
        assert await refused(client, {"Authorization": value})
    twice = [("Authorization", f"Bearer {good}"), ("Authorization", "Bearer other")]
    assert await refused(client, twice)


async def test_a_token_by_the_library_alone_is_not_enough(client: httpx.AsyncClient) -> None:
    """Proves that the checks are ours: this one the library would accept."""
    token = jwt.encode({"sub": "user_1"}, KEY.private, algorithm="EdDSA", headers={"kid": KEY.kid})
    assert jwt.decode(token, KEY.public, algorithms=["EdDSA"])["sub"] == "user_1"

    assert await refused(client, {"Authorization": f"Bearer {token}"})
