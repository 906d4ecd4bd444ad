"""Incidents over HTTP, over the real sage."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from actors import clock
from actors.runtime.message import GuildId, Permission
from tests.fixtures.gateway import at, client_of, key, whole_app

INCIDENTS = "/api/v1/incidents"
INTAKE = "/api/v1/alerts/alertmanager"


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return whole_app()


@pytest.fixture
def guild() -> GuildId:
    return GuildId(clock.new_id("guild"))


@pytest.fixture
async def client(app: FastAPI, guild: GuildId) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app, guild=guild) as client:
        yield client


def notification(status: str = "firing", fingerprint: str = "c0ffee") -> dict[str, Any]:
    """What Alertmanager 0.25 sends, and a field that only newer ones know."""
    return {
        "receiver": "guild",
        "status": status,
        "alerts": [
            {
                "status": status,
                "labels": {"alertname": "DiskFull", "severity": "critical", "instance": "db-1"},
                "annotations": {"summary": "the disk is full"},
                "startsAt": "2026-03-01T12:00:00.123456789Z",
                "endsAt": "0001-01-01T00:00:00Z" if status == "firing" else "2026-03-01T13:00:00Z",
                "generatorURL": "http://prometheus.example/graph",
                "fingerprint": fingerprint,
                "notAField": {"of": "ours"},
            }
        ],
        "groupLabels": {"alertname": "DiskFull"},
        "commonLabels": {"alertname": "DiskFull", "severity": "critical"},
        "commonAnnotations": {"summary": "the disk is full"},
        "externalURL": "http://alertmanager.example",
        "version": "4",
        "groupKey": '{}:{alertname="DiskFull"}',
        "truncatedAlerts": 0,
        "notification_reason": "first",
    }


async def create(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    body = {"title": "Checkout is slow", **fields}
    return await client.post(INCIDENTS, json=body, headers=key())


async def test_an_alert_becomes_one_incident_and_a_repeat_changes_nothing(
    client: httpx.AsyncClient,
) -> None:
    first = await client.post(INTAKE, json=notification())
    again = await client.post(INTAKE, json=notification())

    assert (first.status_code, again.status_code) == (202, 202)
    assert first.json() == {
        "accepted": 1,
        "deduplicated": 0,
        "incidents": first.json()["incidents"],
    }
    assert again.json() == {**first.json(), "accepted": 0, "deduplicated": 1}
    (incident_id,) = first.json()["incidents"]
    incident = (await client.get(f"{INCIDENTS}/{incident_id}")).json()
    assert (incident["severity"], incident["status"]) == ("critical", "open")
    alerts = (await client.get(f"{INCIDENTS}/{incident_id}/alerts")).json()
    assert [alert["fingerprint"] for alert in alerts["items"]] == ["c0ffee"]
    assert alerts["items"][0]["starts_at"] == "2026-03-01T12:00:00.123Z"


async def test_when_its_source_says_so_the_incident_is_resolved(client: httpx.AsyncClient) -> None:
    (incident_id,) = (await client.post(INTAKE, json=notification())).json()["incidents"]

    await client.post(INTAKE, json=notification("resolved"))

    incident = (await client.get(f"{INCIDENTS}/{incident_id}")).json()
    assert (incident["status"], incident["resolved_by"]) == ("resolved", "source")


async def test_a_client_with_only_its_two_scopes_may_send_alerts_and_not_read(
    app: FastAPI, guild: GuildId
) -> None:
    async with client_of(app, {Permission.WRITE, Permission.INCIDENT}, guild) as client:
        assert (await client.post(INTAKE, json=notification())).status_code == 202
        assert (await client.get(INCIDENTS)).status_code == 403


async def test_an_incident_goes_all_the_way_to_a_published_review(
    client: httpx.AsyncClient,
) -> None:
    made = await create(client, severity="high")
    assert made.status_code == 201
    url = made.headers["location"]
    steps: list[tuple[str, dict[str, Any] | None]] = [
        ("acknowledge", None),
        ("assign", {}),
        ("assess", None),
        ("respond", {"impact": "one order in ten fails"}),
        ("resolve", {"resolution": "rolled back", "root_cause": "a slow query"}),
    ]
    seen = [made.json()["status"]]
    for verb, body in steps:
        answer = await client.post(f"{url}:{verb}", json=body)
        assert answer.status_code == 200, answer.text
        seen.append(answer.json()["status"])

    drafted = await client.post(f"{url}/review", headers=key())
    edited = await client.patch(
        f"{url}/review",
        json={"lessons": "Watch the query plans.", "actions": [{"title": "Add an index"}]},
        headers={"If-Match": drafted.headers["etag"]},
    )
    published = await client.post(f"{url}/review:publish", headers=key())

    assert seen == ["open", "acknowledged", "acknowledged", "assessing", "responding", "resolved"]
    assert (drafted.status_code, drafted.json()["status"]) == (201, "draft")
    assert edited.json()["actions"][0]["title"] == "Add an index"
    assert published.json()["status"] == "final"
    assert (await client.get(url)).json()["status"] == "closed"
    kinds = [entry["kind"] for entry in (await client.get(f"{url}/timeline")).json()["entries"]]
    assert "sage.incident.review.published" in kinds


async def test_a_step_that_the_state_does_not_allow_is_409(client: httpx.AsyncClient) -> None:
    url = (await create(client)).headers["location"]

    answer = await client.post(f"{url}:assess")

    assert answer.status_code == 409
    assert answer.json()["type"].endswith(":invalid_transition")


async def test_the_etag_is_the_version_and_guards_a_change(client: httpx.AsyncClient) -> None:
    made = await create(client)
    url = made.headers["location"]
    assert made.headers["etag"] == f'"{made.json()["version"]}"'

    changed = await client.patch(
        url, json={"severity": "low"}, headers={"If-Match": made.headers["etag"]}
    )
    stale = await client.patch(
        url, json={"severity": "info"}, headers={"If-Match": made.headers["etag"]}
    )
    unguarded = await client.patch(url, json={"severity": "info"})

    assert (changed.status_code, changed.json()["severity"]) == (200, "low")
    assert stale.status_code == 412
    assert unguarded.status_code == 428
    assert (await client.get(url)).json()["severity"] == "low"


async def test_a_verb_may_be_guarded_too(client: httpx.AsyncClient) -> None:
    url = (await create(client)).headers["location"]

    answer = await client.post(f"{url}:acknowledge", headers=at(99))

    assert answer.status_code == 412


async def test_a_list_is_walked_page_by_page_by_its_links(client: httpx.AsyncClient) -> None:
    made = [(await create(client, title=f"number {n}")).json()["incident_id"] for n in range(5)]
    seen: list[str] = []
    url: str | None = f"{INCIDENTS}?limit=2&status=open&severity=medium"
    while url is not None:
        page = await client.get(url)
        seen += [incident["incident_id"] for incident in page.json()["items"]]
        url = page.links.get("next", {}).get("url")
        await create(client, title="meanwhile")

    assert seen == made[::-1]


async def test_a_missing_dossier_and_a_missing_incident_are_404(client: httpx.AsyncClient) -> None:
    url = (await create(client)).headers["location"]

    assert (await client.get(f"{url}/dossier")).status_code == 404
    assert (await client.get(f"{INCIDENTS}/{clock.new_id('inc')}")).status_code == 404


async def test_another_guilds_incident_is_as_if_it_did_not_exist(
    app: FastAPI, client: httpx.AsyncClient
) -> None:
    theirs = (await create(client)).headers["location"]
    nowhere = f"{INCIDENTS}/{clock.new_id('inc')}"
    async with client_of(app, guild=GuildId(clock.new_id("guild"))) as stranger:
        for path, method in (
            ("", "GET"),
            ("/timeline", "GET"),
            ("/dossier", "GET"),
            ("/review", "GET"),
            ("/alerts", "GET"),
            (":acknowledge", "POST"),
            ("/review:publish", "POST"),
        ):
            answers = [
                await stranger.request(method, url + path, headers={**key(), "X-Request-Id": "one"})
                for url in (theirs, nowhere)
            ]

            assert answers[0].status_code == 404, path
            assert answers[0].content == answers[1].content, path
        assert (await stranger.get(INCIDENTS)).json()["items"] == []

    assert (await client.get(theirs)).json()["status"] == "open"
