"""What was confirmed is there again, for the one job that may have it."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster.jobs import journal as module
from cluster.jobs.journal import Entry, Journal
from cluster.problem import StackProblem


def entries(count: int) -> list[Entry]:
    return [
        Entry(f"docs/{number:05}.md", f"digest{number}", f"doc_{number}", number)
        for number in range(count)
    ]


def test_what_was_recorded_is_read_by_the_next_job_page_by_page(tmp_path: Path) -> None:
    with Journal(tmp_path, "guild", "/root", "docs") as journal:
        journal.record(entries(1_200))
        journal.forget(["docs/00001.md"])

    with Journal(tmp_path, "guild", "/root", "docs") as journal:
        kept = list(journal.entries())
        known, unknown = journal.get("docs/00000.md"), journal.get("docs/00001.md")

    assert kept == [entry for entry in entries(1_200) if entry.external_id != "docs/00001.md"]
    assert (known, unknown) == (entries(1)[0], None)


def test_entries_may_be_forgotten_while_they_are_read(tmp_path: Path) -> None:
    with Journal(tmp_path, "a") as journal:
        journal.record(entries(1_200))

        read = []
        for entry in journal.entries():
            read.append(entry.external_id)
            if len(read) % 200 == 0:
                journal.forget(read[-200:])

        assert len(journal) == 0


def test_another_scope_is_another_journal(tmp_path: Path) -> None:
    with (
        Journal(tmp_path, "guild", "/root", "") as one,
        Journal(tmp_path, "other", "/root", "") as two,
    ):
        one.record(entries(1))

        assert (len(one), len(two)) == (1, 0)


def test_a_second_job_on_the_same_is_refused(tmp_path: Path) -> None:
    with Journal(tmp_path, "a"), pytest.raises(StackProblem, match="another job"):
        Journal(tmp_path, "a").__enter__()


def damaged_everywhere(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)


def damaged_behind_the_first_page(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4_096:] = b"\xa5" * (len(data) - 4_096)
    path.write_bytes(data)


@pytest.mark.parametrize("damage", [damaged_everywhere, damaged_behind_the_first_page])
def test_a_damaged_journal_is_set_aside_and_that_is_said(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    with Journal(tmp_path, "a") as journal:
        journal.record(entries(1_200))
    damage(journal.path)

    with Journal(tmp_path, "a") as journal:
        left = len(journal)

    (aside,) = tmp_path.glob("*.damaged-*")
    assert left == 0
    assert str(aside) in journal.notes[0]


def test_a_journal_that_is_locked_is_a_problem_and_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LOCKED_FOR_S", 0.0)
    with Journal(tmp_path, "a") as journal:
        journal.record(entries(1))
    other = sqlite3.connect(journal.path)
    other.execute("BEGIN EXCLUSIVE")

    with pytest.raises(StackProblem, match="locked"):
        Journal(tmp_path, "a").__enter__()

    other.close()
    with Journal(tmp_path, "a") as journal:
        assert (len(journal), journal.notes) == (1, [])


def test_a_journal_that_cannot_be_opened_is_a_problem_and_stays(tmp_path: Path) -> None:
    journal = Journal(tmp_path, "a")
    journal.path.mkdir()

    with pytest.raises(StackProblem, match="unable to open"):
        journal.__enter__()

    assert journal.path.is_dir()


@pytest.mark.parametrize(
    "use",
    [
        lambda journal: journal.get("docs/00000.md"),
        lambda journal: journal.record(entries(1)),
        lambda journal: journal.forget(["docs/00000.md"]),
        lambda journal: list(journal.entries()),
        len,
    ],
)
def test_a_journal_that_is_damaged_while_it_is_used_is_a_problem(
    tmp_path: Path, use: Callable[[Journal], object]
) -> None:
    with Journal(tmp_path, "a") as journal:
        journal.record(entries(1_200))
        damaged_everywhere(journal.path)

        with pytest.raises(StackProblem, match="cannot be used"):
            use(journal)


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    with Journal(tmp_path / "state", "a") as journal:
        modes = [path.stat().st_mode & 0o077 for path in (journal.path, journal.path.parent)]

    assert modes == [0, 0]


def test_a_source_that_was_found_empty_counts_until_the_journal_is_closed(tmp_path: Path) -> None:
    with Journal(tmp_path, "test") as journal:
        journal.record(entries(2))
        journal.empty(entries(1)[0])
        found = [journal.is_empty(one) for one in journal.entries()]
    with Journal(tmp_path, "test") as journal:
        later = [journal.is_empty(one) for one in journal.entries()]

    assert (found, later) == ([True, False], [False, False])
