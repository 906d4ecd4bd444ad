"""Prometheus's own tool reads the shipped rules and runs the tests that are shipped with them."""

import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fixtures.require import require_service

pytestmark = pytest.mark.integration

PROMETHEUS = Path(__file__).resolve().parents[3] / "cluster" / "deploy" / "prometheus"
RULES = sorted((PROMETHEUS / "rules").glob("*.yml"))
TESTS = sorted((PROMETHEUS / "rules_tests").glob("*.yml"))


def promtool(*arguments: str) -> str:
    """What it says; the test fails where it is not content."""
    program = require_service("promtool", package="prometheus")
    done = subprocess.run(
        [program, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@cache
def expectations() -> Mapping[str, Sequence[bool]]:
    """Alert → whether it fires, in each place where a test looks at it."""
    found: defaultdict[str, list[bool]] = defaultdict(list)
    for path in TESTS:
        for test in yaml.safe_load(path.read_text(encoding="utf-8"))["tests"]:
            for look in test.get("alert_rule_test", ()):
                found[look["alertname"]].append(bool(look["exp_alerts"]))
    return found


def shipped() -> list[str]:
    files: list[dict[str, Any]] = [
        yaml.safe_load(path.read_text(encoding="utf-8")) for path in RULES
    ]
    return [rule["alert"] for file in files for group in file["groups"] for rule in group["rules"]]


def test_the_configuration_and_its_rules_are_well_formed() -> None:
    said = promtool("check", "config", "prometheus.yml")

    assert "FAILED" not in said
    assert all(f"Checking rules/{path.name}" in said for path in RULES)


@pytest.mark.parametrize("tests", TESTS, ids=lambda path: path.stem)
def test_the_rules_fire_when_they_should(tests: Path) -> None:
    promtool("test", "rules", str(tests))


@pytest.mark.parametrize("alert", shipped())
def test_every_rule_is_seen_firing_and_seen_quiet(alert: str) -> None:
    seen = expectations().get(alert, ())

    assert seen.count(True) >= 1
    assert seen.count(False) >= 2, "before it fires, and where it must not"
