"""Rows of many documents and sources, a statement for each table."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from actors.embedding.identity import ModelIdentity
from actors.errors import VersionConflict
from actors.rag import domain, model_rows, projection, sql
from actors.rag.domain import Chunk, Indexed
from actors.rag.messages import Document
from actors.rag.store import Change, Write
from actors.runtime.message import GuildId, Position
from actors.storage import outbox
from actors.storage.database import Transaction, binary_vector

_FLOAT32_BYTES = 4
_NOTHING = orjson.Fragment(b"{}")


async def put_documents(
    tx: Transaction, guild_id: GuildId, writes: Sequence[Write[Any]]
) -> dict[int, str]:
    """Writes the documents among the changes, with their versions.

    Returns:
        Which of the writes lost a race, by their index, with the id of the document.
    """
    documents = {
        write.change.document.document_id: (index, write.change.document)
        for index, write in enumerate(writes)
        if write.change is not None and write.change.document is not None
    }
    if not documents:
        return {}
    rows = await tx.fetch(
        sql.PUT_DOCUMENTS, guild_id, _json([_document(one) for _, one in documents.values()])
    )
    won = {row["document_id"] for row in rows}
    return {index: name for name, (index, _) in documents.items() if name not in won}


async def put_sources(
    tx: Transaction, guild_id: GuildId, writes: Sequence[Write[Any]]
) -> list[Position | None]:
    """Writes the sources of the changes, their passages and an event for each.

    Returns:
        The position of each write's event; None where it changes nothing.

    Raises:
        VersionConflict: one of the sources is at this version already.
    """
    changes = [write.change for write in writes if write.change is not None]
    if not changes:
        return [None] * len(writes)
    sources = [_source(change.source) for change in changes]
    rows = await tx.fetch(sql.PUT_SOURCES, guild_id, _json(sources))
    versions = {row["source_id"]: row["index_version"] for row in rows}
    for change in changes:
        if change.source.source_id not in versions:
            raise VersionConflict(change.source.type, change.source.source_id)
    await _replace_chunks(tx, guild_id, changes, versions)
    positions = iter(
        await outbox.append_each(
            tx,
            [
                outbox.Entry(
                    write.cause,
                    projection.index_entry(write.change.source.source_id),
                    versions[write.change.source.source_id] - 1,
                    domain.announcement(write.change.source, write.change.chunks),
                )
                for write in writes
                if write.change is not None
            ],
        )
    )
    return [None if write.change is None else next(positions) for write in writes]


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
    return chunk if _model(chunk) in (None, model) else replace(chunk, vector=None)


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


def _json(rows: Sequence[Mapping[str, Any]]) -> str:
    return orjson.dumps(rows).decode()


def _object(fields: Mapping[str, Any]) -> orjson.Fragment:
    """As Python writes it: what orjson does not take, such as long numbers, stays possible."""
    return orjson.Fragment(json.dumps(dict(fields))) if fields else _NOTHING


def _document(document: Document) -> dict[str, Any]:
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
    }


def _source(source: Indexed) -> dict[str, Any]:
    return {
        "source_id": source.source_id,
        "source_type": source.type,
        "source_version": source.version,
        "external_id": source.external_id,
        "title": source.title,
        "body": "" if source.type == "document" else source.body,
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
