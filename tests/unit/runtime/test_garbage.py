"""The collector passes over what a process has loaded, and goes on finding what it makes."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from actors.runtime import garbage


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


class Ring:
    def __init__(self) -> None:
        self.itself = self


def test_what_was_there_is_not_looked_at_again() -> None:
    garbage.settle(10_000)

    assert gc.get_freeze_count() > 10_000
    assert len(gc.get_objects()) < gc.get_freeze_count()
    assert gc.get_threshold()[0] == 10_000


def test_a_ring_that_is_made_later_is_found() -> None:
    garbage.settle(10_000)
    gone = weakref.ref(Ring())

    gc.collect()

    assert gone() is None
