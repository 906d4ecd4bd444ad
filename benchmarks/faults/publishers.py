"""Ways to publish. A writer needs no more than this of the guild."""

from collections.abc import Sequence
from typing import Protocol

import httpx
import orjson

from actors import clock
from actors.bus.messages import NewEvent, PublishEvents
from actors.errors import DependencyUnavailable, ValidationError
from actors.runtime.message import Context
from actors.runtime.pool import Asker
from cluster.state import Login


class Publisher(Protocol):
    """Publishes several events, all or none."""

    async def publish(self, events: Sequence[NewEvent]) -> Sequence[str]:
        """The ids under which the log keeps them, in order, once they are committed.

        Raises:
            ElderGuildError: nobody knows what became of them.
        """


class BusPublisher:
    """Asks the pool of the bus, as the gateway does."""

    def __init__(self, bus: Asker, context: Context, timeout_s: float) -> None:
        self._bus = bus
        self._context = context
        self._timeout_s = timeout_s

    async def publish(self, events: Sequence[NewEvent]) -> Sequence[str]:
        """See `Publisher.publish`."""
        command = PublishEvents(
            context=self._context, command_id=clock.new_id("cmd"), events=tuple(events)
        )
        published = await self._bus.ask(command, timeout_s=self._timeout_s)
        return [one.event_id for one in published]


class HttpPublisher:
    """Posts CloudEvents in batch mode to the gateway, as anybody outside does."""

    def __init__(self, client: httpx.AsyncClient, login: Login) -> None:
        """Signs in when it must; ``client`` has the API's base URL and a timeout."""
        self._client = client
        self._login = login
        self._token: str | None = None

    async def publish(self, events: Sequence[NewEvent]) -> Sequence[str]:
        """See `Publisher.publish`."""
        try:
            return await self._post(events)
        except httpx.HTTPError:
            raise DependencyUnavailable("gateway") from None

    async def _post(self, events: Sequence[NewEvent]) -> Sequence[str]:
        token = self._token or await self._sign_in()
        answer = await self._client.post(
            "/api/v1/events",
            content=orjson.dumps([_cloud_event(event) for event in events]),
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/cloudevents-batch+json",
            },
        )
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._token = None  # it has expired
        if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
            raise ValidationError("events", answer.text)
        answer.raise_for_status()
        return [one["id"] for one in answer.json()]

    async def _sign_in(self) -> str:
        answer = await self._client.post(
            "/oauth/login", json={"login": self._login.name, "password": self._login.secret}
        )
        answer.raise_for_status()
        self._token = str(answer.json()["access_token"])
        return self._token


def _cloud_event(event: NewEvent) -> dict[str, object]:
    return {
        "specversion": "1.0",
        "source": event.source,
        "id": event.source_id,
        "type": event.type,
        "partitionkey": event.partition_key,
        "datacontenttype": "application/json",
        "data": orjson.loads(event.data),
    }
