"""An embedder behind the embeddings API of OpenAI, which many servers speak."""

import asyncio
import math
import random
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import numpy as np
import structlog

from actors.embedding import answers
from actors.embedding.identity import active
from actors.embedding.messages import Vectors
from actors.embedding.waiting import Waiting
from actors.errors import DeadlineExceeded, DependencyUnavailable, ElderGuildError, Overloaded
from actors.outbound.addresses import AddressRefused, Policy
from actors.outbound.client import Answer, Outbound, Unreachable
from actors.resilience import RetryPolicy, pause_before_retry
from actors.settings import EmbeddingSettings, OutboundSettings

_log = structlog.get_logger("elders_guild.embedding")
_NAME = "the embedding endpoint"
_REFUSED_ENCODING = (400, 422)
_REFUSED_TEXTS = (400, 413, 422)


class EndpointFailed(DependencyUnavailable):
    """The endpoint gave no vectors; ``reason`` says why and holds nothing of what was sent."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"{_NAME} is not available: {self.reason}"


class TextsRefused(EndpointFailed):
    """The endpoint is there and does not take what it was sent: one of the texts may be why."""

    retryable = False


class Endpoint:
    """Asks the server that the settings name. Queries and passages do not wait for each other.

    Args:
        settings: where it is, what it makes, and all bounds.
        outbound: the client; `client_of` makes one that may call that server.
        dice: spreads the members that failed together; in [0, 1).
    """

    def __init__(
        self,
        settings: EmbeddingSettings,
        outbound: Outbound,
        *,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.identity = active(settings)
        self._settings = settings
        self._outbound = outbound
        self._dice = dice
        self._waiting = Waiting(settings)
        self._places = {
            urgent: asyncio.Semaphore(settings.max_in_flight) for urgent in (True, False)
        }
        self._encoding = "base64"

    async def embed(self, texts: Sequence[str], *, urgent: bool) -> Vectors:
        """Unit vectors of shape (texts, dimension), in the order of the texts.

        Raises:
            Overloaded: too many texts wait already.
            DependencyUnavailable: the server is away, says no, or answers something else;
                `TextsRefused` where a text may be the reason.
        """
        size = self._settings.batch_texts
        with self._waiting.admitted(len(texts), urgent=urgent):
            made = [
                await self._batch(texts[start : start + size], urgent)
                for start in range(0, len(texts), size)
            ]
        return np.concatenate(made)

    async def close(self) -> None:
        """Closes all connections."""
        await self._outbound.close()

    async def _batch(self, texts: Sequence[str], urgent: bool) -> Vectors:
        sent = [answers.sendable(text, self._settings.max_text_chars) for text in texts]
        async with self._places[urgent]:
            answer = await self._answered(sent, urgent)
        try:
            return answers.vectors(answer.body, texts=len(sent), dimension=self.identity.dimension)
        except answers.BadAnswer as error:
            raise self._failed(str(error)) from None

    async def _answered(self, texts: Sequence[str], urgent: bool) -> Answer:
        """A 200, after as many attempts as are worth it."""
        policy = _policy(self._settings, urgent)
        begun = time.monotonic()
        for attempt in range(1, policy.max_attempts + 1):
            found = await self._once(texts, urgent)
            if isinstance(found, Answer):
                return found
            asked_s = found.retry_after_s if isinstance(found, Overloaded) else 0.0
            pause_s = pause_before_retry(
                policy,
                attempt=attempt,
                elapsed_s=time.monotonic() - begun + asked_s,
                left_s=math.inf,
                dice=self._dice(),
            )
            if pause_s is None:
                raise self._failed(str(found))
            await asyncio.sleep(asked_s + pause_s)
        raise self._failed("all attempts failed")

    async def _once(self, texts: Sequence[str], urgent: bool) -> Answer | ElderGuildError:
        """A 200, or why there is none that a repeat may cure.

        Raises:
            EndpointFailed: a repeat would not cure it.
            TextsRefused: nor would a later one.
        """
        try:
            answer = await self._post(texts, self._encoding, urgent)
            if answer.status in _REFUSED_ENCODING and self._encoding == "base64":
                answer = await self._post(texts, "float", urgent)
                if answer.status == 200:
                    self._encoding = "float"  # this server offers no other
        except (Unreachable, DeadlineExceeded, Overloaded) as error:
            return error
        except ElderGuildError as error:  # the address is refused, or the answer too large
            raise self._failed(str(error)) from None
        match answer.status:
            case 200:
                return answer
            case 429:
                return Overloaded(_seconds(answer.headers.get("retry-after", "")), _NAME)
            case status if status >= 500 or status == 408:
                return Unreachable(f"status {status}")
            case status if status in _REFUSED_TEXTS:
                raise self._failed(f"status {status}", TextsRefused)
            case status:
                raise self._failed(f"status {status}")

    async def _post(self, texts: Sequence[str], encoding: str, urgent: bool) -> Answer:
        settings = self._settings
        headers = {"Content-Type": "application/json"}
        if key := settings.api_key.get_secret_value():
            headers["Authorization"] = f"Bearer {key}"
        return await self._outbound.send(
            "POST",
            _url(settings),
            headers=headers,
            body=answers.request(settings.model, texts, encoding=encoding),
            timeout_s=settings.query_timeout_s if urgent else settings.timeout_s,
        )

    def _failed(self, reason: str, kind: type[EndpointFailed] = EndpointFailed) -> EndpointFailed:
        _log.warning("embedding_endpoint_failed", reason=reason, model=self.identity.model_id)
        return kind(reason)


def client_of(settings: EmbeddingSettings, outbound: OutboundSettings) -> Outbound:
    """A client that may call the operator's server, wherever it is, and nothing else besides.

    Unlike an address that a user names it may be on loopback and without TLS.

    Raises:
        EndpointFailed: as `require_address`.
    """
    require_address(settings, outbound)
    return Outbound(_allowed(settings, outbound))


def require_address(settings: EmbeddingSettings, outbound: OutboundSettings) -> None:
    """Before anything starts; nothing is resolved, and nothing connected.

    Raises:
        EndpointFailed: ``base_url`` is no address that the client calls.
    """
    try:
        Policy(_allowed(settings, outbound)).target(_url(settings))
    except AddressRefused as refused:
        raise EndpointFailed(f"base_url {refused}") from None
    except ValueError:  # of the brackets of an address
        raise EndpointFailed("base_url names a malformed address") from None


def _allowed(settings: EmbeddingSettings, outbound: OutboundSettings) -> OutboundSettings:
    url = urlsplit(settings.base_url)
    return outbound.model_copy(
        update={
            "allow_http": url.scheme.lower() == "http",
            "ports": (),
            "allowed_hosts": ((url.hostname or "").lower(),),
            "timeout_s": settings.timeout_s,
            "max_answer_bytes": settings.max_answer_bytes,
            "max_connections": 2 * settings.max_in_flight,
        }
    )


def _url(settings: EmbeddingSettings) -> str:
    return f"{settings.base_url.rstrip('/')}/embeddings"


def _policy(settings: EmbeddingSettings, urgent: bool) -> RetryPolicy:
    return RetryPolicy(
        budget_s=settings.query_retry_budget_s if urgent else settings.retry_budget_s,
        delay_s=settings.retry_delay_s,
        max_delay_s=settings.retry_delay_max_s,
        max_attempts=settings.attempts,
    )


def _seconds(given: str) -> float:
    """Of a ``Retry-After`` that counts; one that names a time is passed over."""
    return float(given[:6]) if given.isascii() and given.isdigit() else 0.0
