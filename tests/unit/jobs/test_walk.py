"""Which files a walk finds."""

import errno
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from cluster.jobs.walk import Found, Globs, compile_glob, counted, walk


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

    most, folders = 0, 0
    for _ in walk(tmp_path, Globs(), max_depth=3):
        most = max(most, len(os.listdir("/proc/self/fd")) - before)
        folders = max(folders, len(open_below(tmp_path)))

    assert folders == 2
    assert most <= 2 * 2  # a folder and its listing


def test_counting_ends_with_the_job(tmp_path: Path) -> None:
    tree(tmp_path, *(f"{number}.md" for number in range(50)))
    ended = threading.Event()

    def walk_that_is_ended() -> Iterator[Found]:
        for found in walk(tmp_path, Globs(), max_depth=3):
            yield found
            ended.set()

    cut = counted(walk_that_is_ended(), ended)
    whole = counted(walk(tmp_path, Globs(), max_depth=3), threading.Event())

    assert (cut, whole) == (None, 50)


def open_below(root: Path) -> set[Path]:
    names = Path("/proc/self/fd").iterdir()
    return {
        name.resolve() for name in names if name.is_dir() and name.resolve().is_relative_to(root)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Swapping(Globs):
    """Globs that put a link into a folder's place as soon as the walk knows its name."""

    folder: Path
    elsewhere: Path

    def excludes(self, relative: str) -> bool:
        if relative == self.folder.name:
            self.folder.rename(self.folder.with_name(".moved"))
            self.folder.symlink_to(self.elsewhere)
        return False


def test_a_folder_that_becomes_a_link_before_it_is_entered_leads_nowhere(tmp_path: Path) -> None:
    root, elsewhere = tree(tmp_path / "root", "folder/a.md"), tree(tmp_path / "other", "secret.md")

    swapping = Swapping(folder=root / "folder", elsewhere=elsewhere)

    (only,) = walk(root, swapping, max_depth=8)

    assert (only.relative, only.unread) == ("folder", True)
    assert str(only.problem).startswith("cannot be entered")


def test_a_file_is_read_from_the_folder_where_it_was_found(tmp_path: Path) -> None:
    root, elsewhere = tree(tmp_path / "root", "folder/a.md"), tree(tmp_path / "other", "a.md")
    files = walk(root, Globs(), max_depth=8)

    found = next(files)
    (root / "folder").rename(root / ".moved")
    (root / "folder").symlink_to(elsewhere)
    with found.open() as file:
        content = file.read()
    left = list(files)

    assert (content, left) == (b"folder/a.md", [])


def test_a_file_that_becomes_a_link_is_not_opened(tmp_path: Path) -> None:
    root = tree(tmp_path / "root", "a.md")
    files = walk(root, Globs(), max_depth=8)
    found = next(files)
    (root / "a.md").unlink()
    (root / "a.md").symlink_to(__file__)

    with pytest.raises(OSError, match="symbolic links"):
        found.open()


class Broken:
    """A folder's listing that ends with an error."""

    def __init__(self, error: int, entries: Iterator[os.DirEntry[str]]) -> None:
        self._error = error
        self._entries = entries

    def __iter__(self) -> "Broken":
        return self

    def __next__(self) -> os.DirEntry[str]:
        for entry in self._entries:
            return entry
        raise OSError(self._error, os.strerror(self._error))

    def close(self) -> None:
        return None


@pytest.mark.parametrize(
    ("error", "files"),
    [
        (errno.ENOENT, ["a.md"]),
        (errno.EIO, [".: cannot be read to its end: Input/output error", "a.md"]),
    ],
)
def test_a_folder_that_cannot_be_read_to_its_end_is_a_problem_unless_it_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: int, files: list[str]
) -> None:
    tree(tmp_path, "a.md")
    real = os.scandir

    def scandir(folder: int) -> Broken:
        return Broken(error, real(folder))

    monkeypatch.setattr(os, "scandir", scandir)

    assert found(tmp_path) == files
