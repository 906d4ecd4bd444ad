"""Ends a stack whose supervisor died without a word (kill -9, out of memory).

A tiny process in a session of its own. It holds the reading end of a pipe; the supervisor holds
the other and never writes. End of file means that the supervisor is gone.
"""

import argparse
import os
import signal
import subprocess
import sys
from pathlib import Path

from cluster import marker

GENTLE_PROGRAMS = ("postgres", "valkey-server")
_TIMEOUT_S = 20.0


class Watchdog:
    """The supervisor's side: starts the process, and starts it again when it died."""

    def __init__(self, stack_id: str, log: Path) -> None:
        self._stack_id = stack_id
        self._log = log
        self._reader, self._writer = os.pipe()  # both close by themselves when we execute another
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether somebody watches over us."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Of the watching process."""
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Starts it. It does not carry the marker, so it never ends itself."""
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-m", "cluster.watchdog", self._stack_id, str(self._reader)],
                cwd=Path(__file__).resolve().parent.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(self._reader,),
            )

    def stop(self) -> None:
        """For an orderly end, after everything else has ended: there is nothing left to do."""
        os.close(self._writer)
        if self._process is not None:
            self._process.wait()


def main() -> int:
    """Waits for the supervisor's end, then ends what it left."""
    parser = argparse.ArgumentParser(prog="python -m cluster.watchdog", description=__doc__)
    parser.add_argument("stack_id")
    parser.add_argument("pipe", type=int)
    arguments = parser.parse_args()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.read(arguments.pipe, 1)
    left = marker.end(arguments.stack_id, timeout_s=_TIMEOUT_S, gently=GENTLE_PROGRAMS)
    if left:
        print(f"could not end {left}", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
