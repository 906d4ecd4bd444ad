"""Cursors lead back to the row they were made from, and nowhere else."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors import paging
from actors.errors import ValidationError
from tests.fixtures.task_builders import NOON

PARTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00\x1f"))


@given(st.lists(PARTS, min_size=1, max_size=4))
def test_a_cursor_is_read_as_it_was_made(key: list[str]) -> None:
    assert paging.decode(paging.encode(*key), len(key)) == tuple(key)


@given(st.text(max_size=30), st.integers(1, 3))
def test_any_other_text_is_a_key_or_a_refusal(cursor: str, parts: int) -> None:
    try:
        key = paging.decode(cursor, parts)
    except ValidationError:
        return

    assert len(key) == parts


def test_a_time_is_read_with_its_offset() -> None:
    assert paging.moment(NOON.isoformat()) == NOON


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-03-01T12:00:00", "0001-01-01T00:00:00+14:00"]
)
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="cursor"):
        paging.moment(text)


@pytest.mark.parametrize("text", ["", "-", "1.5", "٣", "-1", "2147483648", "12345678901"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="cursor"):
        paging.number(text)
