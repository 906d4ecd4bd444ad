"""An index in a file: written beside the searches, checked in whole before a byte of it is used.

The file is made of a manifest and the sections that the manifest names, between a mark and the
SHA-256 of everything before it. It is written under another name, synced and renamed, so that
under its own name there is always a whole one. What is not exactly what was written is refused:
the index is then built from the database.
"""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from actors.index.checksum import Checksum
from actors.index.image import Image
from actors.index.passage import Passage, Source, Vector
from actors.private_folder import is_private
from actors.runtime.message import GuildId, Position

_MARK = b"guild-index-1\n"
_LENGTH = 8  # bytes, little-endian, of the manifest's length
_DIGEST = hashlib.sha256().digest_size
_BLOCK = 1 << 20
_FLOAT32 = np.dtype("<f4")
_NO_ROW = -1


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
    checksum = Checksum(guild_id)
    lines: list[bytes] = []
    vectors: list[bytes] = []
    known = 0
    for source, passages in image.loaded():
        checksum.add(source, passages)
        rows = []
        for passage in passages:
            if passage.vector is None:
                rows.append(_NO_ROW)
                continue
            rows.append(known)
            known += 1
            vectors.append(passage.vector.astype(_FLOAT32).tobytes())
        lines.append(orjson.dumps([_plain(source), [_bare(one) for one in passages], rows]))
    sections = {"sources": b"\n".join(lines), "vectors": b"".join(vectors)}
    manifest = Manifest(
        guild_id=guild_id,
        position=str(position),
        model_id=model_id,
        dimension=image.dense.vectors.shape[1],
        written_at=written_at,
        sources=checksum.sources,
        passages=checksum.passages,
        vectors=known,
        checksum=checksum.value,
        sections=tuple((name, len(data)) for name, data in sections.items()),
        shard=shard,
        shards=shards,
    )
    return _replace(path, orjson.dumps(asdict(manifest)), list(sections.values()))


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
    data = path.read_bytes()
    body = memoryview(data)[:-_DIGEST]
    if not data.startswith(_MARK) or len(body) < len(_MARK) + _LENGTH:
        raise BadSnapshot("it is no snapshot of this version")
    if hashlib.sha256(body).digest() != data[-_DIGEST:]:
        raise BadSnapshot("its SHA-256 is another one")
    begin = len(_MARK) + _LENGTH
    length = int.from_bytes(body[len(_MARK) : begin], "little")
    manifest = _manifest(bytes(body[begin : begin + length]))
    if (manifest.guild_id, manifest.model_id, manifest.dimension) != (
        guild_id,
        model_id,
        dimension,
    ):
        raise BadSnapshot("it is of another guild or model")
    if (manifest.shard, manifest.shards) != (shard, shards):
        raise BadSnapshot("the index is divided otherwise")
    sections: dict[str, memoryview] = {}
    begin += length
    for name, size in manifest.sections:
        sections[name] = body[begin : begin + size]
        begin += size
    loaded = list(_loaded(sections["sources"], sections["vectors"], dimension))
    checksum = Checksum(guild_id)
    for source, passages in loaded:
        checksum.add(source, passages)
    if (checksum.value, checksum.sources) != (manifest.checksum, manifest.sources):
        raise BadSnapshot("its sources are not those that were counted")
    return Snapshot(manifest, loaded)


def _replace(path: Path, manifest: bytes, sections: Sequence[bytes]) -> int:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_private(path.parent):
        raise PermissionError(f"{path.parent} is not ours alone")
    beside = path.with_name(f"{path.name}.{os.getpid()}.new")
    digest = hashlib.sha256()
    written = 0
    try:
        with beside.open("wb") as file:
            length = len(manifest).to_bytes(_LENGTH, "little")
            for part in (_MARK, length, manifest, *sections):
                for start in range(0, len(part), _BLOCK):
                    block = part[start : start + _BLOCK]
                    digest.update(block)
                    written += file.write(block)
            written += file.write(digest.digest())
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
    return written


def _manifest(text: bytes) -> Manifest:
    try:
        fields: dict[str, Any] = orjson.loads(text)
        sections = tuple((str(name), int(size)) for name, size in fields.pop("sections"))
        return Manifest(**fields, sections=sections)
    except (ValueError, TypeError, KeyError) as error:
        raise BadSnapshot("its manifest cannot be read") from error


def _loaded(
    sources: memoryview, vectors: memoryview, dimension: int
) -> Iterator[tuple[Source, list[Passage]]]:
    table: Vector = np.frombuffer(vectors, dtype=_FLOAT32).reshape(-1, dimension)
    for line in bytes(sources).split(b"\n"):
        if not line:
            continue
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
