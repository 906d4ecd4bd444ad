"""What is remembered of two generations, and which migrations the older one could not bear."""

from pathlib import Path

import pytest

from actors.storage.migrate import shipped
from cluster.generations import Colour, Generation, Rollout, contracting, upstream
from cluster.problem import StackProblem

SHIPPED = Path(__file__).resolve().parents[3] / "cluster" / "deploy" / "nginx" / "upstream.conf"


def generation(colour: Colour) -> Generation:
    return Generation(colour=colour, port=8001, pid=1, born=2.5, root="/srv/guild")


def test_the_next_one_never_goes_where_requests_go() -> None:
    first = Rollout()
    second = first.with_(generation(first.next)).switched(first.next)
    third = second.with_(generation(second.next)).switched(second.next)

    assert (first.next, second.next, third.next) == (Colour.BLUE, Colour.GREEN, Colour.BLUE)
    assert second.former is None
    assert third.former == generation(Colour.BLUE)
    assert third.current == generation(Colour.GREEN)


def test_what_is_saved_is_found_again(tmp_path: Path) -> None:
    rollout = Rollout().with_(generation(Colour.GREEN)).switched(Colour.GREEN)

    rollout.save(tmp_path)

    assert Rollout.load(tmp_path) == rollout
    assert (tmp_path / "rollout.json").stat().st_mode & 0o077 == 0


def test_nothing_was_deployed_where_nothing_is_saved(tmp_path: Path) -> None:
    assert Rollout.load(tmp_path) == Rollout()


@pytest.mark.parametrize("text", ["{", "[1]", '{"live": "red"}', '{"generations": [{}]}'])
def test_a_file_that_is_no_such_thing_is_a_problem(tmp_path: Path, text: str) -> None:
    (tmp_path / "rollout.json").write_text(text)

    with pytest.raises(StackProblem, match=r"rollout\.json"):
        Rollout.load(tmp_path)


@pytest.mark.parametrize(
    "taking",
    [
        "ALTER TABLE tasks DROP COLUMN note;",
        "DROP TABLE IF EXISTS tasks;",
        "alter table tasks rename column a to b;",
        "ALTER TABLE tasks RENAME TO works;",
        "ALTER TABLE tasks ALTER COLUMN note TYPE integer USING 1;",
        "TRUNCATE tasks;",
        "ALTER TABLE tasks DROP note;",
        "ALTER TABLE tasks RENAME a TO b;",
        "ALTER TABLE tasks ALTER COLUMN note SET NOT NULL;",
        "ALTER TABLE tasks ALTER note DROP DEFAULT;",
        "DROP MATERIALIZED VIEW counts;",
    ],
)
def test_what_takes_away_is_told_from_what_adds(taking: str) -> None:
    adding = (
        "ALTER TABLE tasks ADD COLUMN note text; -- never DROP TABLE\n/* RENAME TO */"
        "ALTER TABLE tasks DROP CONSTRAINT one, ALTER COLUMN a DROP NOT NULL; DROP INDEX two;"
    )

    assert contracting([("101_a.sql", adding), ("102_b.sql", taking)]) == ["102_b.sql"]


def test_most_of_what_was_shipped_adds() -> None:
    taking = contracting((one.name, one.sql) for one in shipped())

    assert len(taking) < len(shipped()) / 4, taking


def test_nginx_is_given_what_is_shipped_with_another_port() -> None:
    shipped_lines = SHIPPED.read_text(encoding="utf-8").replace(":8000", ":8002").splitlines()
    written = upstream(8002).splitlines()

    assert [line for line in written if not line.startswith("#")] == [
        line for line in shipped_lines if not line.startswith("#")
    ]
