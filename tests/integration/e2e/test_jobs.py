"""Files and labels of a user, through a real guild."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.local_stack import ROOT, clean_environment
from cluster.api import Api
from cluster.state import Stack
from tests.fixtures import files
from tests.fixtures.labelled import BY_WORDS, write_data_set

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]


class Jobs:
    """Commands as an operator of the stack runs them."""

    def __init__(self, stack: Stack, state: Path) -> None:
        self._environment = clean_environment(
            {"GUILD_DATA_DIR": stack.folder, "GUILD_JOBS__STATE_DIR": str(state)}
        )

    def run(self, name: str, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, "-m", "cluster.cli", name, *map(str, arguments), "--json"],
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)


@pytest.fixture
def jobs(stack: Stack, tmp_path: Path) -> Jobs:
    return Jobs(stack, tmp_path / "state")


async def test_files_are_found_by_search_once_and_no_more_when_they_are_gone(
    jobs: Jobs, admin: Api, tmp_path: Path
) -> None:
    root = tmp_path / "tree"
    root.mkdir()
    (root / "a.md").write_text("---\nkind: runbook\n---\n# Zanzibar outage\n\nFail over.")
    (root / "b.html").write_text("<title>Zanzibar map</title><h1>Zanzibar</h1><p>An island.")
    (root / "c.pdf").write_bytes(files.pdf("Zanzibar by boat."))
    (root / "d.docx").write_bytes(files.word(heading="Zanzibar", paragraph="Spices."))

    first = jobs.run("ingest", root, "--prefix", "zanzibar", "--tag", "zanzibar", "--wait")
    (root / "c.pdf").unlink()
    second = jobs.run("ingest", root, "--prefix", "zanzibar", "--tag", "zanzibar", "--prune")
    question = {"query": "Zanzibar", "top_k": 50, "filters": {"tags": ["zanzibar"]}}
    hits = (await admin.post("/rag/search", question)).body["hits"]

    assert (first[0], first[1]["created"]) == (0, 4)
    assert (second[0], second[1]["unchanged"], second[1]["pruned"]) == (0, 3, 1)
    assert {(hit["external_id"], hit["version"]) for hit in hits} == {
        ("zanzibar/a.md", 1),
        ("zanzibar/b.html", 1),
        ("zanzibar/d.docx", 1),
    }


def test_a_job_of_the_cluster_finds_its_guild_and_ingests_a_folder_of_its_node(
    stack: Stack, tmp_path: Path
) -> None:
    root, empty = tmp_path / "tree", tmp_path / "empty"
    root.mkdir()
    empty.mkdir()
    (root / "a.md").write_text("# A page of the cluster's node")
    command = ["python", "-m", "cluster.jobs.ingest", str(root), "--prefix", "by-ray", "--wait"]
    state = f"GUILD_JOBS__STATE_DIR={tmp_path / 'state'}"

    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "ray"),
            *("job", "submit", "--working-dir", str(empty), "--", "env", state),
            *command,
        ],
        env=clean_environment(stack.client_environment()),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 created, 0 updated" in done.stdout


def test_an_evaluation_has_the_figures_that_were_worked_out_by_hand(
    jobs: Jobs, tmp_path: Path
) -> None:
    dataset = write_data_set(tmp_path / "set")

    first = jobs.run("evaluate", "--dataset", dataset)
    second = jobs.run("evaluate", "--dataset", dataset, "--clean")
    third = jobs.run("evaluate", "--dataset", dataset, "--clean", "--limit", "1")

    assert (first[0], second[0], third[0]) == (0, 0, 0)
    assert first[1]["modes"]["lexical"] == BY_WORDS
    # By meaning each of the five is somewhere among a hundred.
    assert first[1]["modes"]["dense"]["recall@100"] == 1
    assert first[1]["modes"]["hybrid"]["recall@100"] == 1
    assert second[1]["modes"] == first[1]["modes"]
    created = [report["corpus"]["created"] for _, report in (first, second)]
    assert created == [5, 0]
    # It was deleted in between, so this time each one came back as another version.
    assert (third[1]["corpus"]["updated"], third[1]["queries"]) == (5, 1)
