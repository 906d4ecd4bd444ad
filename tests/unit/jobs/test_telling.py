"""Whatever a name holds, a terminal shows it and does nothing else."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from cluster.jobs.telling import printable, tell


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("障害 手順 [red].md", "障害 手順 [red].md"),
        ("\x1b]0;mine\x07.md", r"\x1b]0;mine\x07.md"),
        ("a\nb\r.md", r"a\nb\r.md"),
        ("\x9b2J.md", r"\x9b2J.md"),
        ("a\u202efdp.md", r"a\u202efdp.md"),
        ("\udcff.md", r"\udcff.md"),
    ],
)
def test_a_name_is_shown_as_it_is_unless_a_terminal_would_obey_it(name: str, shown: str) -> None:
    output = io.StringIO()

    tell(Console(file=output, force_terminal=True, color_system=None, soft_wrap=True), name)

    assert output.getvalue() == f"{shown}\n"


@given(st.text())
def test_what_is_shown_is_one_line_that_every_terminal_can_take(text: str) -> None:
    shown = printable(text)

    assert shown.isprintable()
    assert shown.encode().decode() == shown
