"""What two holders of the same passages agree on, in whatever order they came to them. Pure."""

import hashlib
from collections.abc import Iterable

import numpy as np

from actors.index.passage import Passage, Source, Vector
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
        self.count(source, ((one.chunk_id, _bytes_of(one.vector)) for one in passages))

    def count(self, source: Source, passages: Iterable[tuple[str, bytes]]) -> None:
        """Counts a source by the ids and the vectors of its passages.

        Args:
            source: whose version counts.
            passages: each with its vector, little-endian float32; empty where it has none.
        """
        self.sources += 1
        entry = b"\x00".join((self._guild, source.source_id.encode(), str(source.version).encode()))
        self._sum(entry)
        for chunk_id, vector in passages:
            self.passages += 1
            self._sum(b"\x00".join((entry, chunk_id.encode(), vector)))

    def _sum(self, data: bytes) -> None:
        digest = hashlib.blake2b(data, digest_size=_BITS // 8).digest()
        self.value = (self.value + int.from_bytes(digest, "little")) % (1 << _BITS)


def _bytes_of(vector: Vector | None) -> bytes:
    return b"" if vector is None else vector.astype(_FLOAT32, copy=False).tobytes()
