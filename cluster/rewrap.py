"""`python -m cluster.rewrap`: wraps the keys of data subjects under the present SECRET_KEY.

Run it after the ring was rotated and every process was restarted with both keys, the new one
first. When it has ended, the former key can be taken out of the ring and destroyed.
"""

import argparse
import asyncio
import sys

from actors.errors import ElderGuildError
from actors.key_ring import BadKeyRing
from actors.settings import GuildSettings, settings
from actors.storage.database import Database
from actors.storage.rewrap import rewrap
from actors.storage.seals import BrokenSeal
from actors.storage.vault import Vault
from cluster.guilds import all_guilds


async def rewrap_all(config: GuildSettings) -> int:
    """Every guild's keys; answers how many were wrapped anew."""
    guilds = await all_guilds(config)
    database = await Database.open(
        config.database_url.get_secret_value(),
        config.database,
        connections=1,
        vault=Vault.of(config),
    )
    try:
        rows_at_a_time = config.log.rewrap_rows
        return sum([await rewrap(database, guild_id, rows_at_a_time) for guild_id in guilds])
    finally:
        await database.close()


def main() -> int:
    """Wraps and says how much; a second run has nothing to do."""
    parser = argparse.ArgumentParser(
        prog="python -m cluster.rewrap",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example:\n"
        '  SECRET_KEY=\'[{"kid": "2027", "key": "…"}, {"kid": "2026", "key": "…"}]\''
        " python -m cluster.rewrap",
    )
    parser.parse_args()
    try:
        done = asyncio.run(rewrap_all(settings()))
    except (ElderGuildError, BadKeyRing, BrokenSeal, OSError) as problem:
        print(problem, file=sys.stderr)
        return 1
    print(f"{done} keys wrapped under the present key")
    return 0


if __name__ == "__main__":
    sys.exit(main())
