"""The document of the schema says what the migrations make."""

import pytest

from actors.storage.catalogue import read_tables
from cluster.schema_document import DOCUMENT, render
from tests.fixtures.services import PreparedDatabase

pytestmark = pytest.mark.integration


async def test_the_document_is_what_the_migrations_make(
    module_database: PreparedDatabase,
) -> None:
    tables = await read_tables(module_database.owner_url)

    # Run `python -m cluster.schema_document` after a new migration.
    assert DOCUMENT.read_text() == render(tables)


async def test_what_a_table_is_for_who_made_it_and_who_may_use_it_is_said(
    module_database: PreparedDatabase,
) -> None:
    tables = {table.name: table for table in await read_tables(module_database.owner_url)}

    events = tables["events"]
    assert events.about.startswith("The log. A position is (xid, seq)")
    assert events.walled
    assert events.forced
    assert "UPDATE" not in events.grants["guild_app"]
    assert {column.name for column in events.columns} >= {"seq", "xid", "correlation_id"}
