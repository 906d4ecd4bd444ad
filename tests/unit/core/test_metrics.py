"""Names, units and labels of all metrics; what of them the guide shows."""

import math
import re
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric

from actors import metrics

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "MONITORING_SETUP.md"
ORIGINAL = {
    "events_published_total",
    "events_processed_total",
    "http_request_duration_seconds",
    "active_connections",
}
OURS = "elders_guild_"
GAUGES_CALLED_TOTAL = {"elders_guild_knowledge_entities_total"}  # the original guide's name
UNITS = ("seconds", "bytes", "percent")
NOT_BASE_UNITS = re.compile(r"_(ms|millis\w*|minutes|hours|kb|mib|mb|gib|ratio_percent)(_|$)")
_ROW = re.compile(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \| ([^|]*) \|$", re.MULTILINE)


def families() -> list[Metric]:
    return list(metrics.REGISTRY.collect())


def exposed(family: Metric) -> str:
    """The name that Prometheus knows it by."""
    return f"{family.name}_total" if family.type == "counter" else family.name


def labels_of(family: Metric) -> tuple[str, ...]:
    collector = metrics.REGISTRY._names_to_collectors[family.name]
    return tuple(collector._labelnames)  # type: ignore[attr-defined]  # all of ours are metrics


def rows_of_the_guide() -> list[tuple[str, ...]]:
    return _ROW.findall(GUIDE.read_text(encoding="utf-8"))


@pytest.mark.parametrize("family", families(), ids=exposed)
def test_a_metric_says_what_it_is_in_base_units(family: Metric) -> None:
    name = exposed(family)

    assert name in ORIGINAL or name.startswith(OURS)
    assert re.fullmatch(r"[A-Z].*\S[.]", family.documentation)
    assert NOT_BASE_UNITS.search(name) is None
    named_total = name.endswith("_total")
    assert named_total == (family.type == "counter" or name in GAUGES_CALLED_TOTAL)
    for unit in UNITS:
        words = name.removesuffix("_total").split("_")
        assert unit not in words[:-1], "the unit stands last"
    if family.type == "histogram":
        assert name.endswith(("_seconds", "_size"))


def test_the_names_of_the_first_version_are_kept() -> None:
    names = {exposed(family) for family in families()}

    assert names >= ORIGINAL


@pytest.mark.parametrize("family", families(), ids=exposed)
def test_a_metric_has_few_series(family: Metric) -> None:
    labels = labels_of(family)

    assert set(labels) <= metrics.MOST_VALUES.keys()
    assert not any(label.endswith("_id") for label in labels)
    assert len(labels) <= 3


def test_no_label_is_bounded_that_does_not_exist() -> None:
    used = {label for family in families() for label in labels_of(family)}

    assert metrics.MOST_VALUES.keys() == used


def test_the_guide_shows_every_metric_as_it_is() -> None:
    expected = [
        (exposed(one), one.type, ", ".join(labels_of(one)), one.documentation) for one in families()
    ]

    assert rows_of_the_guide() == sorted(expected)


def test_what_is_not_known_is_not_shown() -> None:
    metrics.REDIS_BYTES.set(5)
    metrics.TASKS_BY_STATUS.labels("pending").set(1)
    metrics.forget(metrics.REDIS_BYTES, metrics.TASKS_BY_STATUS)

    told = metrics.samples()

    assert not {"elders_guild_redis_memory_bytes", "elders_guild_tasks_by_status"} & {
        sample.name for sample in told
    }
    assert not any(math.isnan(sample.value) for sample in told)
