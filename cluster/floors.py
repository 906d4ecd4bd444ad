"""`python -m cluster.floors`: no library is older than the version that mended its known holes.

It reads the lock and what is installed, and both must be right: a lock is a promise, an environment
is what runs. A table without rows, a package that is nowhere, a lock that cannot be read: each of
these fails, so that the check cannot pass by looking at nothing.
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.version import InvalidVersion, Version

LOCK = Path(__file__).resolve().parent.parent / "requirements.lock"
_PINNED = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)==([^\s;\\]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """The oldest version of a package that we run.

    Attributes:
        floor: this or newer; empty: never, in no version.
        since: day on which the row was written or last looked at.
        why: in our own words, with the advisories.
        needed: whether it must be there; others are judged where they are.
    """

    package: str
    floor: str
    since: str
    why: str
    needed: bool = True


_2026 = "2026-11-27"
FLOORS: tuple[Floor, ...] = (
    Floor(
        package="pyjwt",
        floor="2.13",
        since=_2026,
        why="2.12 heeds unknown critical headers (GHSA-752w-5fwx-jx9f); 2.13 takes no JWK for an"
        " HMAC secret (CVE-2026-48526)",
    ),
    Floor(
        package="starlette",
        floor="1.3.1",
        since=_2026,
        why="ranges, forms, hosts and paths that cost or fool a server: CVE-2025-62727,"
        " CVE-2026-48710, -48817, -48818, -54282, -54283",
    ),
    Floor(
        package="python-multipart",
        floor="0.0.27",
        since=_2026,
        why="a form that is never parsed to its end: CVE-2026-42561",
    ),
    Floor(
        package="ray",
        floor="2.54",
        since=_2026,
        why="tokens on every door: CVE-2026-27482; a browser cannot submit jobs (CVE-2025-62593,"
        " mended in 2.52); who reaches its ports without a token runs code (CVE-2023-48022)",
    ),
    Floor(
        package="h11",
        floor="0.16",
        since=_2026,
        why="the first that is strict about the ends of chunks, which smuggle requests",
    ),
    Floor(
        package="cryptography",
        floor="50",
        since=_2026,
        why="what seals secrets at rest was tested with it; older ones bring an older OpenSSL",
    ),
    Floor(
        package="pwdlib",
        floor="0.3.1",
        since=_2026,
        why="Argon2id with the numbers that sign-in is bounded for",
    ),
    Floor(
        package="argon2-cffi",
        floor="25.1",
        since=_2026,
        why="what pwdlib hashes with; the timing of sign-in was measured on it",
    ),
    Floor(
        package="defusedxml",
        floor="0.7.1",
        since=_2026,
        why="Word documents are read through it: no entities, no document types",
    ),
    Floor(
        package="authlib",
        floor="1.6.9",
        since=_2026,
        why="tokens that were taken though they should not be: CVE-2025-61920, CVE-2026-27962",
        needed=False,
    ),
    Floor(
        package="python-jose",
        floor="",
        since=_2026,
        why="confuses kinds of keys and is not mended: CVE-2024-33663, CVE-2024-33664",
        needed=False,
    ),
    Floor(
        package="passlib",
        floor="",
        since=_2026,
        why="nobody looks after it; pwdlib takes its place",
        needed=False,
    ),
    Floor(
        package="bleach",
        floor="",
        since=_2026,
        why="given up by its authors; nh3 takes its place",
        needed=False,
    ),
)


def judge(
    table: Sequence[Floor], lock: Mapping[str, str], installed: Mapping[str, str]
) -> list[str]:
    """What is wrong, one sentence each; empty: nothing.

    Args:
        table: the floors.
        lock: name of each package, in lower case with dashes, to its version.
        installed: the same of the environment.
    """
    problems = []
    if not table:
        problems.append("the table of floors has no rows")
    if len({row.package for row in table}) < len(table):
        problems.append("the table of floors names a package twice")
    for where, versions in (("the lock", lock), ("the environment", installed)):
        if not versions:
            problems.append(f"{where} holds nothing, or cannot be read")
            continue
        for row in table:
            problems += _of(row, where, versions.get(row.package))
    return problems


def _of(row: Floor, where: str, version: str | None) -> list[str]:
    if version is None:
        return [f"{row.package} is missing from {where}"] if row.needed else []
    if not row.floor:
        return [f"{row.package} must not be in {where}: {row.why}"]
    try:
        enough = Version(version) >= Version(row.floor)
    except InvalidVersion:
        return [f"{row.package} in {where} has a version that cannot be read"]
    if enough:
        return []
    return [f"{row.package} {version} in {where} is older than {row.floor}: {row.why}"]


def pinned(text: str) -> dict[str, str]:
    """Name to version of every package of a lock."""
    return {name_of(name): version for name, version in _PINNED.findall(text)}


def present() -> dict[str, str]:
    """Name to version of every installed package."""
    return {name_of(one.name): one.version for one in metadata.distributions() if one.name}


def name_of(name: str) -> str:
    """A package's name as everybody compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def main(arguments: Sequence[str] | None = None) -> int:
    """Says what is wrong and ends with 1, or how much was looked at and ends with 0."""
    parser = argparse.ArgumentParser(
        prog="python -m cluster.floors",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python -m cluster.floors --lock requirements.lock",
    )
    parser.add_argument("--lock", type=Path, default=LOCK, help="the lock to read")
    lock_file: Path = parser.parse_args(arguments).lock
    try:
        lock = pinned(lock_file.read_text())
    except (OSError, UnicodeDecodeError):
        lock = {}
    problems = judge(FLOORS, lock, present())
    if problems:
        print("\n".join(problems), file=sys.stderr)
        return 1
    print(f"{len(FLOORS)} floors hold, in {len(lock)} locked packages and in the environment")
    return 0


if __name__ == "__main__":
    sys.exit(main())
