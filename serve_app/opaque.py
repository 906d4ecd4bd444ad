"""Refresh tokens and codes as clients see them: random, and nothing can be read from them."""

import hashlib
import re
import secrets
from typing import NamedTuple

from actors import clock
from actors.runtime.message import GuildId

_REFRESH = re.compile(rf"({clock.ID_PATTERN})\.([A-Za-z0-9_-]{{43}})")


class RefreshToken(NamedTuple):
    """A guild, so that it is known where to look, and the digest of the secret."""

    guild_id: GuildId
    digest: str


def new_secret() -> str:
    """256 random bits, as text."""
    return secrets.token_urlsafe(32)


def digest(secret: str) -> str:
    """What is kept of it; it has too much entropy for a slow hash to be needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def render(guild_id: GuildId, secret: str) -> str:
    """The refresh token."""
    return f"{guild_id}.{secret}"


def parse(text: str) -> RefreshToken | None:
    """What a text says that may be a refresh token; None: it is none."""
    match = _REFRESH.fullmatch(text)
    return None if match is None else RefreshToken(GuildId(match[1]), digest(match[2]))
