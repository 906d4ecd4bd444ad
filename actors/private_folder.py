"""Folders that nobody else may enter."""

import os
import stat
from pathlib import Path


def is_private(folder: Path) -> bool:
    """Whether this is a folder of our own that nobody else may enter."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return ours and not stat.S_IMODE(found.st_mode) & 0o077
