"""An embeddings API's answer: what is taken, what is refused, and what is sent."""

import base64
import json
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from actors.embedding import answers
from actors.embedding.answers import BadAnswer
from actors.embedding.endpoint import EndpointFailed, TextsRefused
from actors.embedding.identity import ModelIdentity, active
from actors.settings import EmbeddingProvider, EmbeddingSettings

NUMBERS = st.lists(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=3, max_size=3).filter(
        lambda row: max(map(abs, row)) > 1e-3
    ),
    min_size=1,
    max_size=5,
)


def answer(*data: Any) -> bytes:
    return json.dumps({"data": list(data), "usage": {"total_tokens": 3}}).encode()


def one(embedding: Any, index: int | None = None) -> dict[str, Any]:
    return {"embedding": embedding} | ({} if index is None else {"index": index})


@given(rows=NUMBERS, dice=st.randoms())
def test_both_forms_give_the_same_unit_vectors_in_the_order_of_the_texts(
    rows: list[list[float]], dice: Any
) -> None:
    lists = [one(row, at) for at, row in enumerate(rows)]
    packed = [
        one(base64.b64encode(np.array(row, "<f4").tobytes()).decode(), at)
        for at, row in enumerate(rows)
    ]
    dice.shuffle(lists)
    dice.shuffle(packed)

    from_lists = answers.vectors(answer(*lists), texts=len(rows), dimension=3)
    from_bytes = answers.vectors(answer(*packed), texts=len(rows), dimension=3)

    assert np.allclose(from_lists, from_bytes, atol=1e-6)
    assert np.linalg.norm(from_lists, axis=1) == pytest.approx(1.0, abs=1e-5)
    directions = np.array(rows) / np.linalg.norm(rows, axis=1, keepdims=True)
    assert np.allclose(from_lists, directions, atol=1e-5)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"data": null}',
        answer(),
        answer(one([1, 0]), one([0, 1])),
        answer(one([1, 0, 0])),
        answer(one([])),
        answer(one([0, 0])),
        answer(one([1, 0], index=1)),
        answer(one([1, float("nan")])),
        answer(one([1, float("inf")])),
        answer(one([1e308, 1e308])),
        answer(one("not base64!")),
        answer(one("AAA=")),
        answer(one(base64.b64encode(np.array([1, np.nan], "<f4").tobytes()).decode())),
        answer(one(["a", "b"])),
        answer(one([True, 1])),
        answer(one(["1", 1])),
        answer(one("é")),
        answer(one(None)),
        answer(one({"0": 1})),
        answer(one([1, 0], index="0")),  # type: ignore[arg-type]  # as a server may write it
        answer(one([1, 0], index=[0])),  # type: ignore[arg-type]  # as a server may write it
        answer("a"),
    ],
)
def test_other_vectors_than_were_asked_for_are_refused(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        answers.vectors(body, texts=1, dimension=2)


@given(body=st.binary(max_size=100))
def test_no_answer_breaks_the_reader(body: bytes) -> None:
    with pytest.raises(BadAnswer):
        answers.vectors(body, texts=1, dimension=2)


@given(text=st.text(st.characters(), max_size=20))
def test_every_text_can_be_sent_and_none_is_empty(text: str) -> None:
    sent = answers.sendable(text, 10)

    assert 1 <= len(sent) <= 10
    assert json.loads(answers.request("m", [sent], encoding="float"))["input"] == [sent]


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "m"},
        {"base_url": "https://models.example/v1"},
        {"base_url": "models.example/v1", "model": "m"},
        {"base_url": "ftp://models.example/v1", "model": "m"},
        {"base_url": "https://key@models.example/v1", "model": "m"},
        {"base_url": "https://models.example/v1?key=1", "model": "m"},
    ],
)
def test_an_endpoint_without_its_address_or_model_is_a_mistake(fields: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="provider openai"):
        EmbeddingSettings.model_validate({"provider": EmbeddingProvider.OPENAI} | fields)


@pytest.mark.parametrize(
    ("failed", "retryable"),
    [(EndpointFailed("status 401"), True), (TextsRefused("status 422"), False)],
)
def test_the_endpoints_failure_arrives_as_it_was_sent(
    failed: EndpointFailed, retryable: bool
) -> None:
    arrived = pickle.loads(pickle.dumps(failed))  # noqa: S301  # our own bytes

    assert str(arrived) == str(failed)
    assert (arrived.code, arrived.retryable) == ("dependency_unavailable", retryable)


def test_the_identity_behind_an_endpoint_is_known_without_asking_it() -> None:
    settings = EmbeddingSettings(
        provider=EmbeddingProvider.OPENAI,
        base_url="https://models.example/v1",
        model="large",
        dimension=1024,
    )

    assert active(settings) == ModelIdentity("large", 1024)
