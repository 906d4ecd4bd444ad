"""`python -m benchmarks.vectors`: chooses and embeds the sentences, so that no benchmark waits.

`--data` names the evaluation data, default $GUILD_EVAL_DATA; without it the exit status is 2.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.vectors.kept import CACHE, DOCUMENTS, QUERIES, prepared
from benchmarks.vectors.sources import NoData

_VARIABLE = "GUILD_EVAL_DATA"


def main(argv: Sequence[str] | None = None, cache: Path = CACHE) -> int:
    """0, or 2 where there is no data."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.vectors", description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get(_VARIABLE) or None)
    data: Path | None = parser.parse_args(argv).data
    try:
        if data is None:
            raise NoData(f"name the evaluation data: --data DIR, or {_VARIABLE}")
        folder = prepared(data, QUERIES + DOCUMENTS, cache)
    except NoData as error:
        sys.stderr.write(f"data set not present: {error}\n")
        return 2
    sys.stdout.write(f"{folder}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
