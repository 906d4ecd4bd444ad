"""What stands beside a dump: what it holds, so that a copy of it can be proven equal."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import pydantic
from pydantic import BaseModel, ConfigDict, Field

from actors.runtime.message import Position
from actors.storage.census import LogState, TableState
from cluster.problem import StackProblem

DATA, MANIFEST = "data", "manifest.json"
_MAX_BYTES = 16 << 20
_SHOWN = 5


class Damaged(StackProblem):
    """A backup, or a copy of one, is not what it was when it was taken."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rows(_Part):
    """One table's rows and their checksum; see `actors.storage.census`."""

    rows: int = Field(ge=0)
    checksum: str = Field(pattern=r"^[0-9a-f]{16}$")


class File(_Part):
    """One file of the dump."""

    bytes: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(_Part):
    """A backup's description. All of it is of one moment of the database.

    Attributes:
        made_at: when the moment was taken, in UTC.
        postgresql: major version of the program that dumped it.
        system_identifier: of the server it is from.
        position: of the last event, None in an empty log.
        key_ids: keys of ``SECRET_KEY`` without which what is sealed in it cannot be read.
        database_bytes: that the database had on its disk.
        tables: by name with schema, partitions each for itself.
        files: by path within the backup.
    """

    format: Literal[1] = 1
    made_at: datetime
    postgresql: int
    system_identifier: int
    migrations: tuple[str, ...]
    epoch: int
    position: str | None
    key_ids: tuple[str, ...]
    database_bytes: int
    tables: Mapping[str, Rows]
    files: Mapping[str, File]

    @classmethod
    def of(
        cls,
        *,
        made_at: datetime,
        postgresql: int,
        state: LogState,
        tables: Mapping[str, TableState],
        files: Mapping[str, File],
    ) -> "Manifest":
        """Describes a dump."""
        return cls(
            made_at=made_at,
            postgresql=postgresql,
            system_identifier=state.system_identifier,
            migrations=state.migrations,
            epoch=state.epoch,
            position=_text(state.position),
            key_ids=state.key_ids,
            database_bytes=state.size_bytes,
            tables={
                name: Rows(rows=one.rows, checksum=one.checksum) for name, one in tables.items()
            },
            files=files,
        )

    @property
    def events(self) -> int:
        """How many events the log has."""
        return sum(one.rows for name, one in self.tables.items() if is_log(name))

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(one.rows for one in self.tables.values())

    def save(self, folder: Path) -> None:
        """Writes it, for good."""
        with (folder / MANIFEST).open("x", encoding="utf-8") as stream:
            stream.write(self.model_dump_json(indent=1))
            stream.flush()
            os.fsync(stream.fileno())

    @classmethod
    def load(cls, folder: Path) -> "Manifest":
        """Of a backup.

        Raises:
            Damaged: it cannot be understood.
            StackProblem: there is none.
        """
        path = folder / MANIFEST
        try:
            with path.open("rb") as stream:
                text = stream.read(_MAX_BYTES)
        except OSError as error:
            raise StackProblem(f"{folder} is no backup: {path}: {error.strerror}") from error
        try:
            return cls.model_validate_json(text)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise Damaged(
                f"{path} is damaged, or of another version: {place} {first['msg']}"
            ) from (error)


def differences(manifest: Manifest, state: LogState, tables: Mapping[str, TableState]) -> list[str]:
    """What a copy has otherwise than its manifest says; nothing where they are equal. Pure."""
    found = []
    for what, wanted, there in (
        ("migrations", manifest.migrations, state.migrations),
        ("epoch", manifest.epoch, state.epoch),
        ("log position", manifest.position, _text(state.position)),
        ("keys", manifest.key_ids, state.key_ids),
    ):
        if wanted != there:
            found.append(f"{what}: {there} in place of {wanted}")
    for name in sorted(manifest.tables.keys() | tables.keys()):
        expected, counted = manifest.tables.get(name), tables.get(name)
        if expected is None or counted is None:
            found.append(f"{name}: {'is missing' if counted is None else 'was not saved'}")
        elif expected.rows != counted.rows:
            found.append(f"{name}: {counted.rows} rows in place of {expected.rows}")
        elif expected.checksum != counted.checksum:
            found.append(f"{name}: its rows have another checksum")
    return found


def damage(manifest: Manifest, folder: Path) -> list[str]:
    """Files that are not as they were written; reads all of them."""
    found = []
    there = files_of(folder)
    for name in sorted(manifest.files.keys() | there.keys()):
        if name not in there:
            found.append(f"{name} is missing")
        elif name not in manifest.files:
            found.append(f"{name} does not belong to it")
        elif manifest.files[name].bytes != there[name].stat().st_size:
            found.append(f"{name} has another size")
        elif manifest.files[name].sha256 != _digest(there[name]):
            found.append(f"{name} has another content")
    return found


def described(folder: Path) -> dict[str, File]:
    """Size and digest of each file of a dump."""
    return {
        name: File(bytes=path.stat().st_size, sha256=_digest(path))
        for name, path in sorted(files_of(folder).items())
    }


def files_of(folder: Path) -> dict[str, Path]:
    """The dump's files by their path within the backup."""
    data = folder / DATA
    return {
        path.relative_to(folder).as_posix(): path for path in data.rglob("*") if not path.is_dir()
    }


def is_log(table: str) -> bool:
    """Whether a table is a partition of the event log."""
    return table.startswith("public.events_")


def listed(problems: Sequence[str]) -> str:
    """The first of several, and how many more there are."""
    more = len(problems) - _SHOWN
    return "; ".join(problems[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _text(position: Position | None) -> str | None:
    return None if position is None else str(position)
