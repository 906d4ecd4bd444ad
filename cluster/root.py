"""PostgreSQL refuses to run as root; these are the ways around it, the plainest first."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cluster.problem import StackProblem
from cluster.process import Identity, run

_UNSHARE = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
_ACCOUNTS = ("postgres", "nobody")
_TRY_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """How to start PostgreSQL's programs here.

    Attributes:
        programs: folder of the programs, perhaps a copy.
        prefix: put before each command line.
        identity: the account to run as; None is our own.
    """

    programs: Path
    prefix: tuple[str, ...] = ()
    identity: Identity | None = None

    def command(self, program: str, *arguments: str) -> list[str]:
        """The command line of one of the programs."""
        return [*self.prefix, str(self.programs / program), *arguments]


def choose_runner(programs: Path, folder: Path) -> Runner:
    """The first way that works, by trying it: the folder then belongs to the account it runs as.

    Args:
        programs: PostgreSQL's programs.
        folder: where its data is; exists.

    Raises:
        StackProblem: we are root and no way works.
    """
    if os.geteuid() != 0:
        return Runner(programs=programs)
    ways: tuple[Callable[[Path, Path], Runner | None], ...] = (_as_account, _unshared, _copied)
    for way in ways:
        if (runner := way(programs, folder)) is not None:
            return runner
    raise StackProblem(
        "PostgreSQL does not run as root, and no other account can reach"
        f" {folder}: start as an ordinary user, or set GUILD_DATA_DIR to a folder others can enter"
    )


def _as_account(programs: Path, folder: Path) -> Runner | None:
    for name in _ACCOUNTS:
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        identity = Identity(uid=account.pw_uid, gid=account.pw_gid)
        if _works(Runner(programs=programs, identity=identity), folder, identity):
            return Runner(programs=programs, identity=identity)
    return None


def _unshared(programs: Path, folder: Path) -> Runner | None:
    """A user namespace in which we are user 1000; containers may forbid it."""
    if shutil.which(_UNSHARE[0]) is None:
        return None
    runner = Runner(programs=programs, prefix=_UNSHARE)
    return runner if _works(runner, folder, Identity(uid=0, gid=0)) else None


def _copied(programs: Path, folder: Path) -> Runner | None:
    """The programs lie below a folder only we can enter: take them, and their libraries, along."""
    package = programs.parents[1]
    target = folder / "programs"
    if not target.exists():
        fresh = folder / "programs.partial"
        shutil.rmtree(fresh, ignore_errors=True)
        tree = programs.parent.relative_to(package.parent)
        shutil.copytree(programs.parent, fresh / tree, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        fresh.rename(target)
    return _as_account(target / programs.relative_to(package.parent), folder)


def _works(runner: Runner, folder: Path, owner: Identity) -> bool:
    _give(folder, owner)
    try:
        # Run from inside the folder: the account must reach that too.
        script = 'cd "$1" && test -w . && exec "$2" --version'
        status, _ = run(
            [
                *runner.prefix,
                "sh",
                "-c",
                script,
                "sh",
                str(folder),
                str(runner.programs / "postgres"),
            ],
            timeout_s=_TRY_TIMEOUT_S,
            environment={"PATH": os.defpath},
            identity=runner.identity,
            cwd=Path("/"),
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return status == 0


def _give(folder: Path, owner: Identity) -> None:
    """Hands the folder and what is in it over; nothing to do when it is the owner's already."""
    if (folder.stat().st_uid, folder.stat().st_gid) == (owner.uid, owner.gid):
        return
    for place, _, files in os.walk(folder):
        os.chown(place, owner.uid, owner.gid)
        for name in files:
            os.chown(Path(place) / name, owner.uid, owner.gid, follow_symlinks=False)
