"""What was confirmed is there again, for the one job that may have it."""

from pathlib import Path

import pytest

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


def test_a_damaged_journal_is_put_aside(tmp_path: Path) -> None:
    with Journal(tmp_path, "a") as journal:
        journal.record(entries(1))
    journal.path.write_bytes(b"no database at all" * 100)

    with Journal(tmp_path, "a") as journal:
        left = len(journal)

    assert left == 0
    assert len(list(tmp_path.glob("*.damaged-*"))) == 1


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    with Journal(tmp_path / "state", "a") as journal:
        modes = [path.stat().st_mode & 0o077 for path in (journal.path, journal.path.parent)]

    assert modes == [0, 0]
