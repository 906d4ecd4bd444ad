"""An index in a file: written beside the searches, checked in whole before a byte of it is used.

The file is made of sections and the manifest that names them, between a mark and the SHA-256 of
everything before it. The manifest is the last to be written, so nothing needs to be held in memory
until its length is known. The file is written under another name, synced and renamed, so that
under its own name there is always a whole one. What is not exactly what was written is refused:
the index is then built from the database.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import orjson

from actors.index.checksum import Checksum
from actors.index.image import Block, Image
from actors.index.passage import Passage, Source, Vector
from actors.private_folder import is_private
from actors.runtime.message import GuildId, Position

_MARK = b"guild-index-2\n"
_LENGTH = 8  # bytes, little-endian, of the manifest's length; stands behind it
_DIGEST = hashlib.sha256().digest_size
_LEAST = len(_MARK) + _LENGTH + _DIGEST  # bytes
_READ_AT_ONCE = 1 << 20  # bytes
_FLOAT32 = np.dtype("<f4")
_NO_ROW = -1

UNFINISHED = ".new"
"""How the name ends under which a snapshot is written, behind the number of the process."""


class BadSnapshot(Exception):
    """The file is not what was written, or not of this index; the reason is the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a snapshot says of itself.

    Attributes:
        guild_id: whose index.
        position: everything up to here is in it.
        model_id: what made its vectors.
        dimension: of its vectors.
        written_at: seconds since 1970.
        sources: how many.
        passages: how many.
        vectors: how many of the passages have one.
        checksum: see `actors.index.checksum`.
        sections: name and length in bytes, in order.
        shard: which one of the guild's index.
        shards: that the index had.
    """

    guild_id: str
    position: str
    model_id: str
    dimension: int
    written_at: float
    sources: int
    passages: int
    vectors: int
    checksum: int
    sections: tuple[tuple[str, int], ...]
    shard: int = 0
    shards: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """What was read: the sources with their passages and vectors, as `GuildIndex` takes them."""

    manifest: Manifest
    loaded: Sequence[tuple[Source, list[Passage]]]

    @property
    def position(self) -> Position:
        """Everything up to here is in it."""
        return Position.parse(self.manifest.position)


def write(
    path: Path,
    image: Image,
    *,
    guild_id: GuildId,
    position: Position,
    model_id: str,
    written_at: float,
    shard: int = 0,
    shards: int = 1,
) -> int:
    """Writes an image; the former file stays until the new one is whole. Returns its bytes.

    The folder is made where it is missing, for its owner alone.

    Raises:
        OSError: the disk is full, or the folder cannot be written; the former file is untouched.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_private(path.parent):
        raise PermissionError(f"{path.parent} is not ours alone")
    beside = path.with_name(f"{path.name}.{os.getpid()}{UNFINISHED}")
    checksum = Checksum(guild_id)
    try:
        with beside.open("wb") as file:
            writer = _Writer(file)
            writer.add(_MARK)
            texts = writer.section("sources", _lines(image, checksum))
            vectors = writer.section("vectors", _vectors(image))
            dimension = image.dense.vectors.shape[1]
            manifest = Manifest(
                guild_id=guild_id,
                position=str(position),
                model_id=model_id,
                dimension=dimension,
                written_at=written_at,
                sources=checksum.sources,
                passages=checksum.passages,
                vectors=vectors[1] // (dimension * _FLOAT32.itemsize),
                checksum=checksum.value,
                sections=(texts, vectors),
                shard=shard,
                shards=shards,
            )
            writer.finish(orjson.dumps(asdict(manifest)))
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
    finally:
        beside.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return writer.written


def read(
    path: Path,
    guild_id: GuildId,
    model_id: str,
    dimension: int,
    *,
    shard: int = 0,
    shards: int = 1,
) -> Snapshot:
    """Reads a snapshot and compares it with everything that it says of itself.

    Args:
        path: of the file.
        guild_id: whose index it must be.
        model_id: that its vectors must come from.
        dimension: of the vectors.
        shard: which one of the guild's index it must be.
        shards: that the index must have.

    Raises:
        BadSnapshot: it is damaged, of another guild, model or shard, or not a snapshot at all.
        OSError: it cannot be read; `FileNotFoundError` where there is none.
    """
    if path.exists() and not is_private(path.parent):
        raise BadSnapshot("somebody else may have written it: the folder is not ours alone")
    with path.open("rb") as file:
        manifest = _checked(file)
        if (manifest.guild_id, manifest.model_id, manifest.dimension) != (
            guild_id,
            model_id,
            dimension,
        ):
            raise BadSnapshot("it is of another guild or model")
        if (manifest.shard, manifest.shards) != (shard, shards):
            raise BadSnapshot("the index is divided otherwise")
        loaded = list(_loaded(file, dict(manifest.sections), dimension))
    checksum = Checksum(guild_id)
    for source, passages in loaded:
        checksum.add(source, passages)
    if (checksum.value, checksum.sources) != (manifest.checksum, manifest.sources):
        raise BadSnapshot("its sources are not those that were counted")
    return Snapshot(manifest, loaded)


class _Writer:
    """Writes what comes, and knows how much that was and its digest."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self.written = 0

    def add(self, data: bytes) -> None:
        self._digest.update(data)
        self.written += self._file.write(data)

    def section(self, name: str, parts: Iterator[bytes]) -> tuple[str, int]:
        """Writes the parts one behind the other; the section's entry in the manifest."""
        begin = self.written
        for part in parts:
            self.add(part)
        return name, self.written - begin

    def finish(self, manifest: bytes) -> None:
        self.add(manifest)
        self.add(len(manifest).to_bytes(_LENGTH, "little"))
        self.written += self._file.write(self._digest.digest())


def _lines(image: Image, checksum: Checksum) -> Iterator[bytes]:
    """Each source with its passages and the rows of their vectors, counted by the checksum."""
    before = 0
    for block in image.blocks():
        rows = np.where(block.known, before + np.cumsum(block.known) - 1, _NO_ROW).tolist()
        before += int(np.count_nonzero(block.known))
        vectors = _bytes_by_passage(block)
        lines, begin = [], 0
        for source, passages in block.sources:
            own = slice(begin, begin + len(passages))
            begin = own.stop
            ids = [passage.chunk_id for passage in passages]
            checksum.count(source, zip(ids, vectors[own], strict=True))
            line = [_plain(source), [_bare(passage) for passage in passages], rows[own]]
            lines.append(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        yield b"".join(lines)


def _bytes_by_passage(block: Block) -> list[bytes]:
    """The vectors of the block's passages; nothing where there is none."""
    together = block.vectors.astype(_FLOAT32, copy=False).tobytes()
    size = block.vectors.shape[1] * _FLOAT32.itemsize
    return [
        together[row * size : (row + 1) * size] if known else b""
        for row, known in enumerate(block.known.tolist())
    ]


def _vectors(image: Image) -> Iterator[bytes]:
    """In the order of their rows."""
    for block in image.blocks():
        yield block.vectors[block.known].astype(_FLOAT32, copy=False).tobytes()


def _checked(file: BinaryIO) -> Manifest:
    """What stands at the end of a file that is exactly what was written.

    Raises:
        BadSnapshot: it is not.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size < _LEAST or file.read(len(_MARK)) != _MARK:
        raise BadSnapshot("it is no snapshot of this version")
    file.seek(0)
    digest = hashlib.sha256()
    left = size - _DIGEST
    while left and (block := file.read(min(left, _READ_AT_ONCE))):
        digest.update(block)
        left -= len(block)
    if digest.digest() != file.read(_DIGEST):
        raise BadSnapshot("its SHA-256 is another one")
    behind = size - _DIGEST - _LENGTH
    file.seek(behind)
    length = int.from_bytes(file.read(_LENGTH), "little")
    if length > behind - len(_MARK):
        raise BadSnapshot("its manifest cannot be read")
    file.seek(behind - length)
    return _manifest(file.read(length))


def _manifest(text: bytes) -> Manifest:
    try:
        fields: dict[str, Any] = orjson.loads(text)
        sections = tuple((str(name), int(size)) for name, size in fields.pop("sections"))
        return Manifest(**fields, sections=sections)
    except (ValueError, TypeError, KeyError) as error:
        raise BadSnapshot("its manifest cannot be read") from error


def _loaded(
    file: BinaryIO, sections: dict[str, int], dimension: int
) -> Iterator[tuple[Source, list[Passage]]]:
    """The vectors are read once and never copied; of the texts one line at a time is."""
    file.seek(len(_MARK) + sections["sources"])
    numbers = sections["vectors"] // _FLOAT32.itemsize
    table: Vector = np.fromfile(file, _FLOAT32, numbers).reshape(-1, dimension)
    file.seek(len(_MARK))
    left = sections["sources"]
    while left > 0:
        line = file.readline()
        left -= len(line)
        source, passages, rows = orjson.loads(line)
        yield (
            _source(source),
            [
                _passage(passage, None if row == _NO_ROW else table[row])
                for passage, row in zip(passages, rows, strict=True)
            ],
        )


def _plain(source: Source) -> list[Any]:
    return [
        source.source_id,
        source.type,
        source.version,
        source.title,
        source.external_id,
        source.kind,
        source.status,
        source.tags,
        source.names,
        dict(source.labels),
        source.urls,
        source.access,
        source.changed_at,
    ]


def _source(fields: Sequence[Any]) -> Source:
    source_id, kind_of, version, title, external_id, kind, status, *rest = fields
    tags, names, labels, urls, access, changed_at = rest
    return Source(
        source_id=source_id,
        type=kind_of,
        version=version,
        title=title,
        external_id=external_id,
        kind=kind,
        status=status,
        tags=tuple(tags),
        names=tuple(names),
        labels=labels,
        urls=tuple(urls),
        access=access,
        changed_at=changed_at,
    )


def _bare(passage: Passage) -> list[Any]:
    return [
        passage.chunk_id,
        passage.position,
        passage.heading,
        passage.text,
        passage.char_start,
        passage.char_end,
    ]


def _passage(fields: Sequence[Any], vector: Vector | None) -> Passage:
    chunk_id, position, heading, text, char_start, char_end = fields
    return Passage(
        chunk_id=chunk_id,
        position=position,
        heading=heading,
        text=text,
        char_start=char_start,
        char_end=char_end,
        vector=vector,
    )
