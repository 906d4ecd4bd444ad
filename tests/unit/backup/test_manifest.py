"""What a copy has otherwise than its manifest says, and what must be kept beside a backup."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from actors.key_ring import KeyRing
from actors.runtime.message import Position
from actors.storage.census import LogState, TableState
from cluster.backup.manifest import Manifest, differences, listed
from cluster.backup.places import of_database, place_of
from cluster.backup.programs import without_password
from cluster.jobs.backup import notes

STATE = LogState(
    position=Position(7, 3, 1),
    epoch=1,
    migrations=("001_core.sql", "002_identity.sql"),
    key_ids=("old",),
    size_bytes=1 << 20,
    system_identifier=11,
)
TABLES = {
    "public.events_default": TableState(3, "00000000000000aa"),
    "public.guilds": TableState(1, "00000000000000bb"),
}
SECRET = "k" * 32


def manifest(state: LogState = STATE) -> Manifest:
    return Manifest.of(
        made_at=datetime(2026, 11, 27, tzinfo=UTC),
        postgresql=18,
        state=state,
        tables=TABLES,
        files={},
    )


def test_a_manifest_comes_back_as_it_was_written() -> None:
    made = manifest()

    read = Manifest.model_validate_json(made.model_dump_json())

    assert read == made
    assert (read.events, read.rows, read.position) == (3, 4, "1-7-3")


@pytest.mark.parametrize(
    ("state", "tables", "said"),
    [
        (STATE, TABLES, []),
        # Size and server are the copy's own.
        (replace(STATE, size_bytes=1, system_identifier=12), TABLES, []),
        (
            replace(STATE, position=Position(7, 4, 1)),
            TABLES,
            ["log position: 1-7-4 in place of 1-7-3"],
        ),
        (replace(STATE, position=None), TABLES, ["log position: None in place of 1-7-3"]),
        (
            STATE,
            {**TABLES, "public.guilds": TableState(2, "00000000000000bb")},
            ["public.guilds: 2 rows in place of 1"],
        ),
        (
            STATE,
            {**TABLES, "public.guilds": TableState(1, "00000000000000bc")},
            ["public.guilds: its rows have another checksum"],
        ),
        (
            STATE,
            {"public.guilds": TABLES["public.guilds"]},
            ["public.events_default: is missing"],
        ),
        (
            STATE,
            {**TABLES, "public.more": TableState(0, "0" * 16)},
            ["public.more: was not saved"],
        ),
    ],
)
def test_every_difference_is_named(
    state: LogState, tables: dict[str, TableState], said: list[str]
) -> None:
    assert differences(manifest(), state, tables) == said


def test_many_differences_are_counted() -> None:
    assert listed([str(number) for number in range(7)]) == "0; 1; 2; 3; 4; and 2 more"


def test_what_must_be_kept_beside_it_is_said_by_the_ids_of_the_keys() -> None:
    own = KeyRing.parse(SECRET).present
    assert own is not None
    sealed = manifest(replace(STATE, key_ids=(own,)))

    nothing = notes(manifest(replace(STATE, key_ids=())), "")
    unknown = notes(sealed, "")
    held = notes(sealed, SECRET)
    lost = notes(sealed, "x" * 32)

    assert nothing == []
    assert unknown == [f"keep SECRET_KEY beside it: what is sealed needs its keys {own}"]
    assert held == [f"keep SECRET_KEY beside it, which has the keys it needs: {own}"]
    assert lost == [f"SECRET_KEY holds no key {own}: what is sealed under it cannot be read"]


def test_a_password_stands_in_no_command_line_and_in_no_sentence() -> None:
    url = "postgresql://ad%40min:p%2Fw%40@db.example:5432/postgres?sslmode=require"

    shown, password = without_password(of_database(url, "guild"))

    assert shown == "postgresql://ad%40min@db.example:5432/guild?sslmode=require"
    assert password == "p/w@"
    assert place_of(url) == "postgres at db.example:5432"
