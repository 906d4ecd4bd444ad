"""Prometheus itself reads every panel's expression, and after the main job answers each."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from cluster.api import Api
from cluster.dashboards import DASHBOARDS
from cluster.loop import play_loop
from cluster.process import free_ports
from cluster.state import Stack
from cluster.story import Story
from tests.fixtures.require import require_service
from tests.fixtures.stack import as_alertmanager
from tests.integration.alertmanager import monitoring
from tests.integration.prometheus.test_rules import promtool

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

DEAD_LETTERS = "GuildDeadLettersGrowing"
PANELS = [
    (f"{dashboard.uid}: {panel.title}", expression.replace("$__rate_interval", "1m"))
    for dashboard in DASHBOARDS
    for panel in dashboard.panels
    for expression, _ in panel.queries
]
_ANSWERED_WITHIN_S = 150.0  # what is counted once a minute included
_LONGEST_S = 60.0
_PULLS = 5
_HEARD_OF_S = 4.0  # as a rule, from an actor to Prometheus


class Prometheus:
    """What a running Prometheus says."""

    def __init__(self, port: int) -> None:
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=5)

    def value(self, expression: str) -> list[dict[str, Any]]:
        """The series of an expression; none while it is being started."""
        try:
            answer = self._client.get("/query", params={"query": expression})
        except httpx.TransportError:
            return []
        if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            return []
        found: list[dict[str, Any]] = answer.raise_for_status().json()["data"]["result"]
        return found

    def close(self) -> None:
        self._client.close()


@contextmanager
def scraping(stack: Stack, folder: Path) -> Iterator[Prometheus]:
    """A real one on the shipped files, scraping the stack every second."""
    program = require_service("prometheus")
    port, nobody = free_ports(2)
    target = stack.api_url.removeprefix("http://")
    config = monitoring.prometheus_files(folder, targets=[target], alertmanager=nobody)
    asking = Prometheus(port)
    try:
        with monitoring.prometheus(program, config, port):
            yield asking
    finally:
        asking.close()


def test_prometheus_can_read_every_panel(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{place}", "expr": expression}
        for place, (_, expression) in enumerate(PANELS)
    ]
    path = tmp_path / "panels.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))

    said = promtool("check", "rules", str(path))

    assert f"SUCCESS: {len(PANELS)} rules found" in said


async def test_every_panel_has_data_after_the_main_job(
    stack: Stack, runbooks: None, admin: Api, tmp_path: Path
) -> None:
    with scraping(stack, tmp_path / "prometheus") as prometheus:
        async with as_alertmanager(stack) as intake:
            await until(lambda: prometheus.value('up{job="elders-guild"} == 1'), _LONGEST_S)
            deadline, empty = time.monotonic() + _ANSWERED_WITHIN_S, PANELS
            while empty and time.monotonic() < deadline:  # a rate is what came after the first time
                run = uuid.uuid4().hex[:12]
                story = Story(deployment=f"watched-{run}", instance="gateway-0", run_id=run)
                await play_loop(intake, admin, story, wait_s=60)
                await admin.post("/rag/search", {"query": f"the horizon is held, {run}"})
                await asyncio.sleep(_HEARD_OF_S)
                empty = [
                    (panel, expression)
                    for panel, expression in empty
                    if not any(has_number(one) for one in prometheus.value(expression))
                ]

    assert not empty


async def test_a_dead_letter_fires_the_shipped_rule(stack: Stack, tmp_path: Path) -> None:
    name = f"watched-{uuid.uuid4().hex[:8]}"
    pulling = f"/api/v1/subscriptions/{name}"
    kind = f"custom.{name.replace('-', '.')}"
    event = {"specversion": "1.0", "id": name, "source": "/tests", "type": kind, "data": {}}
    once = {"sink": {"kind": "pull"}, "delivery": {"max_attempts": 1}}
    counted = 'elders_guild_dead_letters_total{subscription="declared.pull"}'
    firing = f'ALERTS{{alertname="{DEAD_LETTERS}",subscription="declared.pull"}} == 1'

    with scraping(stack, tmp_path / "prometheus") as prometheus:
        await until(lambda: prometheus.value(f"{counted} offset 2s"), _LONGEST_S)
        async with signed_in(stack) as client:
            wanted = {"filter": {"types": [kind]}, **once}
            good(await client.put(pulling, json=wanted, headers=key()))
            good(
                await client.post(
                    "/api/v1/events",
                    json=event,
                    headers={"Content-Type": "application/cloudevents+json"},
                )
            )
            loans = {"ack_ids": [await lent(client, pulling)]}
            good(await client.post(f"{pulling}:nack", json=loans, headers=key()))

        await until(lambda: prometheus.value(firing), _LONGEST_S)


@asynccontextmanager
async def signed_in(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """As the administrator, without the patience of `Api`."""
    assert stack.admin is not None
    login = {"login": stack.admin.name, "password": stack.admin.secret}
    async with httpx.AsyncClient(base_url=stack.api_url, timeout=30) as client:
        token = good(await client.post("/oauth/login", json=login)).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        yield client


async def lent(client: httpx.AsyncClient, pulling: str) -> str:
    """Pulls one event, and answers what it is handed back by."""
    for _ in range(_PULLS):
        wait = {"max_events": 1, "wait_s": 9}
        pulled = good(await client.post(f"{pulling}:pull", json=wait, headers=key()))
        for one in pulled.json()["events"]:
            return str(one["ack_id"])
    raise AssertionError("nothing to pull")


def good(answer: httpx.Response) -> httpx.Response:
    assert answer.is_success, answer.text
    return answer


def key() -> dict[str, str]:
    return {"Idempotency-Key": uuid.uuid4().hex}


def has_number(series: dict[str, Any]) -> bool:
    return series["value"][1] not in ("NaN", "+Inf", "-Inf")


async def until(found: Callable[[], object], timeout_s: float) -> None:
    """Asks again until there is something."""
    deadline = time.monotonic() + timeout_s
    while not found():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.5)
