"""`python -m cluster.schema_document`: writes docs/DATABASE_SCHEMA.md from the migrations."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from actors.storage.catalogue import Table, read_tables
from actors.storage.migrate import migrate, shipped
from cluster.bootstrap import Passwords, bootstrap
from cluster.process import free_ports
from cluster.services import PostgresServer

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "DATABASE_SCHEMA.md"
_START_TIMEOUT_S = 60.0
_PASSWORD = "of-a-server-that-lives-for-seconds"  # noqa: S105  # on loopback, with no data

_HEAD = """\
# Database schema

Made from the migrations by `python -m cluster.schema_document`; a test compares the two. Change a
table by a new file in `actors/storage/migrations/`, then run the command again.

Roles: `guild_owner` owns everything and runs migrations; `guild_app` is what the sages use and sees
one guild a transaction; `guild_log` is what router and index use and reads the log across guilds.
A table that is walled shows a role only the rows that its policies let through (row-level
security); where it is forced, that holds for the owner, too.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Writes the document, or says with ``--check`` whether it is what it would write."""
    parser = argparse.ArgumentParser(
        prog="python -m cluster.schema_document",
        description=__doc__,
        epilog="example:\n  python -m cluster.schema_document --check",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if it is outdated")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="guild-schema-") as folder:
        Path(folder).chmod(0o711)  # PostgreSQL may run as another account
        text = asyncio.run(_of_a_fresh_database(Path(folder) / "pg"))
    if not options.check:
        DOCUMENT.write_text(text)
        return 0
    if DOCUMENT.exists() and DOCUMENT.read_text() == text:
        return 0
    print(f"{DOCUMENT.name} is outdated: run python -m cluster.schema_document", file=sys.stderr)
    return 1


async def _of_a_fresh_database(folder: Path) -> str:
    server = PostgresServer(folder, port=free_ports(1)[0], password=_PASSWORD, environment={})
    server.prepare()
    await server.start(timeout_s=_START_TIMEOUT_S)
    try:
        passwords = Passwords(owner=_PASSWORD, app=_PASSWORD, log=_PASSWORD)
        urls = await bootstrap(server.admin_url, passwords, database="guild")
        await migrate(urls.owner)
        return render(await read_tables(urls.owner))
    finally:
        server.stop()


def render(tables: Sequence[Table]) -> str:
    """The whole document."""
    migrations = "\n".join(f"- `{one.name}`" for one in shipped())
    contents = "\n".join(f"- [`{one.name}`](#{one.name}) {_first(one.about)}" for one in tables)
    return "\n\n".join(
        [
            _HEAD.rstrip("\n"),
            f"## Migrations\n\n{migrations}",
            f"## Tables\n\n{contents}",
            *map(_table, tables),
        ]
    ).replace(" \n", "\n") + ("\n")


def _table(table: Table) -> str:
    parts = [f"### {table.name}"]
    if table.about:
        parts.append(table.about)
    walls = "forced" if table.forced else "walled" if table.walled else "not walled"
    grants = "; ".join(f"`{role}` {', '.join(may)}" for role, may in table.grants.items())
    parts.append(f"Made by `{table.made_by}`; {walls}. {grants}".rstrip())
    rows = (
        (f"`{one.name}`", one.type, "yes" if one.nullable else "", _code(one.default))
        for one in table.columns
    )
    parts.append(_grid(("column", "type", "null", "default"), rows))
    for what, lines in (
        ("Constraints", map(_code, table.constraints)),
        (
            "Indexes",
            (
                f"`{one.name}`{' unique' if one.unique else ''} {_code(one.definition)}"
                for one in table.indexes
            ),
        ),
        (
            "Policies",
            (
                f"`{one.name}` {one.command} for {', '.join(one.roles)}: {_code(one.condition)}"
                for one in table.policies
            ),
        ),
    ):
        if listed := "\n".join(f"- {line}" for line in lines):
            parts.append(f"{what}:\n\n{listed}")
    return "\n\n".join(parts)


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(one) for one in line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{' '.join(text.split())}`" if text else ""


def _first(text: str) -> str:
    """The first sentence."""
    return f"{text.split('. ')[0].rstrip('.')}." if text else ""


if __name__ == "__main__":
    raise SystemExit(main())
