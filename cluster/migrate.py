"""`python -m cluster.migrate`: brings the database to this version's schema."""

import asyncio
import sys

from actors.settings import settings
from actors.storage.migrate import MigrationError, migrate


def main() -> int:
    """Applies the missing migrations and says which; a second run has nothing to do."""
    config = settings()
    url = config.migration_database_url.get_secret_value()
    if not url:
        print("GUILD_MIGRATION_DATABASE_URL is not set (role guild_owner)", file=sys.stderr)
        return 2
    try:
        applied = asyncio.run(migrate(url, timeout_s=config.database.migration_timeout_s))
    except (MigrationError, OSError) as error:
        print(f"migration failed: {error}", file=sys.stderr)
        return 1
    print("\n".join(f"applied {name}" for name in applied) or "nothing to do")
    return 0


if __name__ == "__main__":
    sys.exit(main())
