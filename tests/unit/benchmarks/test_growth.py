"""Documents beyond the real ones are like them but not the same, and brute force sees them all."""

import numpy as np
import pytest

from benchmarks.index_growth import grown, plot
from benchmarks.search_peers import exact
from benchmarks.vectors import kept
from benchmarks.vectors.model import DIMENSION

REAL = 1_000


def _sentences() -> kept.Sentences:
    random = np.random.default_rng(3)
    drawn = random.normal(size=(REAL + 5, DIMENSION)).astype(np.float32)
    unit = drawn / np.linalg.norm(drawn, axis=1, keepdims=True)
    return kept.Sentences(
        texts=[f"sentence number {row} of them all" for row in range(REAL)],
        vectors=unit[:REAL],
        tags=kept.tags(REAL),
        queries=unit[REAL:],
        asked=["what"] * 5,
        digest="",
    )


def test_the_first_documents_are_the_real_ones() -> None:
    real = _sentences()

    first, second = grown.blocks(real, 1_500)

    assert [first.real, second.real] == [True, False]
    assert first.texts == real.texts
    assert (first.vectors == real.vectors).all()
    assert len(second.texts) == 500


def test_a_perturbed_vector_has_unit_length_and_stays_near() -> None:
    real = _sentences()

    _, second = grown.blocks(real, 2_000)

    cosines = (second.vectors * real.vectors).sum(axis=1)
    assert np.linalg.norm(second.vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert 0.85 < cosines.mean() < 0.95
    assert cosines.max() < 0.99


def test_the_same_count_gives_the_same_documents() -> None:
    one, other = (list(grown.blocks(_sentences(), 2_000))[1] for _ in range(2))

    assert one.texts == other.texts
    assert (one.vectors == other.vectors).all()


def test_brute_force_in_blocks_finds_what_it_finds_at_once() -> None:
    real = _sentences()
    nearest = grown.Nearest(real.queries, 10)

    for begin in range(0, REAL, 300):
        nearest.show(begin, real.vectors[begin : begin + 300])

    assert (nearest.rows == exact.best(real.vectors, real.queries, 10)).all()


def test_the_plot_shows_sizes_in_order_and_leaves_out_what_was_not_measured() -> None:
    written = {
        "results": {
            "100 documents": {"build_s": {"median": 5.0}},
            "10 documents": {"build_s": {"median": 1.0}},
            "20 documents": {},
            "30 dense": {"build_s": {"median": 9.0}},
        }
    }

    assert plot.points(written, "documents", "build_s") == ([10, 100], [1.0, 5.0])


def test_two_halves_make_one_text() -> None:
    assert grown.crossed("a b c d", "e f g h") == "a b g h"
