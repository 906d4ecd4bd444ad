"""What a guild has confirmed, on disk before it is counted: a killed job goes on from there.

One file for each guild, root and prefix. It is no copy of the truth: without it everything is sent
again, and what is stored already stays as it is.
"""

import fcntl
import hashlib
import json
import os
import sqlite3
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from cluster.problem import StackProblem

_PAGE = 500
_CACHE_KIB = 2_048
_LOCKED_FOR_S = 5.0
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


@dataclass(frozen=True, slots=True)
class Entry:
    """A document that the guild has.

    Attributes:
        digest: of the source it was made from and of what was said about it.
    """

    external_id: str
    digest: str
    document_id: str
    version: int


class _Damaged(Exception):
    """What stands in the file is no journal, whoever reads it and however often."""


class Journal:
    """A context manager that holds the file for itself.

    Attributes:
        notes: what became of a damaged one, for people.
    """

    def __init__(self, folder: Path, *scope: str) -> None:
        """Opens nothing yet.

        Args:
            folder: of all journals.
            scope: what this one is of; another scope is another journal.
        """
        name = hashlib.sha256(json.dumps(scope).encode()).hexdigest()[:32]
        self.path = folder / f"{name}.sqlite"
        self.notes: list[str] = []
        self._emptied = f"emptied {uuid.uuid4().hex}"

    def __enter__(self) -> Self:
        """Opens it; a damaged one is put aside and a new one begun.

        Raises:
            StackProblem: another job has it, or it cannot be read or written now.
        """
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(f"{self.path}.lock", os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise StackProblem(f"the journal {self.path} cannot be written: {error}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise StackProblem(f"another job works on the same ({self.path})") from None
        try:
            self._database = self._opened()
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()
        os.close(self._lock)

    def get(self, external_id: str) -> Entry | None:
        """What was confirmed of a document last."""
        with self._trouble_told():
            row = self._database.execute(
                "SELECT * FROM entries WHERE external_id = ?",
                (external_id,),
            ).fetchone()
        return Entry(*row) if row else None

    def record(self, entries: Iterable[Entry]) -> None:
        """Writes them to the disk itself before it returns."""
        with self._trouble_told(), self._database:
            self._database.executemany(
                "INSERT OR REPLACE INTO entries VALUES (?, ?, ?, ?)",
                [astuple(entry) for entry in entries],
            )

    def forget(self, external_ids: Iterable[str]) -> None:
        """Takes documents out that the guild no longer has."""
        with self._trouble_told(), self._database:
            self._database.executemany(
                "DELETE FROM entries WHERE external_id = ?", [(name,) for name in external_ids]
            )

    def empty(self, entry: Entry) -> None:
        """Keeps that a document's source has nothing in it now: as a digest that no source has."""
        self.record([replace(entry, digest=self._emptied)])

    def is_empty(self, entry: Entry) -> bool:
        """Whether that was found since this was opened; one found before may be filled again."""
        return entry.digest == self._emptied

    def entries(self) -> Iterator[Entry]:
        """All of them, a page in memory at a time; those read may be forgotten meanwhile."""
        last = ""
        while True:
            with self._trouble_told():
                rows = self._database.execute(
                    "SELECT * FROM entries WHERE external_id > ? ORDER BY external_id LIMIT ?",
                    (last, _PAGE),
                ).fetchall()
            if not rows:
                return
            yield from (Entry(*row) for row in rows)
            last = rows[-1][0]

    def __len__(self) -> int:
        with self._trouble_told():
            return int(self._database.execute("SELECT count(*) FROM entries").fetchone()[0])

    def _opened(self) -> sqlite3.Connection:
        with self._trouble_told():
            try:
                return _open(self.path)
            except _Damaged as damage:
                aside = self._set_aside()
                self.notes.append(
                    f"the journal was damaged ({damage}) and is set aside as {aside}: everything"
                    " is sent again, and what had no file any more is not known to --prune"
                )
            return _open(self.path)

    def _set_aside(self) -> Path:
        aside = self.path.with_suffix(f".damaged-{time.time_ns()}")
        self.path.rename(aside)
        # Else what was to be undone in the damaged file would be undone in the new one.
        undo = Path(f"{self.path}-journal")
        if undo.exists() and undo.stat().st_size:
            undo.rename(f"{aside}-journal")
        return aside

    @contextmanager
    def _trouble_told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, _Damaged) as error:
            raise StackProblem(f"the journal {self.path} cannot be used: {error}") from error


def _open(path: Path) -> sqlite3.Connection:
    """Raises `_Damaged`, or sqlite3.Error for what may pass: a lock, a full disk."""
    database = sqlite3.connect(path, timeout=_LOCKED_FOR_S)
    try:
        # Without a write-ahead log, and in full: what `record` wrote outlives a power cut too.
        database.execute("PRAGMA journal_mode = TRUNCATE")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
        database.execute(
            "CREATE TABLE IF NOT EXISTS entries ("
            "external_id TEXT PRIMARY KEY, digest TEXT NOT NULL,"
            " document_id TEXT NOT NULL, version INTEGER NOT NULL"
            ") WITHOUT ROWID"
        )
        database.commit()
        # The first page alone is read until now, and what is wrong further on would end the job.
        (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            raise _Damaged(" ".join(said.split()))
        path.chmod(0o600)
    except sqlite3.DatabaseError as error:
        database.close()
        # Only its lowest byte is the kind of error.
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE:
            raise _Damaged(str(error)) from error
        raise
    except BaseException:
        database.close()
        raise
    return database
