"""`python -m cluster.up` as a child of a test."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from cluster import marker
from cluster.state import Stack

ROOT = Path(__file__).resolve().parents[3]
APP = ROOT / "tests" / "fixtures" / "trivial_app.yaml"
_OURS = re.compile(r"(GUILD|RAY)_|(DATABASE_URL|REDIS_URL|JWT_SECRET|SECRET_KEY|ENV)$")


def clean_environment(**changes: str) -> dict[str, str]:
    """This process's variables without any that would configure a stack."""
    kept = {name: value for name, value in os.environ.items() if not _OURS.match(name)}
    return kept | changes


def up_command(folder: Path, port: int) -> list[str]:
    """The stack with an app that has nothing in it."""
    return [
        *(sys.executable, "-m", "cluster.up", "--data-dir", str(folder), "--port", str(port)),
        *("--serve-config", str(APP), "--without-pools"),
    ]


def refused(folder: Path, port: int, **environment: str) -> str:
    """The one sentence of a start that must fail."""
    done = subprocess.run(
        up_command(folder, port),
        env=clean_environment(**environment),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


@contextmanager
def running(
    folder: Path, port: int, environment: Mapping[str, str]
) -> Iterator[subprocess.Popen[bytes]]:
    """Starts it, and ends it and everything of it whatever the test did."""
    log = folder.with_name(f"{folder.name}.up.log")
    with log.open("ab") as output:
        process = subprocess.Popen(
            up_command(folder, port),
            env=dict(environment),
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        stack = Stack.load(folder)
        if stack is not None:
            marker.end(stack.stack_id, timeout_s=20)
        print(log.read_text())
        ray_log = folder / "logs" / "ray.log"
        print(ray_log.read_text()[-3000:] if ray_log.exists() else "Ray was never started")


def eventually(holds: Callable[[], bool], *, timeout_s: float, what: str) -> None:
    """Waits until it holds."""
    started = time.monotonic()
    while not holds():
        assert time.monotonic() - started < timeout_s, f"not within {timeout_s} s: {what}"
        time.sleep(0.1)
