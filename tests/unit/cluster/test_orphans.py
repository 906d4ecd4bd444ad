"""Which processes of PostgreSQL are left of a killed one."""

from pathlib import Path

import pytest

from cluster.marker import Marked
from cluster.services import orphans

DATA, ELSEWHERE, UNKNOWN = Path("/data"), Path("/other"), None
US, POSTMASTER, INIT = 100, 200, 1


@pytest.mark.parametrize(
    ("title", "parent", "where", "ends"),
    [
        ("postgres: io worker 0", US, DATA, True),
        ("postgres: io worker 0", INIT, DATA, True),
        ("postgres: io worker 0", US, UNKNOWN, True),
        ("postgres: io worker 0", INIT, UNKNOWN, False),  # somebody else's, for all we know
        ("postgres: io worker 0", POSTMASTER, DATA, False),
        ("postgres: io worker 0", US, ELSEWHERE, False),
        ("/x/bin/postgres", US, DATA, False),  # a postmaster
        ("sh", INIT, DATA, False),
    ],
)
def test_only_what_has_lost_its_postmaster_is_ended(
    title: str, parent: int, where: Path | None, ends: bool
) -> None:
    one = Marked(pid=300, parent=parent, argv=(title,))
    postmaster = Marked(pid=POSTMASTER, parent=US, argv=("/x/bin/postgres", "-D", "/data"))

    found = orphans({postmaster: DATA, one: where}, folder=DATA, adopted_by=US)

    assert found == ([one.pid] if ends else [])
