"""The names of members: ``sage/generation/number``."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True, order=True)
class MemberIdentity:
    """Which member of which pool; its name is the Ray actor's name.

    A generation is one version of the code and its configuration. Numbers within a generation are
    reused once their former owner is gone.
    """

    pool: str
    generation: int
    number: int

    @property
    def name(self) -> str:
        """The actor's name, such as ``incident/1/0``."""
        return f"{self.pool}/{self.generation}/{self.number}"

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """The identity behind an actor's name, or None when it is no member's name."""
        pool, _, rest = name.partition("/")
        generation, _, number = rest.partition("/")
        if not pool or not generation.isdecimal() or not number.isdecimal():
            return None
        return cls(pool, int(generation), int(number))
