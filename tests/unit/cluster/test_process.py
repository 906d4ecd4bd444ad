"""Children that are waited for, and those that only were adopted."""

import subprocess
import sys
from pathlib import Path
from signal import SIGTERM

from cluster.process import spawn, stop, waited_for


def test_a_child_is_waited_for_until_it_was_collected(tmp_path: Path) -> None:
    def sleeper() -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", "import time; time.sleep(600)"]
        log = tmp_path / "log"
        return spawn(command, log=log, environment={}, death_signal=SIGTERM)

    dead, living = sleeper(), sleeper()
    try:
        before = waited_for()
        dead.kill()
        dead.wait()

        after = waited_for()
    finally:
        stop(living, SIGTERM, timeout_s=30)

    assert {dead.pid, living.pid} <= before
    assert before - after == {dead.pid}
