"""Recall is against brute force, requests survive their file, goals read the right figures."""

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.frame import Summary
from benchmarks.search import BARE, CHROMA, OURS, goals
from benchmarks.search_peers import Within, exact, guild_wire
from benchmarks.search_peers.asking import packed, post, unpacked
from benchmarks.search_peers.web import decoded, encoded
from benchmarks.vectors.model import DIMENSION, MODEL_ID
from serve_app.schemas.rag import DocumentsIn, HitView, SearchIn

POINTS = np.eye(4, dtype=np.float32)
QUERY = np.array([[0.9, 0.4, 0.2, 0.1]], dtype=np.float32)


def test_the_best_rows_come_in_the_order_of_their_products() -> None:
    found = exact.best(POINTS, QUERY, 3)

    assert found.tolist() == [[0, 1, 2]]


def test_only_allowed_rows_are_right() -> None:
    found = exact.best(POINTS, QUERY, 2, np.array([False, True, False, True]))

    assert found.tolist() == [[1, 3]]


def test_fewer_rows_than_wanted_are_an_error() -> None:
    with pytest.raises(ValueError, match="1 rows, 2 are needed"):
        exact.best(POINTS, QUERY, 2, np.array([False, True, False, False]))


def test_brute_force_in_blocks_is_that_of_a_full_sort() -> None:
    random = np.random.default_rng(1)
    vectors = random.normal(size=(300, 8)).astype(np.float32)
    queries = random.normal(size=(250, 8)).astype(np.float32)

    found = exact.best(vectors, queries, 5)

    assert (found == np.argsort(-(queries @ vectors.T), axis=1)[:, :5]).all()


def test_recall_is_the_share_of_right_rows_whatever_their_order() -> None:
    right = np.array([[1, 2], [3, 4]])

    assert exact.recall([[2, 1], [3, 9]], right) == 0.75
    assert exact.recall([[], []], right) == 0.0


def test_where_fewer_rows_are_right_the_others_are_not_missed() -> None:
    assert exact.recall([[1], [3, 4]], np.array([[1, -1], [3, 4]])) == 1.0


def test_an_answer_that_is_missing_is_no_recall_of_the_others() -> None:
    with pytest.raises(ValueError, match="1 answers to 2 queries"):
        exact.recall([[1, 2]], np.array([[1, 2], [3, 4]]))


@given(st.lists(st.binary()))
def test_packed_requests_come_back_as_they_were(requests: list[bytes]) -> None:
    assert unpacked(packed(requests)) == requests


def test_a_post_carries_its_length_and_its_token() -> None:
    sent = post(80, "/search", b"{}", token="t")

    head, body = sent.split(b"\r\n\r\n")
    assert b"Content-Length: 2" in head.split(b"\r\n")
    assert b"Authorization: Bearer t" in head.split(b"\r\n")
    assert body == b"{}"


def test_a_vector_survives_its_text() -> None:
    assert (decoded(encoded(QUERY[0])) == QUERY[0]).all()


def test_a_search_by_vector_names_the_tag_and_the_mode() -> None:
    body = orjson.loads(guild_wire.search(QUERY[0], "one-percent"))

    assert body == {
        "vector": encoded(QUERY[0]),
        "mode": "dense",
        "top_k": 10,
        "filters": {"tags": ["one-percent"]},
    }


def test_the_gateway_reads_what_a_search_says() -> None:
    vector = np.full(DIMENSION, DIMENSION**-0.5, np.float32)

    asked = SearchIn.model_validate_json(guild_wire.search(vector, "one-percent"))

    assert (asked.query, asked.mode, asked.top_k) == (None, "dense", 10)
    assert asked.filters.tags == ("one-percent",)


def test_the_gateway_reads_a_batch_and_its_hits_name_the_rows() -> None:
    sent = guild_wire.batch([guild_wire.document(7, "the disk is full", ["ten-percent"], QUERY[0])])
    hit = {"external_id": "7"}

    (document,) = DocumentsIn.model_validate_json(sent).documents

    assert (document.external_id, document.tags) == ("7", ("ten-percent",))
    assert hit.keys() <= HitView.model_fields.keys()
    assert guild_wire.rows_of(orjson.dumps({"hits": [hit]})) == [7]


def test_a_document_carries_its_vector_beside_the_model_that_made_it() -> None:
    document = guild_wire.document(7, "the disk is full", [], QUERY[0])

    assert document["vector"] == {"model": MODEL_ID, "values": encoded(QUERY[0])}


def test_goals_are_ratios_of_rates_at_sixteen_clients() -> None:
    results = {
        f"{OURS}, all": {"c16_per_s": _of(900.0)},
        f"{OURS}, tenth": {"c16_per_s": _of(800.0)},
        f"{CHROMA}, all": {"c16_per_s": _of(300.0)},
        f"{CHROMA}, tenth": {"c16_per_s": _of(10.0)},
        f"{BARE}, all": {"c16_per_s": _of(1_000.0)},
    }

    found = {goal.name: goal for goal in goals(results)}

    assert found["all_over_chroma"].measured == 3.0
    assert found["all_over_bare"].measured == 0.9
    assert found["tenth_over_chroma"].measured == 80.0


def test_a_contender_that_was_left_out_leaves_its_goals_unmet() -> None:
    found = goals({f"{OURS}, all": {"c16_per_s": _of(900.0)}})

    assert not any(goal.met for goal in found)


def test_only_filters_have_a_tag() -> None:
    assert Within.ALL.tag is None
    assert {within.tag for within in Within} == {None, "ten-percent", "one-percent"}


def _of(value: float) -> Summary:
    return Summary.of([value])
