"""Which types a pattern means."""

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors import patterns

types = st.text(alphabet="ab.[]|\\\n", max_size=12)
written = st.text(alphabet="ab.[]|\\\n*", max_size=8)


def by_backtracking(pattern: str, name: str) -> bool:
    pieces = map(re.escape, pattern.split("*"))
    return re.fullmatch(".*".join(pieces), name, re.DOTALL) is not None


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("sage.incident.*", "sage.incident.alert.received", True),
        ("sage.incident.*", "sage.incident", False),
        ("sage.*.created", "sage.task.created", True),
        ("sage.*.created", "sage.task.created.late", False),
        ("*", "", True),
        ("custom.order", "custom.order", True),
        ("custom.order", "customXorder", False),
        ("custom.order", "custom.order.placed", False),
        ("*.a.*.b", "x.a.b", False),
        ("*.a.*.b", "x.a.a.b.b", True),
    ],
)
def test_a_star_is_any_run_of_characters(pattern: str, name: str, matches: bool) -> None:
    assert (patterns.compiled([pattern]).fullmatch(name) is not None) is matches


@settings(deadline=None)
@given(st.lists(written, min_size=1, max_size=4), types)
def test_one_of_the_patterns_is_enough(given_patterns: list[str], name: str) -> None:
    found = patterns.compiled(given_patterns).fullmatch(name) is not None

    assert found == any(by_backtracking(one, name) for one in given_patterns)


@settings(deadline=None)
@given(written)
def test_a_pattern_matches_what_it_is_made_of(pattern: str) -> None:
    assert patterns.compiled([pattern]).fullmatch(pattern.replace("*", "xyz"))


def test_many_stars_take_no_longer_than_few() -> None:
    pattern = "*a" * 60 + "b"
    begun = time.thread_time()

    found = patterns.compiled([pattern]).fullmatch("a" * 120)

    assert found is None
    assert time.thread_time() - begun < 1.0  # by backtracking: longer than anybody lives
