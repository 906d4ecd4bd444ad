"""A connection as an administrator, whose troubles are sentences that name the database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from actors.settings import JobSettings
from actors.storage import census
from cluster.backup.places import place_of
from cluster.problem import StackProblem


@asynccontextmanager
async def administered(url: str, numbers: JobSettings) -> AsyncIterator[census.Connection]:
    """Connects, and closes afterwards.

    Raises:
        StackProblem: the server refuses, here or in the block, or the role does not see every row.
    """
    try:
        async with census.connected(url, timeout_s=numbers.backup_within_s) as connection:
            yield connection
    except (census.NotWhole, census.SchemaChanges, asyncpg.PostgresError) as error:
        raise StackProblem(f"{place_of(url)}: {error}") from error
    except (TimeoutError, asyncpg.InterfaceError) as error:
        raise StackProblem(f"{place_of(url)}: the connection is lost: {error}") from error
