"""Recognising what a stack started."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import marker
from cluster.marker import Marked
from cluster.process import parse_stat


@pytest.mark.parametrize(
    ("block", "ours"),
    [
        (b"PATH=/bin\0GUILD_STACK_ID=one\0HOME=/\0", True),
        (b"GUILD_STACK_ID=one", True),
        (b"GUILD_STACK_ID=oneself\0", False),
        (b"MY_GUILD_STACK_ID=one\0", False),
        (b"NOTE=GUILD_STACK_ID=one\0", False),
        (b"", False),
    ],
)
def test_only_the_exact_variable_counts(block: bytes, ours: bool) -> None:
    assert marker.carries(block, "one") is ours


def test_a_child_inherits_what_is_looked_for() -> None:
    block = b"\0".join(
        f"{name}={value}".encode() for name, value in marker.environment("one").items()
    )

    assert marker.carries(block, "one")


@given(name=st.text(st.characters(exclude_categories=["Cs"]), max_size=15))
def test_a_process_name_cannot_disguise_its_parent(name: str) -> None:
    state, parent = parse_stat(f"42 ({name}) S 7 42 42 0 -1 4194560")

    assert (state, parent) == ("S", 7)


@pytest.mark.parametrize(
    ("argv", "title"),
    [
        (("/x/bin/postgres", "-D", "/data"), "postgres"),
        (("postgres: io worker 0",), "postgres:"),
        (("/x/bin/python", "-u", "/ray/monitor.py", "--logs-dir=/x.y"), "monitor.py"),
        (("/x/bin/python3.11", "-m", "ray.util.client.server"), "ray.util.client.server"),
        (("/x/bin/python", "-c", "from a.b import c"), "python"),
        (("ray::ServeReplica:guild:gateway",), "ray::ServeReplica:guild:gateway"),
        ((), ""),
    ],
)
def test_a_title_is_short_and_names_the_work(argv: tuple[str, ...], title: str) -> None:
    assert Marked(pid=1, parent=0, argv=argv).title == title
