"""The dashboards are what the code says, and ask for metrics and labels that exist."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors import metrics
from cluster.dashboards import DASHBOARDS, FOLDER, SOURCE, Dashboard, render

GRAFANA = FOLDER.parent
_NAME = re.compile(r"\b(?:elders_guild|events|http_request|active_connections)\w*")
_SELECTOR = re.compile(r"(\w+)\{([^}]*)\}")
_BY = re.compile(r"by \(([^)]*)\)")
_MOST_PANELS = 20


def exposed() -> dict[str, set[str]]:
    """Names that Prometheus knows, with their labels."""
    found: dict[str, set[str]] = {}
    for family in metrics.REGISTRY.collect():
        collector: Any = metrics.REGISTRY._names_to_collectors[family.name]
        labels = set(collector._labelnames)
        match family.type:
            case "counter":
                found[f"{family.name}_total"] = labels
            case "histogram":
                found |= {f"{family.name}_{part}": labels for part in ("sum", "count")}
                found[f"{family.name}_bucket"] = labels | {"le"}
            case _:
                found[family.name] = labels
    return found


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
        without_labels = re.sub(r"\{[^}]*\}", "", expression)
        named = set(_NAME.findall(without_labels))
        labels = set().union(*(known[name] for name in named))
        assert named <= known.keys(), expression
        for name, selector in _SELECTOR.findall(expression):
            assert set(re.findall(r"(\w+)[=!]~?\"", selector)) <= known[name], expression
        for grouped in _BY.findall(expression):
            assert {label.strip() for label in grouped.split(",")} <= labels, expression


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
