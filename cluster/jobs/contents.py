"""What stands in an open file, a block at a time, and the digest of exactly that."""

import hashlib
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

from actors.documents.parsed import ParseProblem

_BLOCK = 1 << 20


class Contents:
    """One file, read from its start as often as it is asked for.

    Attributes:
        digest: SHA-256 of the seed and of what the latest whole reading gave.
    """

    def __init__(self, file: BinaryIO, seed: bytes, max_bytes: int) -> None:
        """Reads nothing yet.

        Args:
            file: open, without a buffer; whoever opened it closes it.
            seed: what else the digest is of.
            max_bytes: of a file; a larger one is refused.
        """
        self._file = file
        self._seed = seed
        self._max_bytes = max_bytes
        self.digest = ""

    def blocks(self) -> Iterator[bytes]:
        """All of it, in blocks of 1 MiB at most.

        Raises:
            ParseProblem: it is larger than a file may be, or no regular file.
            OSError: it cannot be read.
        """
        status = os.fstat(self._file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise ParseProblem("is no regular file")
        if status.st_size > self._max_bytes:
            raise self._too_large()
        self._file.seek(0)
        digest = hashlib.sha256(self._seed + b"\n")
        left = self._max_bytes  # it may grow while it is read
        while block := self._file.read(min(_BLOCK, left + 1)):
            left -= len(block)
            if left < 0:
                raise self._too_large()
            digest.update(block)
            yield block
        self.digest = digest.hexdigest()

    def read_digest(self) -> str:
        """Reads all of it for its digest alone. Raises as `blocks` does."""
        for _ in self.blocks():
            pass
        return self.digest

    def _too_large(self) -> ParseProblem:
        return ParseProblem(f"is larger than {self._max_bytes >> 20} MiB")
