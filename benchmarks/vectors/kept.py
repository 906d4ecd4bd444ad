"""The cache: sentences as JSON Lines, vectors as raw float32, and what they are."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import orjson

from actors.embedding.model import DIMENSION, MODEL_ID, MiniLm
from benchmarks.vectors.sentences import chosen
from benchmarks.vectors.sources import corpora, sentences_of_data, sentences_of_packages

Matrix = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]

DOCUMENTS, QUERIES = 100_000, 1_000
ONE_PERCENT, TEN_PERCENT = "one-percent", "ten-percent"
SHARES = {ONE_PERCENT: 0.01, TEN_PERCENT: 0.10}
SEED = 7
CACHE = Path.home() / ".cache" / "elders-guild"
_CHUNK = 2_000
_ROW_BYTES = DIMENSION * 4


class Embeds(Protocol):
    """What makes the vectors."""

    def embed(self, texts: Sequence[str]) -> Matrix:
        """Unit vectors of shape (texts, dimension)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sentences:
    """What is searched, and what for.

    Attributes:
        texts: of the documents.
        vectors: one unit vector a document, float32 of shape (documents, 384).
        tags: by name, which documents have it.
        queries: vectors of sentences that are not among the documents.
        asked: the sentences of the queries.
        digest: of everything in the cache.
    """

    texts: list[str]
    vectors: Matrix
    tags: dict[str, Flags]
    queries: Matrix
    asked: list[str]
    digest: str

    def tags_of(self, row: int) -> list[str]:
        """The tags of one document."""
        return [name for name, has in self.tags.items() if has[row]]


def load(data: Path, documents: int = DOCUMENTS, cache: Path = CACHE) -> Sentences:
    """The first so many documents and all queries, chosen and embedded before if need be.

    The first time takes a quarter of an hour; ended early, the next time goes on from there.

    Raises:
        NoData: the evaluation data is not there.
        ValueError: the cache is not what was written.
    """
    folder = prepared(data, cache)
    texts = _texts(folder)
    said = orjson.loads((folder / "manifest.json").read_bytes())
    if _digest(folder) != said["sha256"]:
        raise ValueError(f"{folder} is damaged: remove it")
    rows = np.memmap(folder / "vectors.f32", np.float32, "r", shape=(len(texts), DIMENSION))
    end = QUERIES + documents
    return Sentences(
        texts=texts[QUERIES:end],
        vectors=np.asarray(rows[QUERIES:end]),
        tags=tags(documents),
        queries=np.asarray(rows[:QUERIES]),
        asked=texts[:QUERIES],
        digest=said["sha256"],
    )


def tags(documents: int) -> dict[str, Flags]:
    """Which documents have which tag; those of a prefix stay the same when more follow."""
    drawn = np.random.default_rng(SEED).random((documents, len(SHARES)))
    return {name: drawn[:, place] < share for place, (name, share) in enumerate(SHARES.items())}


def prepared(data: Path, cache: Path = CACHE, embedder: Embeds | None = None) -> Path:
    """The folder of the cache for this data, complete."""
    folder = cache / "vectors" / _key(data)
    if (folder / "manifest.json").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "texts.jsonl").exists():
        every = [*sentences_of_data(data), *sentences_of_packages()]
        lines = map(orjson.dumps, chosen(every, QUERIES + DOCUMENTS))
        _write(folder / "texts.jsonl", b"".join(line + b"\n" for line in lines))
    embed_rest(folder, embedder or MiniLm(batch=32))
    said = {"model": MODEL_ID, "dimension": DIMENSION, "sha256": _digest(folder)}
    _write(folder / "manifest.json", orjson.dumps(said, option=orjson.OPT_INDENT_2))
    return folder


def embed_rest(folder: Path, embedder: Embeds, chunk: int = _CHUNK) -> None:
    """Embeds the texts that have no vector yet; what a killed run wrote in part is done again."""
    texts = _texts(folder)
    with (folder / "vectors.f32").open("ab") as file:
        file.truncate(done := file.tell() // _ROW_BYTES * _ROW_BYTES)
        for begin in range(done // _ROW_BYTES, len(texts), chunk):
            file.write(embedder.embed(texts[begin : begin + chunk]).astype("<f4").tobytes())
            file.flush()


def _key(data: Path) -> str:
    """Of other data, other sentences: names and sizes of the corpora, and the model."""
    seen = [f"{file.relative_to(data)}:{file.stat().st_size}" for file in corpora(data)]
    return hashlib.sha256("\n".join([MODEL_ID, *seen]).encode()).hexdigest()[:16]


def _texts(folder: Path) -> list[str]:
    return [orjson.loads(line) for line in (folder / "texts.jsonl").read_bytes().splitlines()]


def _digest(folder: Path) -> str:
    digest = hashlib.sha256((folder / "texts.jsonl").read_bytes())
    with (folder / "vectors.f32").open("rb") as file:
        while block := file.read(1 << 24):
            digest.update(block)
    return digest.hexdigest()


def _write(file: Path, content: bytes) -> None:
    half = file.with_suffix(".half")
    half.write_bytes(content)
    half.replace(file)
