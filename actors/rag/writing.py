"""Rows of many documents and sources, a statement for each table."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import asyncpg
import orjson

from actors.embedding.identity import ModelIdentity
from actors.errors import VersionConflict
from actors.rag import domain, model_rows, projection, sql
from actors.rag.domain import Chunk, Indexed
from actors.rag.store import Change, Write
from actors.runtime.message import GuildId, Outcome, ReplyT
from actors.storage import effects
from actors.storage.database import Transaction, binary_vector
from actors.storage.effects import Effect, Entry

_FLOAT32_BYTES = 4
_NOTHING = orjson.Fragment(b"{}")


async def put(
    tx: Transaction, guild_id: GuildId, writes: Sequence[Write[ReplyT]]
) -> Sequence[Outcome[ReplyT]]:
    """Writes what the commands change, an event for each change, and what they are answered.

    Sources and documents come first, then the guild's model is held, then come passages, events
    and replies: all who write take their locks in this order.

    Returns:
        As `RagStore.commit_all`.

    Raises:
        AlreadyHandled, VersionConflict: as `RagStore.commit_all`; the transaction must not commit.
    """
    changes = [write.change for write in writes if write.change is not None]
    versions = await _put_sources(tx, guild_id, changes)
    lost = {
        change.source.source_id for change in changes if change.source.source_id not in versions
    }
    kept = [
        write
        for write in writes
        if write.change is None or write.change.source.source_id not in lost
    ]
    await _replace_chunks(
        tx, guild_id, [write.change for write in kept if write.change is not None], versions
    )
    positions = iter(
        await effects.record(
            tx,
            guild_id,
            [Effect(one.cause, one.reply, _entry(one.change, versions)) for one in kept],
        )
    )
    return [
        Outcome(error=VersionConflict("document", write.change.source.source_id))
        if write.change is not None and write.change.source.source_id in lost
        else Outcome(reply=write.reply, position=next(positions))
        for write in writes
    ]


async def _put_sources(
    tx: Transaction, guild_id: GuildId, changes: Sequence[Change]
) -> dict[str, int]:
    """Writes the sources of the changes, and the documents that some of them are.

    Returns:
        The version of each source's passages; without the documents that lost a race.

    Raises:
        VersionConflict: one of the sources is at this version already.
    """
    rows: list[asyncpg.Record] = []
    documents = [one for one in changes if one.document is not None]
    if documents:
        rows += await tx.fetch(sql.PUT_DOCUMENTS, guild_id, _json(map(_document, documents)))
    others = [one.source for one in changes if one.document is None]
    if others:
        rows += await tx.fetch(sql.PUT_SOURCES, guild_id, _json(map(_source, others)))
    versions = {row["source_id"]: row["index_version"] for row in rows}
    for source in others:
        if source.source_id not in versions:
            raise VersionConflict(source.type, source.source_id)
    for source_id, version in versions.items():
        if version is None:
            raise VersionConflict("document", source_id)
    return versions


def _entry(change: Change | None, versions: Mapping[str, int]) -> Entry | None:
    """The event of a change."""
    if change is None:
        return None
    source_id = change.source.source_id
    return Entry(
        aggregate_id=projection.index_entry(source_id),
        version=versions[source_id],
        payload=domain.announcement(change.source, change.chunks),
    )


async def _replace_chunks(
    tx: Transaction, guild_id: GuildId, changes: Sequence[Change], versions: Mapping[str, int]
) -> None:
    older = [source_id for source_id, version in versions.items() if version > 1]
    rows = [(change.source.source_id, chunk) for change in changes for chunk in change.chunks]
    if not older and not rows:
        return
    brought = next((_model(chunk) for _, chunk in rows if chunk.vector is not None), None)
    if brought is None:  # vectors that are kept are of the guild's model, which must stay so long
        model = await model_rows.held(tx, guild_id)
    else:
        model = await model_rows.settled(tx, guild_id, brought)
    vectors: list[bytes] = []
    chunks = [_chunk(source_id, _fitting(chunk, model), vectors) for source_id, chunk in rows]
    await tx.execute(sql.REPLACE_CHUNKS, guild_id, older, _json(chunks), vectors)


def _fitting(chunk: Chunk, model: ModelIdentity | None) -> Chunk:
    """Without the vector that it brings, where that is not of the model."""
    vector = chunk.vector
    if vector is None or (
        model is not None
        and vector.model == model.model_id
        and len(vector.values) == model.dimension * _FLOAT32_BYTES
    ):
        return chunk
    return replace(chunk, vector=None)


def _model(chunk: Chunk) -> ModelIdentity | None:
    """Of the vector that it brings."""
    if chunk.vector is None:
        return None
    return ModelIdentity(chunk.vector.model, len(chunk.vector.values) // _FLOAT32_BYTES)


def _chunk(source_id: str, chunk: Chunk, vectors: list[bytes]) -> dict[str, Any]:
    """The row, with the number of its vector, which is added to the others."""
    if chunk.vector is not None:
        vectors.append(binary_vector(chunk.vector.values))
    return {
        "source_id": source_id,
        "chunk_id": chunk.chunk_id,
        "position": chunk.position,
        "heading": chunk.heading,
        "body": chunk.text,
        "char_start": chunk.char_start,
        "char_end": chunk.char_end,
        "digest": chunk.digest.hex(),
        "model_id": None if chunk.vector is None else chunk.vector.model,
        "vector": None if chunk.vector is None else len(vectors),
    }


def _json(rows: Iterable[Mapping[str, Any]]) -> str:
    return orjson.dumps(list(rows)).decode()


def _object(fields: Mapping[str, Any]) -> orjson.Fragment:
    """As Python writes it: what orjson does not take, such as long numbers, stays possible."""
    return orjson.Fragment(json.dumps(dict(fields))) if fields else _NOTHING


def _document(change: Change) -> dict[str, Any]:
    """The row of a document and of the source that it is."""
    document, source = change.document, change.source
    assert document is not None  # noqa: S101  # who calls has looked
    return {
        "document_id": document.document_id,
        "external_id": document.external_id,
        "version": document.version,
        "status": document.status,
        "content_sha256": document.content_sha256,
        "created_at": document.created_at,
        "updated_at": document.updated_at,
        "title": document.title,
        "content": document.content,
        "content_type": document.content_type,
        "source_url": document.source_url,
        "kind": document.kind,
        "tags": document.tags,
        "alert_names": document.alert_names,
        "labels": _object(document.labels),
        "metadata": _object(document.metadata),
        "vector_sha256": document.vector_sha256,
        "urls": source.urls,
        "removed": source.removed,
        "access_level": source.access,
        "changed_at": source.changed_at,
    }


def _source(source: Indexed) -> dict[str, Any]:
    """The row of what is no document."""
    return {
        "source_id": source.source_id,
        "source_type": source.type,
        "source_version": source.version,
        "external_id": source.external_id,
        "title": source.title,
        "body": source.body,
        "kind": source.kind,
        "status": source.status,
        "tags": source.tags,
        "alert_names": source.names,
        "labels": _object(source.labels),
        "urls": source.urls,
        "removed": source.removed,
        "access_level": source.access,
        "changed_at": source.changed_at,
    }
