"""What two holders of the same passages agree on, in whatever order they came to them. Pure."""

import hashlib
from collections.abc import Iterable

import numpy as np

from actors.index.passage import Passage, Source
from actors.runtime.message import GuildId

_BITS = 64
_FLOAT32 = np.dtype("<f4")


class Checksum:
    """The sum, modulo 2^64, of a hash of each passage: whose, of what version, and its vector.

    Attributes:
        sources: counted.
        passages: counted.
        value: the sum.
    """

    def __init__(self, guild_id: GuildId) -> None:
        self.sources = 0
        self.passages = 0
        self.value = 0
        self._guild = guild_id.encode()

    def add(self, source: Source, passages: Iterable[Passage]) -> None:
        """Counts a source; one without passages counts, too."""
        self.sources += 1
        entry = b"\x00".join((self._guild, source.source_id.encode(), str(source.version).encode()))
        self._count(entry)
        for passage in passages:
            self.passages += 1
            vector = b"" if passage.vector is None else passage.vector.astype(_FLOAT32).tobytes()
            self._count(b"\x00".join((entry, passage.chunk_id.encode(), vector)))

    def _count(self, data: bytes) -> None:
        digest = hashlib.blake2b(data, digest_size=_BITS // 8).digest()
        self.value = (self.value + int.from_bytes(digest, "little")) % (1 << _BITS)
