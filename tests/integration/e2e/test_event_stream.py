"""Events go into the running guild and out of it, through its proxy, and nothing holds them up."""

import asyncio
import uuid

import httpx
import pytest
from cloudevents.core.bindings.http import to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from cluster.state import Stack
from tests.fixtures.sse import Parser

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

EVENTS = "/api/v1/events"


async def sign_in(client: httpx.AsyncClient, stack: Stack) -> None:
    assert stack.admin is not None
    answer = await client.post(
        "/oauth/login", json={"login": stack.admin.name, "password": stack.admin.secret}
    )
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


async def test_what_is_published_reaches_an_open_stream_at_once_and_a_resumed_one_from_the_log(
    stack: Stack,
) -> None:
    kind = f"custom.e2e.{uuid.uuid4().hex[:8]}"

    async def publish(client: httpx.AsyncClient, name: str) -> None:
        event = CloudEvent({"id": name, "source": f"/{kind}", "type": kind}, {"name": name})
        message = to_structured(event, JSONFormat())
        answer = await client.post(EVENTS, content=message.body, headers=message.headers)
        assert answer.status_code == 201, answer.text

    async def hear(client: httpx.AsyncClient, last_id: str, number: int) -> tuple[list[str], str]:
        """So many names, the first of them answered by publishing the next."""
        parser, heard = Parser(), []
        headers = {"Last-Event-ID": last_id} if last_id else {}
        async with client.stream(
            "GET", f"{EVENTS}/stream", params={"types": kind}, headers=headers
        ) as answer:
            assert answer.status_code == 200
            async for piece in answer.aiter_bytes():
                for frame in parser.feed(piece):
                    if frame.data:
                        heard.append(frame.json()["id"])
                    if len(heard) == number:
                        return heard, frame.id
                    if not last_id:
                        await publish(client, f"live {len(heard)}")
        raise AssertionError("the stream ended")

    async with httpx.AsyncClient(base_url=stack.api_url, timeout=30) as client:
        await sign_in(client, stack)
        async with asyncio.timeout(30):
            live, place = await hear(client, "", 3)
            await publish(client, "missed")
            resumed, _ = await hear(client, place, 1)

    assert live == ["live 0", "live 1", "live 2"]
    assert resumed == ["missed"]
