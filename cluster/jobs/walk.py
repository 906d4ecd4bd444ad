"""A folder's files one at a time, however many there are.

Held at any time: one open folder for each level of the path, and nothing that grows with the tree.
"""

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A regular file, or what stood in the way of one.

    Attributes:
        relative: below the root, with slashes.
        problem: why it, or what is below it, cannot be read; None for a good file.
    """

    path: Path
    relative: str
    problem: str | None = None


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
    """
    levels = [_Level(root)]
    try:
        while levels:
            entry = levels[-1].next()
            if entry is None:
                levels.pop().close()
                continue
            path = Path(entry.path)
            relative = path.relative_to(root).as_posix()
            if entry.name.startswith(".") or entry.is_symlink() or globs.excludes(relative):
                continue
            if not _is_text(relative):
                shown = os.fsencode(relative).decode("utf-8", "backslashreplace")
                yield Found(path=path, relative=shown, problem="its name is not UTF-8")
            elif entry.is_file(follow_symlinks=False):
                if globs.includes(relative):
                    yield Found(path=path, relative=relative)
            elif entry.is_dir(follow_symlinks=False):
                reason = None
                if len(levels) > max_depth:
                    reason = f"more than {max_depth} folders within folders"
                else:
                    try:
                        levels.append(_Level(path))
                    except OSError as error:
                        reason = f"cannot be entered: {error.strerror}"
                if reason is not None:
                    yield Found(path=path, relative=relative, problem=reason)
    finally:
        for level in levels:
            level.close()


class _Level:
    """One open folder."""

    def __init__(self, path: Path) -> None:
        self._entries = os.scandir(path)
        self.close = self._entries.close

    def next(self) -> os.DirEntry[str] | None:
        try:
            return next(self._entries, None)
        except OSError:  # the folder went away while it was read
            return None


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
