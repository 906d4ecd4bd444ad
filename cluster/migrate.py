"""`python -m cluster.migrate`: brings the database to this version's schema."""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence

import asyncpg

from actors.settings import settings
from actors.storage.migrate import MigrationError, migrate

_POLL_S = 1.0
_NOT_YET = (OSError, TimeoutError, asyncpg.CannotConnectNowError)


def main(arguments: Sequence[str] = ()) -> int:
    """Applies the missing migrations and says which; a second run has nothing to do."""
    options = _parser().parse_args(arguments)
    config = settings()
    url = config.migration_database_url.get_secret_value()
    if not url:
        print("GUILD_MIGRATION_DATABASE_URL is not set (role guild_owner)", file=sys.stderr)
        return 2
    try:
        work = _migrated(url, config.database.migration_timeout_s, patience_s=options.wait)
        applied = asyncio.run(work)
    except (MigrationError, *_NOT_YET) as error:
        print(f"migration failed: {error}", file=sys.stderr)
        return 1
    print("\n".join(f"applied {name}" for name in applied) or "nothing to do")
    return 0


async def _migrated(url: str, timeout_s: float, *, patience_s: float) -> list[str]:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            return await migrate(url, timeout_s=timeout_s)
        except _NOT_YET:
            if time.monotonic() + _POLL_S > deadline:
                raise
            await asyncio.sleep(_POLL_S)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cluster.migrate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  python -m cluster.migrate --wait 120",
    )
    parser.add_argument(
        "--wait", type=float, default=0.0, metavar="SECONDS", help="for the server to answer (0)"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
