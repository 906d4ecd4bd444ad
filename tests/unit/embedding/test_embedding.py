"""The embedder: the real model against its published example, the service on a fake."""

import threading
from collections.abc import Sequence

import numpy as np
import pytest

from actors.embedding import model
from actors.embedding.messages import Embed, Vectors
from actors.embedding.model import EmbedderBroken, MiniLm
from actors.embedding.service import EmbeddingService
from actors.errors import ValidationError
from actors.runtime.local import LocalPool
from actors.settings import IndexSettings
from tests.fixtures.rag_builders import context


class CountingModel:
    model_id = "counting"
    dimension = 2

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.threads: set[str] = set()

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.seen.append(list(texts))
        self.threads.add(threading.current_thread().name.rsplit("_", 1)[0])
        return np.array([[len(text), 1] for text in texts], np.float32)


@pytest.fixture(scope="module")
def minilm() -> MiniLm:
    return MiniLm(batch=2)  # checks the published example itself


def pool_of(counting: CountingModel, entries: int = 10) -> LocalPool:
    settings = IndexSettings(query_cache_entries=entries, max_embed_texts=4)
    return LocalPool(EmbeddingService(counting, settings).handlers())


def embed(*texts: str, urgent: bool = False) -> Embed:
    return Embed(context=context(), texts=texts, urgent=urgent)


def test_vectors_are_of_unit_length_in_the_order_of_the_texts(minilm: MiniLm) -> None:
    texts = ["disk full", "a much longer text about the order queue " * 5, "x", ""]

    together = minilm.embed(texts)

    alone = np.concatenate([minilm.embed([text]) for text in texts])
    assert together.shape == (4, 384)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert np.sum(together * alone, axis=1) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("text", ["\ud800 lone", "\x00", "🙂" * 9_000, "word " * 100_000])
def test_strange_texts_are_embedded_all_the_same(minilm: MiniLm, text: str) -> None:
    assert np.isfinite(minilm.embed([text])).all()


def test_other_weights_than_the_measured_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "_MODEL_SHA256", "0" * 64)

    with pytest.raises(EmbedderBroken):
        MiniLm()


def test_other_arithmetic_than_the_measured_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "_EXAMPLE_COSINES", (0.1, 0.2, 0.3))

    with pytest.raises(EmbedderBroken):
        MiniLm()


async def test_a_query_is_embedded_once_and_remembered() -> None:
    counting = CountingModel()
    pool = pool_of(counting)

    first = await pool.ask(embed("disk", urgent=True))
    again = await pool.ask(embed("disk", "queue", "disk", urgent=True))

    assert counting.seen == [["disk"], ["queue"]]
    assert again.vectors.tolist() == [[4, 1], [5, 1], [4, 1]]
    assert first.model_id == "counting"


async def test_the_memory_of_queries_is_bounded() -> None:
    counting = CountingModel()
    pool = pool_of(counting, entries=1)

    for text in ("one", "two", "one"):
        await pool.ask(embed(text, urgent=True))

    assert counting.seen == [["one"], ["two"], ["one"]]


async def test_people_do_not_queue_behind_passages() -> None:
    counting = CountingModel()
    pool = pool_of(counting)

    await pool.ask(embed("a passage"))
    await pool.ask(embed("a query", urgent=True))

    assert counting.threads == {"embed-passages", "embed-query"}


@pytest.mark.parametrize("count", [0, 5])
async def test_no_text_and_too_many_are_refused(count: int) -> None:
    with pytest.raises(ValidationError):
        await pool_of(CountingModel()).ask(embed(*["text"] * count))
