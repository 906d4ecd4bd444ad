"""Keys in memory: the ring that wraps them, and those of data subjects for a short while."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, Self

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from actors.key_ring import BadKeyRing, KeyRing
from actors.settings import GuildSettings, LogSettings
from actors.storage import seals
from actors.storage.seals import BrokenSeal

_PURPOSE = "elders-guild subject keys"

Whose = tuple[str, str]
"""Guild, and the digest of a data subject."""


class Lost(NamedTuple):
    """A key that should be there and cannot be used; ``reason`` says why."""

    reason: str


SubjectKey = AESGCM | Lost | None
"""None: it was destroyed, because the data subject was erased."""


class Wrapped(NamedTuple):
    """A key as it is stored; ``kid`` names the key of the ring that wraps it."""

    kid: str
    box: bytes


class Vault:
    """Of one process. Never written anywhere, never part of what is pickled.

    Args:
        ring: of ``SECRET_KEY``.
        settings: how many keys are remembered, and for how long: so much later an erasure is felt
            everywhere.
        monotonic: clock.
    """

    def __init__(
        self,
        ring: KeyRing,
        settings: LogSettings,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ring = ring
        self._wrapping: dict[str, AESGCM] = {}
        self._lifetime_s = settings.key_cache_s
        self._most = settings.key_cache_entries
        self._known: OrderedDict[Whose, tuple[AESGCM | None, float]] = OrderedDict()
        self._digest_keys: OrderedDict[str, bytes] = OrderedDict()
        self.now = monotonic

    @classmethod
    def of(cls, settings: GuildSettings) -> Self:
        """The vault of a process.

        Raises:
            BadKeyRing: ``SECRET_KEY`` cannot be used.
        """
        return cls(KeyRing.parse(settings.secret_key.get_secret_value()), settings.log)

    @classmethod
    def empty(cls) -> Self:
        """Without a ring: nothing can be sealed, and what is sealed cannot be read."""
        return cls(KeyRing(), LogSettings())

    @property
    def present(self) -> str:
        """Id of the key that wraps from now on.

        Raises:
            BadKeyRing: ``SECRET_KEY`` is not set.
        """
        if self._ring.present is None:
            raise BadKeyRing("SECRET_KEY is not set: without it nothing can be sealed")
        return self._ring.present

    def wrap(self, key: bytes, *whose: str) -> Wrapped:
        """A key, for storing.

        Raises:
            BadKeyRing: ``SECRET_KEY`` is not set.
        """
        kid = self.present
        return Wrapped(kid, seals.wrap(self._wrapped_by(kid), key, *whose))

    def unwrap(self, wrapped: Wrapped, *whose: str) -> bytes:
        """A stored key.

        Raises:
            BadKeyRing: the ring has not the key it was wrapped under.
            BrokenSeal: it is somebody else's, or was changed.
        """
        return seals.unwrap(self._wrapped_by(wrapped.kid), wrapped.box, *whose)

    def opened(self, wrapped: Wrapped, *whose: str) -> AESGCM | Lost:
        """A stored key, for use."""
        try:
            return AESGCM(self.unwrap(wrapped, *whose))
        except BadKeyRing as error:
            return Lost(str(error))
        except BrokenSeal as error:
            return Lost(f"the stored key is damaged: {error}")

    def recall(self, whose: Whose) -> tuple[AESGCM | None] | None:
        """The key in a tuple, None in it where it was destroyed; None: ask the database."""
        known = self._known.get(whose)
        if known is None or known[1] <= self.now():
            return None
        self._known.move_to_end(whose)
        return known[:1]

    def remember(self, whose: Whose, key: AESGCM | None, as_of: float) -> None:
        """Keeps a key, or that it was destroyed, as it was at a moment of ``now``."""
        self._known[whose] = key, as_of + self._lifetime_s
        self._known.move_to_end(whose)
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    def forget(self, whose: Whose) -> None:
        """It is to be asked for again."""
        self._known.pop(whose, None)

    def digest_key(self, guild_id: str) -> bytes | None:
        """What a guild's digests are made with; None: ask the database."""
        return self._digest_keys.get(guild_id)

    def remember_digest_key(self, guild_id: str, key: bytes) -> None:
        """It never changes."""
        self._digest_keys[guild_id] = key
        if len(self._digest_keys) > self._most:
            self._digest_keys.popitem(last=False)

    def _wrapped_by(self, kid: str) -> AESGCM:
        if kid not in self._wrapping:
            self._wrapping[kid] = AESGCM(self._ring.derive(kid, _PURPOSE))
        return self._wrapping[kid]
