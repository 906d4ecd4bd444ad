"""A real rule fires, a real Alertmanager signs in and posts, and the guild has one incident."""

from contextlib import ExitStack
from pathlib import Path

import pytest

from cluster.api import Api, Json
from cluster.process import free_ports
from cluster.state import Stack
from tests.fixtures.require import require_service
from tests.integration.alertmanager import monitoring

pytestmark = [pytest.mark.integration, pytest.mark.timeout(400)]

ALERT = "GuildTargetDown"
_WAIT_S = 60.0


async def incidents_of(api: Api, instance: str) -> list[Json]:
    page = (await api.get("/incidents", limit=100)).body["items"]
    return [one for one in page if one["labels"].get("instance") == instance]


async def test_a_rule_that_fires_opens_one_incident_and_its_end_resolves_it(
    stack: Stack, admin: Api, tmp_path: Path
) -> None:
    prometheus = require_service("prometheus")
    alertmanager = require_service("prometheus-alertmanager")
    prometheus_port, alertmanager_port, watched_port = free_ports(3)
    watched = f"127.0.0.1:{watched_port}"
    targets = [stack.api_url.removeprefix("http://"), watched]

    def concerns_watched(page: Json) -> bool:
        return any(one["labels"].get("instance") == watched for one in page["items"])

    with ExitStack() as running:
        receiver = monitoring.alertmanager_files(tmp_path / "alertmanager", stack)
        running.enter_context(monitoring.alertmanager(alertmanager, receiver, alertmanager_port))
        rules = monitoring.prometheus_files(
            tmp_path / "prometheus", targets=targets, alertmanager=alertmanager_port
        )
        running.enter_context(monitoring.prometheus(prometheus, rules, prometheus_port))

        # Nobody answers at the watched address: the shipped rule fires.
        await admin.until("/incidents", concerns_watched, timeout_s=_WAIT_S, limit=100)

        (incident,) = await incidents_of(admin, watched)
        path = f"/incidents/{incident['incident_id']}"
        (alert,) = (await admin.get(f"{path}/alerts")).body["items"]
        assert incident["alert_names"] == [ALERT]
        assert (incident["status"], incident["severity"]) == ("open", "critical")
        assert (alert["status"], alert["labels"]["alertname"]) == ("firing", ALERT)

        with monitoring.exporter(watched_port):  # it answers again: the alert ends
            ended = await admin.until(
                path, lambda one: one["status"] == "resolved", timeout_s=_WAIT_S
            )
            (alert,) = (await admin.get(f"{path}/alerts")).body["items"]
            found = await incidents_of(admin, watched)

        assert ended.body["resolved_by"] == "source"
        assert alert["status"] == "resolved"
        assert len(found) == 1
