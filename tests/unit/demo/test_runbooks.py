"""Every shipped alert has its runbook, and every runbook has the parts that tasks are made of."""

import re
from pathlib import Path

import pytest
import yaml

from tests.fixtures.exposed import assert_it_exists, exposed

ROOT = Path(__file__).parents[3]
RUNBOOKS = sorted(
    path for path in (ROOT / "docs/runbooks").glob("*.md") if path.name != "README.md"
)
RULES = sorted((ROOT / "cluster/deploy/prometheus/rules").glob("*.yml"))
SEVERITIES = {"critical", "high", "warning", "info"}


def front_matter(path: Path) -> dict[str, object]:
    _, head, _ = path.read_text(encoding="utf-8").split("---\n", 2)
    fields = yaml.safe_load(head)
    assert isinstance(fields, dict)
    return fields


def alerts_of(path: Path) -> list[str]:
    alerts = front_matter(path)["alerts"]
    assert isinstance(alerts, list)
    return [str(name) for name in alerts]


def shipped_rules() -> list[dict[str, dict[str, str]]]:
    files = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in RULES]
    return [rule for file in files for group in file["groups"] for rule in group["rules"]]


def test_every_shipped_alert_has_exactly_one_runbook() -> None:
    explained = [name for path in RUNBOOKS for name in alerts_of(path)]

    fired = [str(rule["alert"]) for rule in shipped_rules()]

    assert sorted(explained) == sorted(fired)


def test_every_shipped_alert_asks_for_metrics_that_exist() -> None:
    known = exposed()

    for rule in shipped_rules():
        assert_it_exists(str(rule["expr"]), known)


def test_every_shipped_alert_says_how_bad_it_is_and_where() -> None:
    for rule in shipped_rules():
        assert rule["labels"]["severity"] in SEVERITIES
        assert rule["labels"]["service"] == "elders-guild"
        assert rule["labels"]["component"]
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"]


def test_every_shipped_alert_links_to_its_own_runbook() -> None:
    page_of = {name: path.name for path in RUNBOOKS for name in alerts_of(path)}

    linked = {
        str(rule["alert"]): rule["annotations"]["runbook_url"].rpartition("/docs/runbooks/")[2]
        for rule in shipped_rules()
    }

    assert linked == page_of


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_a_runbook_has_its_parts_and_numbered_steps(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    fields = front_matter(path)

    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    mitigation = text.partition("## Mitigation")[2]
    steps = re.findall(r"^(\d+)\. (.+)$", mitigation, re.MULTILINE)

    assert fields["kind"] == "runbook"
    assert text.count(f"# {fields['title']}\n") == 1
    assert headings == ["Meaning", "Impact", "Diagnosis", "Mitigation"]
    assert [int(number) for number, _ in steps] == list(range(1, len(steps) + 1))
    assert len(steps) >= 4
    assert all(len(title) <= 200 for _, title in steps)


@pytest.mark.parametrize("path", RUNBOOKS, ids=lambda path: path.stem)
def test_the_tables_a_runbook_reads_exist(path: Path) -> None:
    schema = (ROOT / "actors/storage/migrations/001_core.sql").read_text(encoding="utf-8")
    tables = set(re.findall(r"CREATE TABLE (\w+)", schema))

    named = re.findall(r"\b(?:FROM|JOIN|UPDATE) (\w+)", path.read_text(encoding="utf-8"))

    assert {name for name in named if not name.startswith("pg_")} <= tables
