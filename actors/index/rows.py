"""Arrays that grow at their end."""

from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

ScalarT = TypeVar("ScalarT", bound=np.generic)

_FIRST_CAPACITY = 256


class Rows(Generic[ScalarT]):
    """Rows of one shape, added behind the last; twice the room is made when it is full.

    Args:
        dtype: of the numbers.
        width: numbers in a row; None where a row is one number.
    """

    def __init__(self, dtype: type[ScalarT], width: int | None = None) -> None:
        shape = (_FIRST_CAPACITY,) if width is None else (_FIRST_CAPACITY, width)
        self._held: npt.NDArray[ScalarT] = np.empty(shape, dtype=dtype)
        self._count = 0

    def __len__(self) -> int:
        return self._count

    @property
    def all(self) -> npt.NDArray[ScalarT]:
        """The rows: a view, let go of before the next `extend`."""
        return self._held[: self._count]

    def extend(self, rows: npt.ArrayLike) -> None:
        """Adds rows."""
        new = np.asarray(rows, dtype=self._held.dtype)
        wanted = self._count + len(new)
        if wanted > len(self._held):
            room = np.empty((max(wanted, 2 * len(self._held)), *self._held.shape[1:]), new.dtype)
            room[: self._count] = self.all
            self._held = room
        self._held[self._count : wanted] = new
        self._count = wanted

    def drop(self, count: int) -> None:
        """Lets the first ``count`` rows go; the others move up."""
        self._held = self._held[count:].copy()
        self._count -= count
