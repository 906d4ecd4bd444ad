"""The dashboards are what the code says, and ask for metrics and labels that exist."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from cluster.dashboards import DASHBOARDS, FOLDER, SOURCE, Dashboard, render
from tests.fixtures.exposed import assert_it_exists, exposed

GRAFANA = FOLDER.parent
_MOST_PANELS = 20


def expressions(dashboard: Dashboard) -> list[str]:
    return [expression for panel in dashboard.panels for expression, _ in panel.queries]


def test_the_files_are_the_ones_that_the_code_makes() -> None:
    expected = {f"{one.uid.removeprefix('guild-')}.json": render(one) for one in DASHBOARDS}

    written = {path.name: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.json")}

    assert written == expected, "run python -m cluster.dashboards"


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.uid)
def test_panels_ask_for_metrics_and_labels_that_exist(dashboard: Dashboard) -> None:
    known = exposed()

    for expression in expressions(dashboard):
        assert_it_exists(expression, known)


@pytest.mark.parametrize("dashboard", DASHBOARDS, ids=lambda one: one.uid)
def test_a_dashboard_can_be_taken_in_at_once(dashboard: Dashboard) -> None:
    titles = [panel.title for panel in dashboard.panels]

    assert len(titles) == len(set(titles)) <= _MOST_PANELS
    assert all(panel.unit for panel in dashboard.panels)


def test_every_dashboard_reads_the_source_that_is_provisioned() -> None:
    sources = _load(GRAFANA / "provisioning" / "datasources" / "guild.yml")["datasources"]
    (provider,) = _load(GRAFANA / "provisioning" / "dashboards" / "guild.yml")["providers"]

    provisioned = {(one["type"], one["uid"]) for one in sources}
    asked = {
        (target["datasource"]["type"], target["datasource"]["uid"])
        for one in DASHBOARDS
        for panel in json.loads(render(one))["panels"]
        for target in panel["targets"]
    }

    assert asked == {(SOURCE["type"], SOURCE["uid"])} <= provisioned
    assert provider["type"] == "file"


def _load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))
