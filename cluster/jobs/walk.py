"""A folder's files one at a time, however many there are.

Held at any time: one open folder for each level of the path, and nothing that grows with the tree.
Each folder and file is opened by its name in the open folder above it and never through a link:
whatever is put in its place meanwhile, nothing outside the root is read.
"""

import os
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# A pipe that took a file's place is opened at once and not waited for.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A regular file, or what stood in the way of one.

    Attributes:
        relative: below the root, with slashes.
        problem: why it, or what is below it, cannot be read; None for a good file.
        unread: whether it is a folder with files that were not found, because of the problem.
        folder: descriptor of its folder, until the walk goes on; None: its path is to be trusted.
    """

    path: Path
    relative: str
    problem: str | None = None
    unread: bool = False
    folder: int | None = None

    def open(self) -> BinaryIO:
        """The file, without a buffer. Only before the next one is asked for.

        Raises:
            OSError: it is gone, or a link is in its place.
        """
        name = self.path if self.folder is None else self.path.name
        return open(os.open(name, _FILE, dir_fd=self.folder), "rb", buffering=0)


@dataclass(frozen=True, slots=True)
class Globs:
    """Which files are wanted.

    A pattern without a slash is compared with a name on any level, one with a slash with the path
    below the root. ``*`` and ``?`` stay within a name, ``**`` does not. An excluded folder is not
    entered. No ``include`` means every file.
    """

    include: tuple[re.Pattern[str], ...] = ()
    exclude: tuple[re.Pattern[str], ...] = ()

    @classmethod
    def of(cls, include: Sequence[str], exclude: Sequence[str]) -> "Globs":
        """The patterns, ready for use."""
        return cls(tuple(map(compile_glob, include)), tuple(map(compile_glob, exclude)))

    def excludes(self, relative: str) -> bool:
        """Whether a file or a folder is left out."""
        return any(pattern.fullmatch(relative) for pattern in self.exclude)

    def includes(self, relative: str) -> bool:
        """Whether a file is asked for."""
        return not self.include or any(pattern.fullmatch(relative) for pattern in self.include)


def compile_glob(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression for paths below the root."""
    anywhere = pattern if "/" in pattern else f"**/{pattern}"
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", anywhere.strip("/"))
    meaning = {"**/": r"(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(part) or re.escape(part) for part in parts), re.DOTALL)


def walk(root: Path, globs: Globs, *, max_depth: int) -> Iterator[Found]:
    """Every wanted file below a folder, in the file system's own order.

    Hidden files and folders are skipped, and so is whatever is a symbolic link or no regular file.

    Args:
        root: an existing folder.
        globs: which files.
        max_depth: folders within folders; what is deeper is a problem of its own.

    Raises:
        OSError: the root cannot be entered.
    """
    levels = [_Level(root, "", os.open(root, _FOLDER))]
    try:
        while levels:
            level = levels[-1]
            try:
                entry = level.next()
            except OSError as error:
                yield level.unread(f"cannot be read to its end: {error.strerror}")
                entry = None
            if entry is None:
                levels.pop().close()
                continue
            relative = level.relative_of(entry.name)
            if entry.name.startswith(".") or entry.is_symlink() or globs.excludes(relative):
                continue
            path = level.path / entry.name
            if not _is_text(relative):
                shown = os.fsencode(relative).decode("utf-8", "backslashreplace")
                yield Found(path=path, relative=shown, problem="its name is not UTF-8")
            elif entry.is_file(follow_symlinks=False):
                if globs.includes(relative):
                    yield Found(path=path, relative=relative, folder=level.descriptor)
            elif entry.is_dir(follow_symlinks=False):
                reason = None
                if len(levels) > max_depth:
                    reason = f"more than {max_depth} folders within folders"
                else:
                    try:
                        levels.append(_Level(path, relative, level.enter(entry.name)))
                    except OSError as error:
                        reason = f"cannot be entered: {error.strerror}"
                if reason is not None:
                    yield Found(path=path, relative=relative, problem=reason, unread=True)
    finally:
        for level in levels:
            level.close()


def counted(files: Iterable[Found], ended: threading.Event) -> int | None:
    """How many files there are; None where that was not found out before the end.

    Raises:
        OSError: the root cannot be entered.
    """
    number = 0
    for _ in files:
        if ended.is_set():
            return None
        number += 1
    return number


class _Level:
    """One open folder."""

    def __init__(self, path: Path, relative: str, descriptor: int) -> None:
        """Takes the descriptor over. Raises OSError: the folder cannot be listed."""
        self.path = path
        self.descriptor = descriptor
        self._relative = relative
        try:
            self._entries = os.scandir(descriptor)
        except OSError:
            os.close(descriptor)
            raise

    def next(self) -> os.DirEntry[str] | None:
        """Raises OSError: the rest of the folder cannot be read."""
        try:
            return next(self._entries, None)
        except FileNotFoundError:  # the folder went away while it was read
            return None

    def enter(self, name: str) -> int:
        """The descriptor of a folder in it; a link is none. Raises OSError."""
        return os.open(name, _FOLDER, dir_fd=self.descriptor)

    def relative_of(self, name: str) -> str:
        return f"{self._relative}/{name}" if self._relative else name

    def unread(self, problem: str) -> Found:
        relative = self._relative or "."
        return Found(path=self.path, relative=relative, problem=problem, unread=True)

    def close(self) -> None:
        self._entries.close()
        os.close(self.descriptor)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
