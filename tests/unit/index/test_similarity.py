"""One place for how alike two vectors are."""

import math
import pickle
from collections.abc import Sequence
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.errors import ValidationError
from actors.index.similarity import (
    Method,
    NotComparable,
    calculate_similarity,
    cosines_of_unit,
    to_unit,
)

METHODS: tuple[Method, ...] = get_args(Method)
finite = st.floats(allow_nan=False, allow_infinity=False)
pairs = st.integers(1, 8).flatmap(
    lambda size: st.tuples(*[st.lists(finite, min_size=size, max_size=size).filter(any)] * 2)
)
methods = st.sampled_from(METHODS)


@given(pairs, methods)
def test_every_score_is_between_zero_and_one_whichever_comes_first(
    pair: tuple[list[float], list[float]], method: Method
) -> None:
    score = calculate_similarity(*pair, method)

    assert 0 <= score <= 1
    assert score == calculate_similarity(pair[1], pair[0], method)


@given(pairs)
def test_nothing_is_more_alike_than_a_vector_and_itself(
    pair: tuple[list[float], list[float]],
) -> None:
    one, other = pair

    for method in ("cosine", "euclidean"):
        itself = calculate_similarity(one, one, method)

        assert itself == pytest.approx(1)
        assert itself >= calculate_similarity(one, other, method) - 1e-12


@given(pairs, st.floats(1e-3, 1e3))
def test_a_cosine_does_not_depend_on_length(
    pair: tuple[list[float], list[float]], factor: float
) -> None:
    one, other = (np.clip(side, -1e100, 1e100) for side in pair)
    longer = one * factor
    if not longer.any():
        longer = one  # the factor made it zero

    assert calculate_similarity(longer, other) == pytest.approx(calculate_similarity(one, other))


@pytest.mark.parametrize(
    ("method", "one", "other", "score"),
    [
        ("cosine", [1, 0], [1, 1], math.sqrt(0.5)),
        ("cosine", [1, 0], [-1, 0], 0),
        ("euclidean", [0, 0], [3, 4], 1 / 6),
        ("dot", [1, 0], [0, 1], 0.5),
        ("dot", [1, 2], [3, 4], 1 / (1 + math.exp(-11))),
        ("dot", [0, 0], [1, 1], 0.5),
        ("dot", [1e308, 1e308], [1e308, 1e308], 1),
        ("dot", [1e308, 1e308], [-1e308, 0], 0),
        ("euclidean", [1e308], [-1e308], 0),
    ],
)
def test_the_formulas(
    method: Method, one: Sequence[float], other: Sequence[float], score: float
) -> None:
    assert calculate_similarity(one, other, method) == pytest.approx(score)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1.0], [1.0, 2.0]),
        ([], []),
        ([math.nan, 1.0], [1.0, 1.0]),
        ([1.0, 1.0], [math.inf, 1.0]),
        ([[1.0]], [[1.0]]),
        (["a"], ["b"]),
    ],
)
def test_what_cannot_be_compared_is_an_error(
    method: Method, one: Sequence[float], other: Sequence[float]
) -> None:
    with pytest.raises(NotComparable):
        calculate_similarity(one, other, method)


def test_a_vector_of_length_zero_has_no_cosine() -> None:
    with pytest.raises(NotComparable, match="vector2"):
        calculate_similarity([1.0, 0.0], [0.0, 0.0])


def test_an_unknown_method_is_an_error_of_both_kinds_and_survives_a_process() -> None:
    with pytest.raises(NotComparable) as raised:
        calculate_similarity([1.0], [1.0], "manhattan")  # type: ignore[arg-type]  # the mistake

    error = pickle.loads(pickle.dumps(raised.value))  # noqa: S301  # our own bytes
    assert isinstance(error, ValidationError)
    assert isinstance(error, ValueError)
    assert str(error) == str(raised.value)


@given(
    st.lists(st.lists(st.floats(-9, 9, width=32), min_size=3, max_size=3), min_size=1).map(
        lambda rows: np.array(rows, np.float32) + np.float32(10)
    )
)
def test_many_cosines_at_once_are_the_same_as_one_by_one(vectors: np.ndarray) -> None:
    unit = to_unit(vectors)

    cosines = cosines_of_unit(unit, unit)

    for row in range(len(unit)):
        assert cosines[row, 0] == pytest.approx(calculate_similarity(unit[row], unit[0]), abs=1e-5)
