"""`python -m benchmarks.load`: sends the load and prints one JSON object."""

import argparse
import sys
from collections.abc import Sequence

import orjson
import uvloop

from benchmarks import load as package
from benchmarks.load import Load
from benchmarks.load.client import closed, open_


def main(argv: Sequence[str] | None = None) -> int:
    """Sends the load that the command line describes and prints what was seen."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=package.__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--slow-path", default="")
    parser.add_argument("--slow-every", type=int, default=0)
    parser.add_argument("--bearer", default="")
    load = Load(**vars(parser.parse_args(argv)))
    seen = uvloop.run(open_(load) if load.rate else closed(load))
    sys.stdout.buffer.write(orjson.dumps(seen.summary()) + b"\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
