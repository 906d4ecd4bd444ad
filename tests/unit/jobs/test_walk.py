"""Which files a walk finds."""

import os
from pathlib import Path

import pytest

from cluster.jobs.walk import Globs, compile_glob, walk


def tree(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


def found(root: Path, globs: Globs | None = None, max_depth: int = 8) -> list[str]:
    return sorted(
        file.relative if file.problem is None else f"{file.relative}: {file.problem}"
        for file in walk(root, globs or Globs(), max_depth=max_depth)
    )


def test_hidden_files_and_links_are_skipped(tmp_path: Path) -> None:
    tree(tmp_path, "a.md", "b/c.md", ".hidden", ".git/config", "b/.env")
    (tmp_path / "link.md").symlink_to(tmp_path / "a.md")
    (tmp_path / "round").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "pipe.md")

    assert found(tmp_path) == ["a.md", "b/c.md"]


def test_globs_choose_files_and_leave_out_folders(tmp_path: Path) -> None:
    tree(tmp_path, "a.md", "a.txt", "drafts/b.md", "docs/c.md", "docs/deep/d.md")

    chosen = {
        "by name": found(tmp_path, Globs.of(["*.md"], [])),
        "by path": found(tmp_path, Globs.of(["docs/**/*.md"], [])),
        "without a folder": found(tmp_path, Globs.of(["*.md"], ["drafts", "deep"])),
    }

    assert chosen == {
        "by name": ["a.md", "docs/c.md", "docs/deep/d.md", "drafts/b.md"],
        "by path": ["docs/c.md", "docs/deep/d.md"],
        "without a folder": ["a.md", "docs/c.md"],
    }


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("*.md", "a/b.md", True),
        ("*.md", "a.md/b", False),
        ("a/*.md", "a/b.md", True),
        ("a/*.md", "a/b/c.md", False),
        ("a/**", "a/b/c.md", True),
        ("**/c.md", "c.md", True),
        ("?.md", "ab.md", False),
        ("a+b.md", "a+b.md", True),
        ("/a/b.md", "a/b.md", True),
    ],
)
def test_stars_stay_within_a_name_and_two_do_not(pattern: str, path: str, matches: bool) -> None:
    assert bool(compile_glob(pattern).fullmatch(path)) is matches


def test_what_is_too_deep_is_a_problem_of_its_own(tmp_path: Path) -> None:
    tree(tmp_path, "a/b/c/d.md", "e.md")

    assert found(tmp_path, max_depth=2) == ["a/b/c: more than 2 folders within folders", "e.md"]


def test_a_name_that_is_no_text_is_a_problem_of_its_own(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.md")).write_text("x")

    assert found(tmp_path) == ["caf\\xe9.md: its name is not UTF-8"]


def test_open_folders_are_as_many_as_the_path_has_levels(tmp_path: Path) -> None:
    tree(tmp_path, *(f"folder{number}/a.md" for number in range(50)))
    before = len(os.listdir("/proc/self/fd"))

    most = max(len(os.listdir("/proc/self/fd")) for _ in walk(tmp_path, Globs(), max_depth=3))

    assert most - before <= 3
