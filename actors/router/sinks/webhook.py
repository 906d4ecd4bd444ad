"""An address that takes CloudEvents over HTTP.

Delivered is what was answered with 2xx. At least once: a delivery whose answer is lost is sent
again under the same ``webhook-id``; in a batch, ``source`` and ``id`` say which events are known.
"""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence

from actors import clock, cloudevents
from actors.events import StoredEvent
from actors.outbound.client import Outbound
from actors.router.pace import Pace
from actors.settings import WebhookSettings
from actors.webhooks import signing
from actors.webhooks.answers import failure_of
from actors.webhooks.consent import ORIGIN

_CHARSET = "; charset=utf-8"


class WebhookSink:
    """Posts events: one in CloudEvents' structured mode, several as a batch.

    Args:
        outbound: the one client.
        url: where to.
        secrets: what to sign with, the newest first.
        settings: bounds.
        pace: how the address is treated; of this sink alone.
        batch: most events of one request.
        now: for the time that is signed.
    """

    def __init__(
        self,
        outbound: Outbound,
        url: str,
        secrets: Callable[[], Sequence[str]],
        settings: WebhookSettings,
        *,
        pace: Pace,
        batch: int = 1,
        now: clock.Now = clock.now,
    ) -> None:
        self.batch = batch
        self.pace = pace
        self._outbound = outbound
        self._url = url
        self._secrets = secrets
        self._settings = settings
        self._now = now

    async def deliver(self, delivery: str, events: Sequence[StoredEvent], timeout_s: float) -> None:
        """Returns when every request was answered with 2xx; a large batch is several of them.

        Raises:
            Gone: the receiver wants nothing any more.
            Overloaded: it asks for a pause.
            Unreachable: nobody is there.
            DeadlineExceeded: no answer in time.
            Declined: it said no.
            AddressRefused: its address is none that we call, any more.
        """
        secrets = self._secrets()
        ends_at = asyncio.get_running_loop().time() + min(timeout_s, self._settings.timeout_s)
        for some, body in _requests(events, self._settings.max_request_bytes):
            left_s = ends_at - asyncio.get_running_loop().time()
            await self._post(_webhook_id(delivery, some), some, body, secrets, left_s)

    async def close(self) -> None:
        """The client is shared: it stays open."""

    async def _post(
        self,
        webhook_id: str,
        events: Sequence[StoredEvent],
        body: bytes,
        secrets: Sequence[str],
        timeout_s: float,
    ) -> None:
        media_type = cloudevents.STRUCTURED if len(events) == 1 else cloudevents.BATCH
        answer = await self._outbound.send(
            "POST",
            self._url,
            headers={
                "Content-Type": media_type + _CHARSET,
                ORIGIN: self._settings.origin,
                **signing.sign(secrets, webhook_id, self._now(), body),
            },
            body=body,
            timeout_s=timeout_s,
            max_bytes=0,
        )
        failure = failure_of(answer.status, answer.headers, self._now(), self._settings)
        if failure is not None:
            raise failure


def _requests(
    events: Sequence[StoredEvent], max_bytes: int
) -> Iterator[tuple[Sequence[StoredEvent], bytes]]:
    """Events and bodies, in order; one event alone may be larger than ``max_bytes``."""
    some: list[StoredEvent] = []
    bodies: list[bytes] = []
    size = 0
    for event in events:
        body = cloudevents.structured(event)
        if some and size + len(body) > max_bytes:
            yield some, _joined(bodies)
            some, bodies, size = [], [], 0
        some.append(event)
        bodies.append(body)
        size += len(body) + 1
    yield some, _joined(bodies)


def _joined(bodies: Sequence[bytes]) -> bytes:
    return bodies[0] if len(bodies) == 1 else b"[" + b",".join(bodies) + b"]"


def _webhook_id(delivery: str, events: Sequence[StoredEvent]) -> str:
    """The same for the same events; holds no dot, which would blur what is signed."""
    if len(events) == 1:
        return f"{delivery}/{events[0].event_id}"
    ids = ",".join(event.event_id for event in events)
    return f"{delivery}/{len(events)}-{hashlib.sha256(ids.encode()).hexdigest()[:32]}"
