"""Feedback on search results over HTTP."""

from datetime import UTC, datetime
from typing import Any

import pytest

from actors.errors import DependencyUnavailable
from actors.rag.messages import ForgetFeedback, GetLearntWeight, GiveFeedback, LearntWeight
from actors.runtime.local import LocalPool
from actors.runtime.message import Permission
from tests.fixtures.gateway import app_over, client_of, whole_app

FEEDBACK = "/api/v1/rag/feedback"
WEIGHT = "/api/v1/rag/weight"
GOOD: dict[str, Any] = {"query": "disk full", "document": "doc_1", "relevant": True}
LEARNT = LearntWeight(
    bias=0.5, even_share=0.6225, feedbacks=12, since=datetime(2026, 5, 4, 12, tzinfo=UTC)
)
SHOWN = {
    "bias": 0.5,
    "even_share": 0.6225,
    "feedbacks": 12,
    "since": "2026-05-04T12:00:00.000Z",
}


async def test_feedback_is_one_command_and_answers_what_is_known_with_it() -> None:
    told: list[GiveFeedback] = []

    async def give(command: GiveFeedback) -> LearntWeight:
        told.append(command)
        return LEARNT

    body = {**GOOD, "relevant": False, "filters": {"types": ["document"], "tags": ["storage"]}}
    async with client_of(app_over({"rag": LocalPool({GiveFeedback: give})})) as client:
        answer = await client.post(FEEDBACK, json=body)

    assert (answer.status_code, answer.json()) == (200, {"recorded": True, "weight": SHOWN})
    (command,) = told
    assert (command.query, command.source_id, command.relevant) == ("disk full", "doc_1", False)
    assert command.filters.types == {"document"}
    assert command.filters.tags == {"storage"}


async def test_what_was_learnt_is_shown_and_can_be_forgotten() -> None:
    async def weight(query: GetLearntWeight) -> LearntWeight:
        return LEARNT

    async def forget(command: ForgetFeedback) -> LearntWeight:
        return LearntWeight(bias=0.0, even_share=0.5, feedbacks=0, since=None)

    pool = LocalPool({GetLearntWeight: weight, ForgetFeedback: forget})
    async with client_of(app_over({"rag": pool})) as client:
        shown = await client.get(WEIGHT)
        forgotten = await client.post(f"{WEIGHT}:reset")

    assert shown.json() == SHOWN
    assert forgotten.json() == {"bias": 0, "even_share": 0.5, "feedbacks": 0, "since": None}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {**GOOD, "query": "  "},
        {**GOOD, "query": "é" * 4_000},
        {**GOOD, "document": ""},
        {**GOOD, "relevant": "yes"},
        {**GOOD, "relevant": None},
        {**GOOD, "rank": 1},
        {key: value for key, value in GOOD.items() if key != "relevant"},
    ],
)
async def test_feedback_that_says_nothing_clear_is_refused(body: dict[str, Any]) -> None:
    async with client_of(app_over({"rag": LocalPool({})})) as client:
        answer = await client.post(FEEDBACK, json=body)

    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


async def test_feedback_of_an_unknown_document_is_404() -> None:
    async with client_of(whole_app()) as client:
        answer = await client.post(FEEDBACK, json=GOOD)

    assert answer.status_code == 404


async def test_without_an_embedder_it_is_to_be_tried_again() -> None:
    async def away(command: GiveFeedback) -> LearntWeight:
        raise DependencyUnavailable("the embedder")

    async with client_of(app_over({"rag": LocalPool({GiveFeedback: away})})) as client:
        answer = await client.post(FEEDBACK, json=GOOD)

    assert answer.status_code == 503


async def test_who_may_only_write_cannot_have_everybodys_words_forgotten() -> None:
    user = frozenset({Permission.READ, Permission.WRITE, Permission.RAG})
    async with client_of(app_over({"rag": LocalPool({})}), permissions=user) as client:
        answer = await client.post(f"{WEIGHT}:reset")

    assert answer.status_code == 403
