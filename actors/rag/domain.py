"""What becomes of a document or an event: sources, their passages, the events. Pure."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from actors import clock
from actors.errors import ValidationError, VersionConflict
from actors.events import DocumentDeleted, DocumentIndexed, SourceType
from actors.index.passage import Passage, Source, Vector
from actors.rag import given, passages
from actors.rag.messages import (
    Document,
    DocumentAccess,
    GivenVector,
    StoredDocument,
    StoreDocument,
)

MAX_TITLE = 500
MAX_TAGS = 10
MAX_NAMES = 50
MAX_LABELS = 64
MAX_METADATA = 64
MAX_METADATA_CHARS = 16_000
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # how JSON writes what PostgreSQL cannot keep
_MAX_NUMBER = 1 << 64  # of a label that is no text: Python refuses to write very long ones
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Indexed:
    """A source as the store keeps it.

    Attributes:
        version: of the thing itself, as its own sage counts.
        body: the text that passages are cut from; a document's is kept with its version.
        removed: whether it has left every search.
        access: who may read it.
        changed_at: when its latest change happened.
    """

    source_id: str
    type: SourceType
    version: int
    title: str
    body: str
    external_id: str | None = None
    kind: str = ""
    status: str = ""
    tags: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    urls: tuple[str, ...] = ()
    removed: bool = False
    access: str = "public"
    changed_at: datetime = BEGINNING


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """A passage with its name.

    Attributes:
        title: of its source.
        vector: what the document brought, so that nothing has to be embedded.
    """

    chunk_id: str
    position: int
    title: str
    heading: str
    text: str
    char_start: int
    char_end: int
    vector: GivenVector | None = None

    @property
    def to_embed(self) -> str:
        """What the embedder reads."""
        return to_embed(self.title, self.heading, self.text)

    @property
    def digest(self) -> bytes:
        """Of what its vector comes from: equal text has the same one, unless it was brought."""
        if (brought := given.digest(self.vector)) is not None:
            return bytes.fromhex(brought)
        return hashlib.sha256(self.to_embed.encode()).digest()


def passage_of(chunk: Chunk, vector: Vector | None = None) -> Passage:
    """The chunk as the index holds it."""
    return Passage(
        chunk_id=chunk.chunk_id,
        position=chunk.position,
        heading=chunk.heading,
        text=chunk.text,
        char_start=chunk.char_start,
        char_end=chunk.char_end,
        vector=vector,
    )


def sha256(text: str) -> str:
    """Digest of a text's UTF-8, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def parse(
    command: StoreDocument, max_chars: int, vector: GivenVector | None = None
) -> StoreDocument:
    """The command with what its front matter adds; what the command says itself wins.

    Args:
        command: as it was sent.
        max_chars: of its content.
        vector: its vector at unit length, where it brings one.

    Raises:
        ValidationError: it is empty, too long, or not text that PostgreSQL can keep.
    """
    _check_text("content", command.content, max_chars)
    if not command.content.strip():
        raise ValidationError("content", "is empty")
    _check_text("title", command.title, MAX_TITLE)
    if command.title and not command.title.strip():
        raise ValidationError("title", "is blank")
    found: Mapping[str, Any] = {}
    start = 0
    if command.content_type == "text/markdown":
        found, start = passages.front_matter(command.content)
        heading = passages.first_heading(command.content, start)
    else:
        heading = ""
    title = command.title or _text(found.get("title")) or heading or command.external_id or ""
    filled = replace(
        command,
        title=" ".join(title.split())[:MAX_TITLE] or "Untitled",
        kind=command.kind or _text(found.get("kind")) or "document",
        tags=command.tags or _texts(found.get("tags"))[:MAX_TAGS],
        alert_names=command.alert_names or _texts(found.get("alerts"))[:MAX_NAMES],
        labels=command.labels or _labels(found.get("labels")),
        source_url=command.source_url or _text(found.get("source_url")) or None,
        vector=vector,
    )
    _check_fields(filled)
    return filled


def store(
    present: Document | None, command: StoreDocument, document_id: str, now: datetime
) -> Document:
    """The document after the command; ``present`` itself where that says nothing new."""
    digest = sha256(command.content)
    if present is not None and present.status == "active" and _says_the_same(present, command):
        return present
    return Document(
        document_id=present.document_id if present else document_id,
        external_id=command.external_id,
        version=present.version + 1 if present else 1,
        title=command.title,
        content=command.content,
        content_type=command.content_type,
        content_sha256=digest,
        source_url=command.source_url,
        kind=command.kind or "document",
        tags=command.tags,
        alert_names=command.alert_names,
        labels=dict(command.labels),
        metadata=dict(command.metadata),
        status="active",
        created_at=present.created_at if present else now,
        updated_at=now,
        vector_sha256=given.digest(command.vector),
        access_level=_access_level(present, command),
    )


def delete(document: Document, expected_version: int | None, now: datetime) -> Document:
    """The document, gone from search; a repeat returns it unchanged.

    Raises:
        VersionConflict: it is not at the expected version.
    """
    if document.status == "deleted":
        return document
    if expected_version not in {None, document.version}:
        raise VersionConflict("document", document.document_id)
    return replace(document, status="deleted", version=document.version + 1, updated_at=now)


def source_of(document: Document) -> Indexed:
    """What search knows of a document."""
    return Indexed(
        source_id=document.document_id,
        type="document",
        version=document.version,
        title=document.title,
        body=document.content,
        external_id=document.external_id,
        kind=document.kind,
        status=document.status,
        tags=document.tags,
        names=document.alert_names,
        labels=document.labels,
        urls=(document.source_url,) if document.source_url else (),
        removed=document.status == "deleted",
        access=document.access_level,
        changed_at=document.updated_at,
    )


def reply_of(document: Document, chunks: int, changed: bool) -> StoredDocument:
    """What the sender of a document is told."""
    return StoredDocument(
        document_id=document.document_id,
        external_id=document.external_id,
        version=document.version,
        content_sha256=document.content_sha256,
        chunk_count=chunks,
        changed=changed,
    )


def chunks(source: Indexed, max_words: int, at: datetime, *, markdown: bool = True) -> list[Chunk]:
    """The passages of a source, each with an id that this version always yields.

    Args:
        source: its body is cut; a removed source has no passages.
        max_words: of one passage.
        at: time of the cause, which the ids are made from.
        markdown: whether headings mean anything.
    """
    if source.removed:
        return []
    return [
        Chunk(
            chunk_id=clock.derived_id(
                "chunk", at, source.source_id, str(source.version), str(passage.position)
            ),
            position=passage.position,
            title=source.title,
            heading=passage.heading,
            text=passage.text,
            char_start=passage.char_start,
            char_end=passage.char_end,
        )
        for passage in passages.cut(source.body, max_words=max_words, markdown=markdown)
    ]


def whole(source: Indexed, vector: GivenVector, at: datetime, *, markdown: bool = True) -> Chunk:
    """The one passage of a source that brought its vector: its text, without front matter.

    Args:
        source: neither removed nor blank.
        vector: of unit length.
        at: time of the cause, which the id is made from.
        markdown: whether there may be front matter.
    """
    start = passages.front_matter(source.body)[1] if markdown else 0
    if not source.body[start:].strip():
        start = 0
    text = source.body[start:].rstrip()
    begin = start + len(text) - len(text.lstrip())
    return Chunk(
        chunk_id=clock.derived_id("chunk", at, source.source_id, str(source.version), "0"),
        position=0,
        title=source.title,
        heading="",
        text=text.lstrip(),
        char_start=begin,
        char_end=start + len(text),
        vector=vector,
    )


def to_embed(title: str, heading: str, text: str) -> str:
    """What the embedder reads of a passage: a vector of a paragraph alone forgets its subject."""
    return f"{title}\n{heading}\n{passages.without_marks(text)}"


def searchable(source: Indexed) -> Source:
    """The source as the index holds it, without its text."""
    return Source(
        source_id=source.source_id,
        type=source.type,
        version=source.version,
        title=source.title,
        external_id=source.external_id,
        kind=source.kind,
        status=source.status,
        tags=source.tags,
        names=source.names,
        labels=source.labels,
        urls=source.urls,
        access=source.access,
        changed_at=source.changed_at.timestamp(),
    )


def announcement(source: Indexed, chunks: Sequence[Chunk]) -> DocumentIndexed | DocumentDeleted:
    """What the others hear when a source's passages were stored or taken away.

    Where they brought their vectors, both legs can use them at once, and nothing more follows.
    """
    if source.removed:
        return DocumentDeleted(source_type=source.type, source_id=source.source_id)
    return DocumentIndexed(
        source_type=source.type,
        source_id=source.source_id,
        source_version=source.version,
        chunk_count=len(chunks),
        leg="dense" if chunks and all(chunk.vector for chunk in chunks) else "lexical",
    )


def _says_the_same(present: Document, command: StoreDocument) -> bool:
    return (
        present.content_sha256 == sha256(command.content)
        and present.title == command.title
        and present.content_type == command.content_type
        and present.source_url == command.source_url
        and present.kind == command.kind
        and present.tags == command.tags
        and present.alert_names == command.alert_names
        and dict(present.labels) == dict(command.labels)
        and dict(present.metadata) == dict(command.metadata)
        and present.vector_sha256 == given.digest(command.vector)
        and present.access_level == _access_level(present, command)
    )


def _access_level(present: Document | None, command: StoreDocument) -> DocumentAccess:
    if command.access_level is not None:
        return command.access_level
    return "public" if present is None else present.access_level


def _check_fields(command: StoreDocument) -> None:
    _check_text("title", command.title, MAX_TITLE)
    _check_text("external_id", command.external_id or "", MAX_TITLE)
    _check_text("source_url", command.source_url or "", 2_000)
    _check_text("kind", command.kind or "", 50)
    limits = {"tags": MAX_TAGS, "alert_names": MAX_NAMES}
    for name, values in (("tags", command.tags), ("alert_names", command.alert_names)):
        if len(values) > limits[name]:
            raise ValidationError(name, f"at most {limits[name]}")
        for value in values:
            _check_text(name, value, MAX_TITLE)
    if len(command.labels) > MAX_LABELS or len(command.metadata) > MAX_METADATA:
        raise ValidationError("labels", f"at most {MAX_LABELS}, and as many of metadata")
    for label, value in command.labels.items():
        _check_text("labels", label + value, MAX_TITLE)
    if not command.metadata:
        return
    metadata = json.dumps(dict(command.metadata), ensure_ascii=False)
    if _NUL.search(metadata):
        raise ValidationError("metadata", "has a NUL character")
    _check_text("metadata", metadata, MAX_METADATA_CHARS)


def _check_text(name: str, value: str, limit: int) -> None:
    if len(value) > limit:
        raise ValidationError(name, f"at most {limit} characters")
    if "\x00" in value:
        raise ValidationError(name, "has a NUL character")
    if value.isascii():
        return
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValidationError(name, "has a lone surrogate") from None


def _text(value: object) -> str:
    return value.strip() if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    many = value if isinstance(value, list) else [value]
    return tuple(dict.fromkeys(text for one in many if (text := _text(one))))


def _labels(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    plain = ((_plain(name), _plain(one)) for name, one in value.items())
    return {name: one for name, one in plain if name is not None and one is not None}


def _plain(value: object) -> str | None:
    """A word or a number as text; Python refuses to write very long numbers."""
    short = not isinstance(value, int) or abs(value) <= _MAX_NUMBER
    return str(value) if isinstance(value, str | int | float) and short else None
