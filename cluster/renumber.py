"""`python -m cluster.renumber`: makes a log that was restored from another server usable here.

Run it once after a restore, before anything else connects. All events keep their order, and all
cursors their place; positions that clients remember from before are refused with 410.
"""

import argparse
import asyncio
import sys

import asyncpg

from actors.settings import settings
from actors.storage.renumber import NotNow, renumber


def main() -> int:
    """Renumbers and says how much; a second run has nothing to do and says so."""
    parser = argparse.ArgumentParser(
        prog="python -m cluster.renumber",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n  pg_restore --dbname=… guild.dump\n"
        "  GUILD_MIGRATION_DATABASE_URL=postgresql://guild_owner:…@db.example/guild"
        " python -m cluster.renumber",
    )
    parser.add_argument(
        "--recovered",
        action="store_true",
        help="also on the server that wrote it, which was recovered to a point in time",
    )
    recovered: bool = parser.parse_args().recovered
    url = settings().migration_database_url.get_secret_value()
    if not url:
        print("GUILD_MIGRATION_DATABASE_URL is not set (role guild_owner)", file=sys.stderr)
        return 2
    try:
        done = asyncio.run(renumber(url, recovered=recovered))
    except (NotNow, OSError, asyncpg.PostgresError) as problem:
        print(str(problem) or "it took too long: nothing was renumbered", file=sys.stderr)
        return 1
    print(f"epoch {done.epoch} begins: {done.events} events renumbered")
    return 0


if __name__ == "__main__":
    sys.exit(main())
