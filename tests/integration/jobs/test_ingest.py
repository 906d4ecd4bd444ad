"""Folders of files become documents of a guild: once each, whatever happens meanwhile.

The guild is one in memory behind a socket; `tests/integration/e2e` has the real one.
"""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.local_stack import clean_environment
from tests.fixtures import files
from tests.fixtures.documents_guild import DocumentsGuild, served

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
MIB = 1 << 20


@pytest.fixture
def guild() -> DocumentsGuild:
    return DocumentsGuild()


@pytest.fixture
def url(guild: DocumentsGuild) -> Iterator[str]:
    with served(guild) as address:
        yield address


class Job:
    """The command, with a state folder and numbers of its own."""

    def __init__(self, url: str, state: Path) -> None:
        self._environment = clean_environment(
            {
                "GUILD_API__URL": url,
                "GUILD_API__LOGIN": "admin",
                "GUILD_API__PASSWORD": "secret",
                "GUILD_API__PATIENCE_S": "5",
                "GUILD_JOBS__STATE_DIR": str(state),
                "GUILD_JOBS__BATCH_DOCUMENTS": "5",
                "GUILD_JOBS__MAX_FILE_BYTES": str(4 * MIB),
            }
        )

    def start(self, *arguments: str | Path) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "cluster.jobs.ingest", *map(str, arguments), "--json"]
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
        process = self.start(*arguments)
        output, said = process.communicate(timeout=200)
        assert output, said
        return process.returncode, json.loads(output)


@pytest.fixture
def job(url: str, tmp_path: Path) -> Job:
    return Job(url, tmp_path / "state")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "deep").mkdir(parents=True)
    (root / "a.md").write_text("---\nkind: runbook\n---\n# Disk full\n\nRotate.")
    (root / "deep" / "b.html").write_text("<title>Pool</title><h1>Pool exhausted</h1><p>Wait.")
    (root / "c.pdf").write_bytes(files.pdf("Page of a guide."))
    (root / "d.docx").write_bytes(files.word())
    (root / "e.txt").write_text("Plain words.")
    return root


def test_every_format_arrives_under_its_path_and_a_second_run_sends_nothing(
    guild: DocumentsGuild, job: Job, tree: Path
) -> None:
    first = job.run(tree, "--prefix", "handbook/", "--tag", "sre", "--wait")
    second = job.run(tree, "--prefix", "handbook/", "--tag", "sre")

    bodies = {name: kept["body"] for name, kept in guild.documents.items()}
    assert first[0] == second[0] == 0
    assert (first[1]["created"], second[1]["unchanged"], second[1]["created"]) == (5, 5, 0)
    assert sorted(bodies) == [
        "handbook/a.md",
        "handbook/c.pdf",
        "handbook/d.docx",
        "handbook/deep/b.html",
        "handbook/e.txt",
    ]
    assert bodies["handbook/deep/b.html"] == {
        "external_id": "handbook/deep/b.html",
        "content": "# Pool exhausted\n\nWait.",
        "content_type": "text/markdown",
        "title": "Pool",
        "tags": ["sre"],
    }
    assert bodies["handbook/c.pdf"]["title"] == "c"
    assert "title" not in bodies["handbook/a.md"]
    assert len(guild.names()) == 5


def test_only_what_changed_is_sent_and_what_is_gone_is_deleted(
    guild: DocumentsGuild, job: Job, tree: Path
) -> None:
    job.run(tree)
    (tree / "a.md").write_text("# Disk full\n\nRotate, then look.")
    (tree / "c.pdf").unlink()

    planned = job.run(tree, "--prune", "--dry-run")
    before = len(guild.names())
    status, report = job.run(tree, "--prune", "--exclude", "*.txt")

    assert (planned[1]["updated"], planned[1]["pruned"], before) == (1, 1, 5)
    assert (status, report["updated"], report["unchanged"], report["pruned"]) == (0, 1, 2, 1)
    assert guild.documents["a.md"]["version"] == 2
    assert [name for name, kept in guild.documents.items() if kept["deleted"]] == ["c.pdf"]


def test_a_document_whose_file_became_empty_is_named_and_deleted_by_pruning(
    guild: DocumentsGuild, job: Job, tree: Path
) -> None:
    job.run(tree)
    (tree / "a.md").write_text("\n")

    kept = job.run(tree)[1]
    planned = job.run(tree, "--prune", "--dry-run")[1]
    before = [name for name, kept in guild.documents.items() if kept["deleted"]]
    pruned = job.run(tree, "--prune")[1]

    assert (kept["skipped"], kept["emptied"], planned["pruned"], before) == (1, 1, 1, [])
    assert kept["notes"] == ["1 files are empty now and their documents stay: --prune deletes them"]
    assert pruned["pruned"] == 1
    assert [name for name, kept in guild.documents.items() if kept["deleted"]] == ["a.md"]


def test_a_file_that_was_empty_for_a_while_keeps_its_document(
    guild: DocumentsGuild, job: Job, tree: Path
) -> None:
    text = (tree / "a.md").read_text()
    job.run(tree)
    (tree / "a.md").write_text("")
    job.run(tree)
    (tree / "a.md").write_text(text)

    left_out = job.run(tree, "--prune", "--exclude", "a.md")[1]
    read = job.run(tree, "--prune")[1]

    assert (left_out["pruned"], read["pruned"], read["unchanged"]) == (0, 0, 5)
    assert not guild.documents["a.md"]["deleted"]


def test_an_empty_folder_prunes_nothing(guild: DocumentsGuild, job: Job, tree: Path) -> None:
    job.run(tree)
    tree.rename(tree.with_name("moved"))
    tree.mkdir()

    status, report = job.run(tree, "--prune")

    assert (status, report["pruned"]) == (0, 0)
    assert "is it mounted" in report["notes"][0]
    assert not any(kept["deleted"] for kept in guild.documents.values())


def test_bad_files_are_listed_with_their_reason_and_the_others_arrive(
    guild: DocumentsGuild, job: Job, tree: Path
) -> None:
    (tree / "binary.md").write_bytes(b"\x00\x01\x02")
    (tree / "broken.pdf").write_bytes(b"%PDF-1.4 and no more")
    (tree / "scan.pdf").write_bytes(files.pdf(""))
    (tree / "bomb.docx").write_bytes(
        files.with_part(files.word(), "word/media/a.png", bytes(200 * MIB))
    )
    with (tree / "huge.html").open("wb") as sparse:
        sparse.truncate(5 * MIB)
    (tree / "long.txt").write_text("word " * 250_000)
    (tree / "empty.md").write_text("\n")
    (tree / "picture.png").write_bytes(b"\x89PNG")
    guild.items = {"e.txt": [422]}

    status, report = job.run(tree)

    reasons = {error["path"]: error["reason"] for error in report["errors"]}
    assert status == 1
    assert reasons.pop("broken.pdf").startswith("is no PDF that can be read")
    assert reasons == {
        "binary.md": "is not text",
        "scan.pdf": "has no text: pictures of pages?",
        "bomb.docx": "unpacks to more than 128 MiB",
        "huge.html": "is larger than 4 MiB",
        "long.txt": "has more than 1,000,000 characters of text: split it",
        "e.txt": "refused 422",
    }
    assert (report["created"], report["skipped"], report["failed"]) == (4, 2, 7)


def test_one_file_can_be_sent_and_an_unknown_one_is_an_error(
    guild: DocumentsGuild, job: Job, tree: Path
) -> None:
    good, bad = tree / "a.md", tree / "a.xyz"
    bad.write_text("x")

    statuses = [job.run(good)[0], job.run(bad)[0], job.run(tree / "absent.md")[0]]

    assert statuses == [0, 1, 2]
    assert list(guild.documents) == ["a.md"]


def test_a_job_killed_in_the_middle_goes_on_and_sends_nothing_confirmed_again(
    guild: DocumentsGuild, job: Job, tmp_path: Path
) -> None:
    root = tmp_path / "many"
    root.mkdir()
    for number in range(300):
        (root / f"{number}.md").write_text(f"# Page {number}")
    guild.pause_s = 0.05

    process = job.start(root)
    until = time.monotonic() + 60
    while len(guild.names()) < 100 and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    time.sleep(0.2)  # what was on its way arrives
    before = guild.names()
    status, report = job.run(root)

    again = set(guild.names()[len(before) :]) & set(before)
    assert status == 0
    assert 100 <= len(before) < 300
    assert len(guild.documents) == 300
    assert {kept["version"] for kept in guild.documents.values()} == {1}
    # Only what was on its way when it died: three batches of five.
    assert len(again) <= 15
    assert report["unchanged"] >= len(before) - 15


@pytest.mark.parametrize(
    "mib", [100, pytest.param(5_120, marks=[pytest.mark.long, pytest.mark.timeout(5_400)])]
)
def test_memory_does_not_grow_with_the_tree(
    guild: DocumentsGuild,
    job: Job,
    tmp_path: Path,
    mib: int,
    record_property: Callable[[str, object], None],
) -> None:
    """One third text that is sent, in pages of 100 KB; the rest large files that are refused."""
    root = tmp_path / "tree"
    pages = mib * 10 // 3
    guild.forgetful = True
    _grow(root, 20)
    small = _peak_of(job.start(root))

    _grow(root, pages)
    for number in range(max(1, mib * 2 // 3 // 16)):
        with (root / f"large{number}.txt").open("wb") as sparse:
            sparse.truncate(16 * MIB)
    large = _peak_of(job.start(root))

    record_property("peak_mib", f"{small >> 20}, then {large >> 20}")
    assert len(guild.names()) == pages
    assert large - small < 60 * MIB, f"{small >> 20} MiB, then {large >> 20} MiB"


def _grow(root: Path, pages: int) -> None:
    line = "Look at the pool before you restart it, and write down what you saw. "
    for number in range(pages):
        path = root / f"{number % 50}" / f"{number}.md"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"# Page {number}\n\n{line * (100_000 // len(line))}")


def _peak_of(process: "subprocess.Popen[str]") -> int:
    """The most memory that the job itself held, in bytes, as the kernel counted it."""
    peak = 0
    with process:
        while process.poll() is None:
            try:
                status = Path(f"/proc/{process.pid}/status").read_text()
            except OSError:
                break
            for line in status.splitlines():
                if line.startswith("VmHWM:"):
                    peak = max(peak, int(line.split()[1]) * 1024)
            time.sleep(0.05)
        process.communicate()
    return peak
