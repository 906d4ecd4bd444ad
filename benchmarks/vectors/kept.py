"""The cache: sentences as JSON Lines, vectors as raw float32, and what they are."""

import fcntl
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from benchmarks.vectors.model import DIMENSION, MODEL_ID, Embeds, Flags, Matrix, embedder
from benchmarks.vectors.sentences import chosen
from benchmarks.vectors.sources import corpora, sentences_of_data, sentences_of_packages

DOCUMENTS, QUERIES = 100_000, 1_000
ONE_PERCENT, TEN_PERCENT = "one-percent", "ten-percent"
SHARES = {ONE_PERCENT: 0.01, TEN_PERCENT: 0.10}
SEED = 7
CACHE = Path.home() / ".cache" / "elders-guild"
CHUNK = 2_000
"""Sentences that are embedded, and checked, together."""
_ROW_BYTES = DIMENSION * 4
_TEXTS, _VECTORS, _DIGESTS = "texts.jsonl", "vectors.f32", "vectors.sha256"


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
        ValueError: the cache is not what was written, or holds fewer sentences.
    """
    end = QUERIES + documents
    folder = prepared(data, end, cache)
    texts = _texts(folder)
    if len(texts) < end:
        raise ValueError(f"{len(texts)} sentences are kept, {end} are needed")
    rows = np.memmap(folder / _VECTORS, np.float32, "r", shape=(end, DIMENSION))
    return Sentences(
        # Two sentences quote a NUL, which no contender but one stores.
        texts=[text.replace("\0", " ") for text in texts[QUERIES:end]],
        vectors=np.asarray(rows[QUERIES:end]),
        tags=tags(documents),
        queries=np.asarray(rows[:QUERIES]),
        asked=texts[:QUERIES],
        digest=_checked(folder, end),
    )


def tags(documents: int) -> dict[str, Flags]:
    """Which documents have which tag; those of a prefix stay the same when more follow."""
    drawn = np.random.default_rng(SEED).random((documents, len(SHARES)))
    return {name: drawn[:, place] < share for place, (name, share) in enumerate(SHARES.items())}


def prepared(data: Path, count: int, cache: Path = CACHE) -> Path:
    """The folder of the cache for this data, with vectors for at least so many sentences."""
    folder = cache / "vectors" / _key(data)
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / _TEXTS).exists():
        every = [*sentences_of_data(data), *sentences_of_packages()]
        lines = map(orjson.dumps, chosen(every, QUERIES + DOCUMENTS))
        half = folder / f"{_TEXTS}.half"
        half.write_bytes(b"".join(line + b"\n" for line in lines))
        half.replace(folder / _TEXTS)
    with (folder / "lock").open("w") as lock:
        if len(_digests(folder)) * CHUNK < count:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two at once would write into each other
            embed_rest(folder, embedder(), count)
    return folder


def embed_rest(folder: Path, model: Embeds, count: int, chunk: int = CHUNK) -> None:
    """Embeds the texts that have no vector yet, up to so many, in whole chunks.

    A chunk counts when its digest is written; what a killed run wrote of one is written again.
    """
    texts = _texts(folder)[: -(-count // chunk) * chunk]
    done = len(_digests(folder)) * chunk
    with (folder / _VECTORS).open("ab") as vectors, (folder / _DIGESTS).open("a") as digests:
        vectors.truncate(done * _ROW_BYTES)
        for begin in range(done, len(texts), chunk):
            made = model.embed(texts[begin : begin + chunk]).astype("<f4").tobytes()
            vectors.write(made)
            vectors.flush()
            digests.write(f"{hashlib.sha256(made).hexdigest()}\n")
            digests.flush()


def _key(data: Path) -> str:
    """Of other data, other sentences: names and sizes of the corpora, and the model."""
    seen = [f"{file.relative_to(data)}:{file.stat().st_size}" for file in corpora(data)]
    return hashlib.sha256("\n".join([MODEL_ID, *seen]).encode()).hexdigest()[:16]


def _texts(folder: Path) -> list[str]:
    return [orjson.loads(line) for line in (folder / _TEXTS).read_bytes().splitlines()]


def _digests(folder: Path) -> list[str]:
    file = folder / _DIGESTS
    return file.read_text().split() if file.exists() else []


def _checked(folder: Path, count: int) -> str:
    """The digest of the texts and of so many vectors, which are what was written."""
    whole = hashlib.sha256((folder / _TEXTS).read_bytes())
    with (folder / _VECTORS).open("rb") as file:
        for digest in _digests(folder)[: -(-count // CHUNK)]:
            if hashlib.sha256(file.read(CHUNK * _ROW_BYTES)).hexdigest() != digest:
                raise ValueError(f"{folder} is damaged: remove it")
            whole.update(digest.encode())
    return whole.hexdigest()
