"""What is damaged, in the way or not whole is refused with one sentence, and nothing is touched."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest

from actors.storage import census
from actors.storage.schema_lock import LOCK
from cluster.backup.dumping import dump
from cluster.backup.manifest import Damaged
from cluster.backup.restoring import compare, load, whole
from cluster.problem import StackProblem
from tests.fixtures.backups import NUMBERS, QUIET, Saved, Target
from tests.fixtures.services import PreparedDatabase

pytestmark = pytest.mark.integration


def _data(folder: Path) -> Path:
    """The largest file of the dump."""
    return max((folder / "data").iterdir(), key=lambda path: path.stat().st_size)


def _names(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir()]


def _flip_a_bit(folder: Path) -> None:
    path = _data(folder)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut(folder: Path) -> None:
    path = _data(folder)
    path.write_bytes(path.read_bytes()[:-1])


def _remove(folder: Path) -> None:
    _data(folder).unlink()


def _add(folder: Path) -> None:
    (folder / "data" / "stranger.dat").write_bytes(b"")


def _half_a_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text()[:-10])


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_flip_a_bit, "has another content"),
        (_cut, "has another size"),
        (_remove, "is missing"),
        (_add, "stranger.dat does not belong to it"),
        (_half_a_manifest, "is damaged, or of another version"),
    ],
)
async def test_a_damaged_backup_is_refused_before_anything_is_restored(
    saved: Saved, tmp_path: Path, harm: Callable[[Path], None], said: str
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(saved.folder, folder)
    harm(folder)

    with pytest.raises(Damaged, match=said):
        await whole(folder, NUMBERS, QUIET)


async def test_a_backup_of_a_newer_version_is_refused(saved: Saved, tmp_path: Path) -> None:
    described = json.loads((saved.folder / "manifest.json").read_text())
    described["migrations"].append("999_tomorrow.sql")
    (tmp_path / "manifest.json").write_text(json.dumps(described))

    with pytest.raises(StackProblem, match=r"999_tomorrow\.sql, which this version does not know"):
        await whole(tmp_path, NUMBERS, QUIET)


async def test_a_database_with_anything_in_it_is_refused_and_stays_as_it_is(
    saved: Saved, target: Target
) -> None:
    admin = await asyncpg.connect(target.admin_url)
    await admin.execute("CREATE TABLE notes (text text); INSERT INTO notes VALUES ('mine')")

    with pytest.raises(StackProblem, match=r"is not empty, it has 1 .* such as public\.notes"):
        await load(saved.manifest, saved.folder, target.admin_url, NUMBERS, QUIET)
    mine = await admin.fetchval("SELECT text FROM notes")
    await admin.close()

    assert mine == "mine"


async def test_a_database_that_is_not_prepared_is_refused(saved: Saved, target: Target) -> None:
    admin = await asyncpg.connect(target.admin_url)
    await admin.execute("DROP EXTENSION vector")
    await admin.close()

    with pytest.raises(StackProblem, match=r"not prepared: run `python -m cluster\.bootstrap"):
        await load(saved.manifest, saved.folder, target.admin_url, NUMBERS, QUIET)


@pytest.mark.parametrize("processes", [1, 2])
async def test_one_changed_row_of_a_restored_database_is_found(
    saved: Saved, target: Target, processes: int
) -> None:
    await load(saved.manifest, saved.folder, target.admin_url, NUMBERS, QUIET, processes=processes)
    admin = await asyncpg.connect(target.admin_url)
    await admin.execute("UPDATE guilds SET name = name || ' '")
    await admin.close()

    with pytest.raises(Damaged, match=r"public\.guilds: its rows have another checksum"):
        await compare(saved.manifest, target.admin_url, NUMBERS, QUIET)


async def test_a_role_that_does_not_see_every_row_takes_no_backup(
    saved: Saved, tmp_path: Path
) -> None:
    with pytest.raises(StackProblem, match="row-level security hides rows from this role"):
        await dump(saved.database.owner_url, tmp_path / "backup", NUMBERS, QUIET)

    assert _names(tmp_path) == []


async def test_what_a_killed_run_left_is_begun_anew_and_what_is_there_is_not_overwritten(
    saved: Saved, tmp_path: Path
) -> None:
    left = tmp_path / ".backup.partial"
    (left / "data").mkdir(parents=True)
    (left / "data" / "toc.dat").write_bytes(b"half")

    made = await dump(saved.database.admin_url, tmp_path / "backup", NUMBERS, QUIET)
    with pytest.raises(StackProblem, match="is there already"):
        await dump(saved.database.admin_url, tmp_path / "backup", NUMBERS, QUIET)

    assert made.tables == saved.manifest.tables
    assert _names(tmp_path) == ["backup"]
    assert await whole(tmp_path / "backup", NUMBERS, QUIET) == made


async def test_no_backup_begins_while_the_schema_is_changed(
    fresh_database: PreparedDatabase, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(census, "_LOCK_WITHIN_MS", 100)
    migrating = await asyncpg.connect(fresh_database.owner_url)
    await migrating.execute("SELECT pg_advisory_lock($1)", LOCK)

    with pytest.raises(StackProblem, match="the schema is being changed"):
        await dump(fresh_database.admin_url, tmp_path / "backup", NUMBERS, QUIET)
    await migrating.close()
