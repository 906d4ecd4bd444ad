"""What PostgreSQL itself says of the schema, for people to read."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from actors.storage.migrate import shipped

_TABLES = """
SELECT c.relname AS name, c.relrowsecurity AS walled, c.relforcerowsecurity AS forced
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
ORDER BY c.relname
"""
_COLUMNS = """
SELECT c.relname AS table, a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type,
       NOT a.attnotnull AS nullable,
       CASE WHEN a.attidentity <> '' THEN 'identity'
            WHEN a.attgenerated <> '' THEN 'always ' || pg_get_expr(d.adbin, d.adrelid)
            ELSE coalesce(pg_get_expr(d.adbin, d.adrelid), '') END AS default
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum
"""
# NOT NULL is said of the column; of a partitioned table's constraints only its own.
_CONSTRAINTS = """
SELECT c.relname AS table, pg_get_constraintdef(k.oid) AS definition
FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND NOT c.relispartition AND k.contype IN ('p', 'u', 'f', 'c')
ORDER BY c.relname, position(k.contype::text IN 'pufc'), k.conname
"""
_INDEXES = """
SELECT c.relname AS table, i.relname AS name, pg_get_indexdef(i.oid) AS definition
FROM pg_index AS x JOIN pg_class AS c ON c.oid = x.indrelid
JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND NOT c.relispartition
  AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.oid)
ORDER BY c.relname, i.relname
"""
_POLICIES = """
SELECT tablename AS table, policyname AS name, cmd AS command, roles::text[] AS roles,
       coalesce(qual, with_check, '') AS condition
FROM pg_policies WHERE schemaname = 'public' ORDER BY tablename, policyname
"""
_GRANTS = """
SELECT table_name AS table, grantee AS role,
       array_agg(privilege_type::text ORDER BY privilege_type) AS privileges
FROM information_schema.role_table_grants
WHERE table_schema = 'public' AND grantee IN ('guild_app', 'guild_log')
GROUP BY table_name, grantee ORDER BY table_name, grantee
"""
_MAKES = re.compile(r"^CREATE TABLE (\w+)", re.MULTILINE)
_WHY = re.compile(r"((?:^--.*\n)+)CREATE TABLE (\w+)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column.

    Attributes:
        default: the expression; ``identity`` where the server numbers the rows itself.
    """

    name: str
    type: str
    nullable: bool
    default: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """An index that no constraint brought; ``definition`` is what follows ``ON table``."""

    name: str
    unique: bool
    definition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Which rows the roles see and may write."""

    name: str
    command: str
    roles: tuple[str, ...]
    condition: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One table.

    Attributes:
        about: what the migration that made it says of it.
        made_by: the file of that migration.
        walled: rows are seen through ``policies``; ``forced``: by its owner, too.
        grants: role → what it may do.
    """

    name: str
    about: str
    made_by: str
    walled: bool
    forced: bool
    columns: tuple[Column, ...]
    constraints: tuple[str, ...]
    indexes: tuple[Index, ...]
    policies: tuple[Policy, ...]
    grants: Mapping[str, tuple[str, ...]]


async def read_tables(owner_url: str) -> list[Table]:
    """The tables of a migrated database by name, without partitions.

    Args:
        owner_url: connection of the role ``guild_owner``.
    """
    connection = await asyncpg.connect(owner_url)
    try:
        tables = await connection.fetch(_TABLES)
        columns = _by_table(await connection.fetch(_COLUMNS))
        constraints = _by_table(await connection.fetch(_CONSTRAINTS))
        indexes = _by_table(await connection.fetch(_INDEXES))
        policies = _by_table(await connection.fetch(_POLICIES))
        grants = _by_table(await connection.fetch(_GRANTS))
    finally:
        await connection.close()
    about = _about()
    return [
        Table(
            name=one["name"],
            about=about.get(one["name"], ("", ""))[1],
            made_by=about.get(one["name"], ("", ""))[0],
            walled=one["walled"],
            forced=one["forced"],
            columns=tuple(
                Column(
                    name=row["name"],
                    type=row["type"],
                    nullable=row["nullable"],
                    default=row["default"],
                )
                for row in columns.get(one["name"], ())
            ),
            constraints=tuple(row["definition"] for row in constraints.get(one["name"], ())),
            indexes=tuple(map(_index, indexes.get(one["name"], ()))),
            policies=tuple(
                Policy(
                    name=row["name"],
                    command=row["command"],
                    roles=tuple(row["roles"]),
                    condition=row["condition"],
                )
                for row in policies.get(one["name"], ())
            ),
            grants={row["role"]: tuple(row["privileges"]) for row in grants.get(one["name"], ())},
        )
        for one in tables
    ]


def _by_table(rows: Sequence[asyncpg.Record]) -> dict[str, list[asyncpg.Record]]:
    found: dict[str, list[asyncpg.Record]] = {}
    for row in rows:
        found.setdefault(row["table"], []).append(row)
    return found


def _index(row: asyncpg.Record) -> Index:
    definition: str = row["definition"]
    return Index(
        name=row["name"],
        unique=definition.startswith("CREATE UNIQUE"),
        definition=definition.partition(" USING ")[2],
    )


def _about() -> dict[str, tuple[str, str]]:
    """Table → the migration that made it, and the comment it stands under there."""
    found: dict[str, tuple[str, str]] = {}
    for migration in shipped():
        comments = {name: comment for comment, name in _WHY.findall(migration.sql)}
        for name in _MAKES.findall(migration.sql):
            lines = [line.removeprefix("--").strip() for line in comments.get(name, "").split("\n")]
            before = found.get(name, ("", ""))[1]
            found[name] = (migration.name, " ".join(lines).strip() or before)
    return found
