"""Who waits for a long run sees how far it is."""

import io
import re
import threading

import pytest

from benchmarks.progress import Step, shown


class Lines(io.StringIO):
    """Tells when so many lines have been written."""

    def __init__(self, wanted: int) -> None:
        super().__init__()
        self._wanted = wanted
        self.there = threading.Event()

    def write(self, text: str) -> int:
        written = super().write(text)
        if self.getvalue().count("\n") >= self._wanted:
            self.there.set()
        return written


def test_what_a_run_is_at_is_said_again_and_again_until_it_ends() -> None:
    step, out = Step("pairs", done=7, of=100), Lines(wanted=2)

    with shown(lambda: step, every_s=0.001, out=out):
        seen = out.there.wait(10)
    ended = out.getvalue()

    assert seen
    assert all(re.fullmatch(r"\[ *\d+ s\] pairs: 7 of 100", line) for line in ended.splitlines())


def test_a_run_that_fails_says_no_more() -> None:
    out = Lines(wanted=1)

    with pytest.raises(RuntimeError), shown(lambda: "pairs", every_s=30, out=out):
        raise RuntimeError("the stack did not start")

    assert out.getvalue() == ""
    assert "progress" not in {thread.name for thread in threading.enumerate()}


def test_a_step_counts_what_was_worked_on() -> None:
    step = Step("starting")
    step.begin("documents")

    seen = [(one, str(step)) for one in step.counted("ab")]

    assert seen == [("a", "documents: 0"), ("b", "documents: 1")]
    assert str(step) == "documents: 2"
