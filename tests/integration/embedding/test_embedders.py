"""Both embedders keep one contract; the one behind HTTP also lives through a bad server."""

import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from actors.embedding.actor import embedder_of
from actors.embedding.endpoint import Endpoint, TextsRefused
from actors.embedding.identity import ModelIdentity
from actors.embedding.model import MiniLm
from actors.embedding.service import Embedder
from actors.embedding.threads import ThreadedModel
from actors.errors import DependencyUnavailable
from actors.settings import EmbeddingProvider, EmbeddingSettings, GuildSettings
from tests.fixtures.embedder_contract import EmbedderContract
from tests.fixtures.embedding_server import DIMENSION, EmbeddingServer, vector_of
from tests.fixtures.receiver import Receiver

KEY = "sk-of-a-test"
Chosen = Callable[..., EmbeddingSettings]


@pytest.fixture
def server() -> EmbeddingServer:
    return EmbeddingServer()


@pytest.fixture
async def chosen(server: EmbeddingServer) -> AsyncIterator[Chosen]:
    """Settings that lead to the server."""
    async with Receiver(behave=server).listening() as receiver:

        def make(**fields: Any) -> EmbeddingSettings:
            given = {
                "provider": EmbeddingProvider.OPENAI,
                "base_url": f"http://127.0.0.1:{receiver.port}/v1/",
                "model": "some-model",
                "api_key": SecretStr(KEY),
                "dimension": DIMENSION,
                "batch_texts": 5,
                "retry_delay_s": 0.01,
            }
            return EmbeddingSettings(**given | fields)

        yield make


async def opened(settings: EmbeddingSettings) -> Embedder:
    return await embedder_of(GuildSettings(embedding=settings))


@pytest.fixture
async def endpoint(chosen: Chosen) -> AsyncIterator[Embedder]:
    made = await opened(chosen())
    yield made
    await made.close()


@pytest.fixture(scope="module")
def minilm() -> MiniLm:
    return MiniLm()


class TestLocalModel(EmbedderContract):
    @pytest.fixture
    async def embedder(self, minilm: MiniLm) -> AsyncIterator[Embedder]:
        made = ThreadedModel(minilm, EmbeddingSettings())
        yield made
        await made.close()


class TestEndpoint(EmbedderContract):
    @pytest.fixture
    def embedder(self, endpoint: Embedder) -> Embedder:
        return endpoint


async def test_the_endpoint_is_asked_in_batches_with_its_model_and_the_key(
    endpoint: Embedder, server: EmbeddingServer
) -> None:
    texts = [f"page {number}" for number in range(7)]

    found = await endpoint.embed(texts, urgent=False)

    assert [len(body["input"]) for body in server.asked] == [5, 2]
    assert {body["model"] for body in server.asked} == {"some-model"}
    assert set(server.keys) == {f"Bearer {KEY}"}
    assert isinstance(endpoint, Endpoint)
    assert endpoint.identity == ModelIdentity("some-model", DIMENSION)
    expected = np.stack([vector_of(text) / np.linalg.norm(vector_of(text)) for text in texts])
    assert np.allclose(found, expected, atol=1e-6)


async def test_without_a_key_none_is_sent(chosen: Chosen, server: EmbeddingServer) -> None:
    endpoint = await opened(chosen(api_key=SecretStr("")))

    await endpoint.embed(["text"], urgent=False)

    assert server.keys == [None]
    await endpoint.close()


async def test_a_server_without_base64_is_asked_for_floats_from_then_on(
    endpoint: Embedder, server: EmbeddingServer
) -> None:
    server.base64 = False

    await endpoint.embed(["first"], urgent=False)
    await endpoint.embed(["second"], urgent=False)

    assert [body["encoding_format"] for body in server.asked] == ["base64", "float", "float"]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
async def test_a_passing_failure_is_tried_again(
    endpoint: Embedder, server: EmbeddingServer, status: int
) -> None:
    server.statuses = [status, status]

    found = await endpoint.embed(["text"], urgent=False)

    assert found.shape == (1, DIMENSION)
    assert len(server.asked) == 3


async def test_a_server_that_says_when_to_come_again_is_obeyed(
    endpoint: Embedder, server: EmbeddingServer
) -> None:
    server.statuses, server.headers = [429], {"Retry-After": "1"}
    begun = time.monotonic()

    await endpoint.embed(["text"], urgent=False)

    assert time.monotonic() - begun >= 1.0


async def test_a_query_does_not_wait_for_a_server_that_says_much_later(
    endpoint: Embedder, server: EmbeddingServer
) -> None:
    server.statuses, server.headers = [429], {"Retry-After": "60"}

    with pytest.raises(DependencyUnavailable):
        await endpoint.embed(["text"], urgent=True)


async def test_attempts_are_bounded(chosen: Chosen, server: EmbeddingServer) -> None:
    endpoint = await opened(chosen(attempts=2))
    server.statuses = [500] * 10

    with pytest.raises(DependencyUnavailable):
        await endpoint.embed(["text"], urgent=False)

    assert len(server.asked) == 2
    await endpoint.close()


@pytest.mark.parametrize("status", [301, 400, 401, 404])
async def test_a_no_is_not_asked_again_and_says_neither_text_nor_key(
    endpoint: Embedder, server: EmbeddingServer, status: int
) -> None:
    server.statuses = [status] * 2

    with pytest.raises(DependencyUnavailable) as refused:
        await endpoint.embed(["a secret plan"], urgent=False)

    assert len(server.asked) <= 2
    assert str(status) in str(refused.value)
    assert "plan" not in str(refused.value)
    assert KEY not in str(refused.value)


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_server_that_does_not_take_the_texts_is_not_away(
    endpoint: Embedder, server: EmbeddingServer, status: int
) -> None:
    server.statuses = [status] * 2

    with pytest.raises(TextsRefused) as refused:
        await endpoint.embed(["a secret plan"], urgent=False)

    assert not refused.value.retryable


async def test_a_slow_server_costs_a_query_no_more_than_its_time(
    chosen: Chosen, server: EmbeddingServer
) -> None:
    endpoint = await opened(chosen(query_timeout_s=0.1, query_retry_budget_s=0.0))
    server.delay_s = 5.0
    begun = time.monotonic()

    with pytest.raises(DependencyUnavailable):
        await endpoint.embed(["text"], urgent=True)

    assert time.monotonic() - begun < 2.0
    await endpoint.close()


async def test_nobody_listening_is_a_dependency_that_is_away(chosen: Chosen) -> None:
    endpoint = await opened(chosen(base_url="http://127.0.0.1:9/v1", attempts=1))

    with pytest.raises(DependencyUnavailable):
        await endpoint.embed(["text"], urgent=False)

    await endpoint.close()


async def test_an_address_that_is_never_called_is_told_before_anything_is_asked(
    chosen: Chosen,
) -> None:
    with pytest.raises(DependencyUnavailable, match="base_url is no plain"):
        await opened(chosen(base_url="http://models_of_ours/v1"))


async def test_vectors_of_another_dimension_are_refused(
    chosen: Chosen, server: EmbeddingServer
) -> None:
    endpoint = await opened(chosen(dimension=DIMENSION + 1))

    with pytest.raises(DependencyUnavailable, match="dimension"):
        await endpoint.embed(["text"], urgent=False)

    await endpoint.close()


async def test_an_answer_that_is_none_is_refused(
    endpoint: Embedder, server: EmbeddingServer
) -> None:
    server.answer = b"<html>sign in first</html>"

    with pytest.raises(DependencyUnavailable):
        await endpoint.embed(["text"], urgent=False)
