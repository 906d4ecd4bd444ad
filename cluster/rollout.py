"""`python -m cluster.rollout`, also as `scripts/deploy.sh`: two generations behind one nginx."""

import argparse
import asyncio
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from actors.settings import GuildSettings
from actors.storage.migrate import MigrationError, migrate, pending, shipped
from cluster.generations import Colour, Rollout, contracting
from cluster.preflight import open_folder, read_settings, require_database, require_redis
from cluster.problem import StackProblem
from cluster.rolling import Rolling, alive
from cluster.switching import Front

_ROOT = Path(__file__).resolve().parent.parent
_SHARED = ("DATABASE_URL", "REDIS_URL", "JWT_SECRET", "SECRET_KEY")


def main(arguments: Sequence[str] = ()) -> int:
    """0 when it is done, 1 with one sentence when it is not."""
    options = _parser().parse_args(arguments)
    try:
        config = read_settings()
        folder = config.data_dir.resolve()
        open_folder(folder)
        with _locked(folder):
            return asyncio.run(_do(options, config, folder))
    except StackProblem as problem:
        print(problem, file=sys.stderr)
        return 1


async def _do(options: argparse.Namespace, config: GuildSettings, folder: Path) -> int:
    rolling = _rolling(config, folder)
    match options.verb:
        case "deploy":
            _require_shared(config)
            await require_database(*_urls(config))
            await require_redis(config.redis_url.get_secret_value())
            await _migrate(config, may_contract=options.contract)
            generation = await rolling.deploy(_ROOT)
            print(f"{generation.colour} answers; `rollback` goes back, `retire` ends the former")
        case "rollback":
            generation = await rolling.roll_back()
            print(f"{generation.colour} answers again, from {generation.root}")
        case "retire":
            print(f"{await rolling.retire() or 'nothing'} was ended")
        case "verify":
            wrong = await rolling.verify()
            print("\n".join(wrong) or "all is well")
            return 1 if wrong else 0
        case _:
            print(describe(rolling.known()))
    return 0


def describe(rollout: Rollout) -> str:
    """Each generation, and which one answers."""
    lines = [
        f"{one.colour}: {'answers' if colour is rollout.live else 'waits'} at {one.url},"
        f" {'alive' if alive(one) else 'DEAD'}, pid {one.pid}, from {one.root}"
        for colour, one in sorted(rollout.generations.items())
    ]
    return "\n".join(lines) or "nothing is deployed"


def _rolling(config: GuildSettings, folder: Path) -> Rolling:
    settings, names = config.rollout, config.gateway.allowed_hosts
    return Rolling(
        settings,
        folder=folder,
        front=Front(settings.nginx_config),
        front_url=settings.front_url or config.gateway.issuer,
        host=names[0] if names else urlsplit(config.gateway.issuer).hostname or "",
        launch=lambda colour, port: _launch(folder, colour, port),
        say=lambda text: print(text, flush=True),
    )


def _launch(folder: Path, colour: Colour, port: int) -> int:
    """A stack that outlives this command; its data and its log are its colour's."""
    command = [sys.executable, "-m", "cluster.up", "--port", str(port)]
    command += ["--data-dir", str(folder / colour)]
    log = os.open(folder / f"{colour}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with os.fdopen(log, "ab") as output:  # it has the first administrator's password
        process = subprocess.Popen(  # noqa: S603 - ourselves
            command,
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(_ROOT)},
        )
    return process.pid


async def _migrate(config: GuildSettings, *, may_contract: bool) -> None:
    """Adds what the new version needs. The one that runs goes on with it.

    Raises:
        StackProblem: a migration takes something away, and nobody said that this may be.
    """
    url = config.migration_database_url.get_secret_value()
    try:
        missing, all_of_them = set(await pending(url)), shipped()
        taking = contracting((one.name, one.sql) for one in all_of_them if one.name in missing)
        is_new = len(missing) == len(all_of_them)
        if taking and not is_new and not may_contract:
            raise StackProblem(
                f"{', '.join(taking)} takes something away that the version that runs may need:"
                " deploy the version between first, or say --contract"
            )
        applied = await migrate(url, timeout_s=config.database.migration_timeout_s)
    except MigrationError as error:
        raise StackProblem(f"the migration failed: {error}") from error
    print(f"{len(applied)} migrations applied", flush=True)


def _urls(config: GuildSettings) -> tuple[str, str, str]:
    return (
        config.migration_database_url.get_secret_value(),
        config.database_url.get_secret_value(),
        config.log_database_url.get_secret_value(),
    )


def _require_shared(config: GuildSettings) -> None:
    values = (config.database_url, config.redis_url, config.jwt_secret, config.secret_key)
    given = (value.get_secret_value() for value in values)
    missing = [name for name, value in zip(_SHARED, given, strict=True) if not value]
    if missing:
        raise StackProblem(f"two generations share {', '.join(missing)}: set them")
    if not config.data_dir.is_absolute():  # each checkout would have its own
        raise StackProblem("two generations share GUILD_DATA_DIR: set it to a path from the root")


def _locked(folder: Path) -> IO[str]:
    lock = (folder / "rollout.lock").open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise StackProblem("another deployment is under way") from None
    return lock


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cluster.rollout",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  scripts/deploy.sh deploy production",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    deploy = verbs.add_parser("deploy", help="start this version beside the other, and switch")
    deploy.add_argument(
        "--contract", action="store_true", help="migrations may take away what nobody needs now"
    )
    verbs.add_parser("rollback", help="switch back to the former one")
    verbs.add_parser("retire", help="end the former one")
    verbs.add_parser("verify", help="look at the one that answers, by itself and through nginx")
    verbs.add_parser("status", help="which ones there are")
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    sys.exit(main(sys.argv[1:]))
