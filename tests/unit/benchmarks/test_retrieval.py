"""The figures of ranking, and the bars they are held against."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from actors.embedding.identity import SHIPPED
from actors.index.passage import Vector
from benchmarks import retrieval
from benchmarks.progress import Step
from benchmarks.runbooks import Vectors
from tests.fixtures.labelled import write_parts


class OneDirection(Vectors):
    """Every text means the same."""

    def of(self, texts: Sequence[str]) -> list[Vector]:
        return [np.eye(1, SHIPPED.dimension, dtype=np.float32)[0] for _ in texts]


def collection(folder: Path) -> Path:
    corpus = [
        {"_id": "full", "title": "", "text": "The disk is full."},
        {"_id": "slow", "title": "", "text": "The disk is slow."},
        {"_id": "queue", "title": "Queue", "text": ""},
        {"_id": "empty", "title": "", "text": ""},
    ]
    queries = [{"_id": "1", "text": "slow disk"}, {"_id": "2", "text": "nobody judged this"}]
    judged = [("1", "slow", 2), ("1", "queue", 1), ("1", "full", 0)]
    return write_parts(folder, corpus, queries, judged)


def test_a_collection_is_measured_by_its_judged_questions(tmp_path: Path) -> None:
    vectors, step = OneDirection(tmp_path), Step("starting")

    read = retrieval.beir(collection(tmp_path / "small"), vectors, step)
    figures = retrieval.measure(read, vectors, step)

    assert read.relevant == [{"slow": 2, "queue": 1}]
    assert len(read.index) == 3
    assert figures["lexical"]["mrr"] == 1
    assert figures["lexical"]["recall_at_100"] == 0.5
    assert figures["hybrid"]["recall_at_100"] == 1
    assert [figures[leg]["dense_weight"] for leg in retrieval.LEGS] == [0, 1, 0.5]


def test_a_set_that_nobody_knows_is_held_against_its_own_legs() -> None:
    figures = {
        leg: {"ndcg_at_10": score}
        for leg, score in zip(retrieval.LEGS, (0.3, 0.5, 0.48), strict=True)
    }

    goals = {goal.name: goal.met for goal in retrieval.goals({"mine": figures})}

    assert goals == {"mine_over_legs": False, "mean_over_legs": False}


def test_a_set_that_was_to_be_measured_and_was_not_does_not_meet_its_goals() -> None:
    goals = list(retrieval.goals({}, ["scifact"]))

    assert [(goal.name, goal.measured, goal.met) for goal in goals] == [
        ("scifact_ndcg_at_10", None, False),
        ("scifact_over_legs", None, False),
        ("mean_over_legs", None, False),
    ]
