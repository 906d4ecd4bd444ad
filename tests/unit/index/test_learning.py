"""What is learnt from feedback: nothing by chance, never out of bounds, and the right way."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.index import fusion, learning
from actors.index.fusion import Legs
from actors.index.learning import GRID, STEPS, Judgement

ENOUGH = 30

GAINS = st.floats(0, 1, width=32)
CURVES = st.lists(GAINS, min_size=STEPS, max_size=STEPS)
JUDGEMENTS = st.lists(
    st.tuples(st.integers(0, 20), CURVES, st.booleans()), min_size=1, max_size=60
).map(lambda told: [judgement(query, curve, relevant) for query, curve, relevant in told])


def judgement(query: int, curve: Sequence[float], relevant: bool = True) -> Judgement:
    return Judgement(
        query=query.to_bytes(4), curve=np.array(curve, dtype=np.float32), relevant=relevant
    )


def legs(lexical: Sequence[float], dense: Sequence[float]) -> Legs:
    return Legs(
        lexical=np.array(lexical, dtype=np.float32), dense=np.array(dense, dtype=np.float32)
    )


def test_without_feedback_nothing_is_learnt() -> None:
    assert learning.learnt([]) == 0


@given(JUDGEMENTS)
def test_what_is_learnt_is_bounded_and_the_order_says_nothing(told: list[Judgement]) -> None:
    bias = learning.learnt(told)

    assert bias in GRID
    assert learning.learnt(told[::-1]) == bias


@given(JUDGEMENTS, st.integers(2, 4))
def test_what_is_said_again_of_a_query_counts_once(told: list[Judgement], times: int) -> None:
    assert learning.learnt(told * times) == learning.learnt(told)


@given(st.lists(CURVES.map(sorted), min_size=1, max_size=60))
def test_where_more_meaning_never_harms_there_is_not_less_of_it(curves: list[list[float]]) -> None:
    more = [judgement(query, curve) for query, curve in enumerate(curves)]
    less = [judgement(query, curve[::-1]) for query, curve in enumerate(curves)]

    assert learning.learnt(more) >= 0
    assert learning.learnt(less) == -learning.learnt(more)


@given(st.lists(CURVES, min_size=1, max_size=9))
def test_a_few_queries_change_nothing_whatever_they_say(curves: list[list[float]]) -> None:
    told = [judgement(query, curve) for query, curve in enumerate(curves)]

    assert learning.learnt(told) == 0


def test_one_query_changes_nothing_however_many_sources_are_said_to_answer_it() -> None:
    rising = np.linspace(0, 1, STEPS).tolist()

    assert learning.learnt([judgement(1, rising) for _ in range(500)]) == 0


def test_many_queries_of_one_mind_are_believed() -> None:
    rising = np.linspace(0, 1, STEPS).tolist()

    assert learning.learnt([judgement(query, rising) for query in range(ENOUGH)]) == GRID[-1]


def test_what_does_not_answer_is_pushed_down() -> None:
    rising = np.linspace(0, 1, STEPS).tolist()
    told = [judgement(query, rising, relevant=False) for query in range(ENOUGH)]

    assert learning.learnt(told) == GRID[0]


def test_chance_is_not_taken_for_a_reason() -> None:
    chance = np.random.default_rng(7)
    told = [judgement(query, chance.random(STEPS).tolist()) for query in range(200)]

    assert learning.learnt(told) == 0


def test_a_curve_falls_with_the_rank_and_rises_towards_the_leg_that_is_right() -> None:
    found = legs(lexical=[9, 5, 4, 1], dense=[0.1, 0.2, 0.3, 0.9])

    by_meaning = learning.curve(found, np.array([3]), 0.5)
    by_words = learning.curve(found, np.array([0]), 0.5)

    assert by_meaning[-1] == by_words[0] == 1
    assert np.all(np.diff(by_meaning) >= 0)
    assert np.all(np.diff(by_words) <= 0)


def test_a_source_counts_with_its_best_passage() -> None:
    found = legs(lexical=[9, 5, 4, 1], dense=[0.9, 0.2, 0.3, 0.1])

    curve = learning.curve(found, np.array([0, 3]), 0.5)

    assert curve.tolist() == [1.0] * STEPS


def test_what_is_not_found_says_nothing() -> None:
    found = legs(lexical=[9, 5], dense=[0.9, 0.2])

    assert not learning.curve(found, np.array([], dtype=np.int64), 0.5).any()


@given(st.floats(0.5, 0.9), st.sampled_from(GRID))
def test_a_biased_share_leaves_something_to_each_leg(share: float, bias: float) -> None:
    moved = fusion.biased(share, bias)

    assert 0.1 <= moved <= 0.95
    assert (moved > share) == (bias > 0)
    assert (moved < share) == (bias < 0)


@pytest.mark.parametrize("share", [0.5, 0.61, 0.9])
def test_no_bias_leaves_the_share_as_it_is(share: float) -> None:
    assert fusion.biased(share, 0.0) == share
