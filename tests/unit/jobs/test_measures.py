"""The measures, against what they are by hand."""

import math

import pytest

from cluster.jobs.asking import collapse, shorten
from cluster.jobs.measures import measure


def test_measures_are_those_of_trec_eval() -> None:
    judged = {"q1": {"a": 2, "b": 1, "c": 0}, "q2": {"x": 1, "y": 1}, "q3": {"z": 1}}
    found = {"q1": ("b", "c", "a"), "q2": ("n", "x"), "q3": ()}

    means = measure(judged, found)

    first = (1 + 2 / math.log2(4)) / (2 + 1 / math.log2(3))
    second = (1 / math.log2(3)) / (1 + 1 / math.log2(3))
    assert means == {
        "ndcg@10": pytest.approx((first + second + 0) / 3),
        "recall@100": pytest.approx((1 + 0.5 + 0) / 3),
        "mrr": pytest.approx((1 + 0.5 + 0) / 3),
    }


def test_only_the_first_ten_count_for_ndcg_and_the_first_hundred_for_recall() -> None:
    judged = {"q1": {"right": 1}, "q2": {"right": 1}}
    found = {
        "q1": (*(f"n{number}" for number in range(10)), "right"),
        "q2": (*(f"n{number}" for number in range(100)), "right"),
    }

    means = measure(judged, found)

    assert means["ndcg@10"] == 0
    assert means["recall@100"] == pytest.approx(0.5)
    assert means["mrr"] == pytest.approx((1 / 11 + 1 / 101) / 2)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (["a", "b"], 1.0),
        (["b", "a"], (1 + 2 / math.log2(3)) / (2 + 1 / math.log2(3))),
        (["x", "y"], 0.0),
        ([], 0.0),
    ],
)
def test_ndcg_is_linear_in_the_grade(found: list[str], expected: float) -> None:
    means = measure({"q1": {"a": 2, "b": 1}}, {"q1": found})

    assert means["ndcg@10"] == pytest.approx(expected)


def test_more_answers_than_places_can_still_be_perfect() -> None:
    grades = {str(number): 1 for number in range(30)}

    means = measure({"q1": grades}, {"q1": list(grades)[:10]})

    assert means["ndcg@10"] == pytest.approx(1)


def test_nothing_asked_is_nothing_found() -> None:
    assert measure({"q1": {"a": 1}}, {}) == {"ndcg@10": 0.0, "recall@100": 0.0, "mrr": 0.0}


def test_passages_are_collapsed_to_documents_by_the_best_of_each() -> None:
    hits = [{"external_id": f"set/{name}"} for name in ("b", "a", "b", "c", "a")]

    assert collapse(hits, lambda name: name.removeprefix("set/")) == ("b", "a", "c")


@pytest.mark.parametrize(("text", "length"), [("a" * 5_000, 4_000), ("障" * 3_000, 1_365)])
def test_a_question_is_cut_after_a_whole_character(text: str, length: int) -> None:
    assert shorten(text, 4_000) == text[:length]
