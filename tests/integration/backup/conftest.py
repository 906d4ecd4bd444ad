"""A backup of a guild, and a server to restore it on."""

from collections.abc import Iterator

import pytest

from cluster.backup.dumping import dump
from cluster.services import PostgresServer
from tests.fixtures.backups import NUMBERS, QUIET, Saved, Target, empty_database, fill
from tests.fixtures.services import new_database, run_now, started_server


@pytest.fixture(scope="package")
def saved(
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Saved]:
    """One for all tests that only read it."""
    folder = tmp_path_factory.mktemp("backups") / "first"
    with new_database(postgres_server) as database:
        guild = run_now(fill(database))
        manifest = run_now(dump(database.admin_url, folder, NUMBERS, QUIET))
        yield Saved(folder=folder, manifest=manifest, guild=guild, database=database)


@pytest.fixture(scope="package")
def another_server() -> Iterator[PostgresServer]:
    with started_server() as server:
        yield server


@pytest.fixture
async def target(another_server: PostgresServer) -> Target:
    return await empty_database(another_server)
