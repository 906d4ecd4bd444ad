"""Blue and green: which generations of the guild there are, and which one answers. Pure but a file.

Each is a whole local stack on the database that both share, started from a checkout of its own.
"""

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from cluster.problem import StackProblem
from cluster.state import read_private, write_private

_FILE = "rollout.json"
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_CONTRACTS = re.compile(
    r"\bDROP\s+(?!(?:INDEX|CONSTRAINT|POLICY|TRIGGER|NOT)\b)\w|\bRENAME\b|\bSET\s+NOT\s+NULL\b"
    r"|\bALTER\s+(?:COLUMN\s+)?\w+\s+(?:SET\s+DATA\s+)?TYPE\b|\bTRUNCATE\b",
    re.IGNORECASE,
)


class Colour(enum.StrEnum):
    """The two places that a generation may have."""

    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> "Colour":
        """The one that this is not."""
        return Colour.GREEN if self is Colour.BLUE else Colour.BLUE


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One that was started; whether it lives is for the machine to say.

    Attributes:
        pid: of the process that holds it; with ``born`` it means no other.
        born: when that process began, in seconds of the epoch.
        root: the checkout it runs from.
    """

    colour: Colour
    port: int
    pid: int
    born: float
    root: str

    @property
    def url(self) -> str:
        """Where it answers by itself."""
        return f"http://127.0.0.1:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """What is known between two commands.

    Attributes:
        live: whom nginx asks; None: nothing was deployed yet.
    """

    live: Colour | None = None
    generations: Mapping[Colour, Generation] = field(default_factory=dict)

    @property
    def next(self) -> Colour:
        """Where the next one goes: never where requests go now."""
        return Colour.BLUE if self.live is None else self.live.other

    @property
    def former(self) -> Generation | None:
        """The one to go back to."""
        return None if self.live is None else self.generations.get(self.live.other)

    @property
    def current(self) -> Generation | None:
        """The one that answers."""
        return None if self.live is None else self.generations.get(self.live)

    def with_(self, generation: Generation) -> "Rollout":
        """With this one in its place."""
        return replace(self, generations={**self.generations, generation.colour: generation})

    def without(self, colour: Colour) -> "Rollout":
        """With nobody in this place."""
        left = {one: there for one, there in self.generations.items() if one is not colour}
        return replace(self, generations=left)

    def switched(self, colour: Colour) -> "Rollout":
        """With requests going there."""
        return replace(self, live=colour)

    def save(self, folder: Path) -> None:
        """Writes it, all or nothing."""
        found = {"live": self.live, "generations": [asdict(g) for g in self.generations.values()]}
        write_private(folder / _FILE, found)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What was saved, or a beginning.

        Raises:
            StackProblem: the file is no such thing.
        """
        try:
            found: Mapping[str, Any] = read_private(folder / _FILE) or {}
            there = [
                Generation(**{**one, "colour": Colour(one["colour"])})
                for one in found.get("generations", ())
            ]
            live = Colour(found["live"]) if found.get("live") else None
        except (ValueError, TypeError, KeyError) as error:
            raise StackProblem(f"{folder / _FILE} cannot be read: {error}") from error
        return cls(live=live, generations={one.colour: one for one in there})


def contracting(migrations: Iterable[tuple[str, str]]) -> list[str]:
    """The names of migrations that take something away from the version that runs.

    Args:
        migrations: name and statements of each.
    """
    return [name for name, sql in migrations if _CONTRACTS.search(_COMMENT.sub(" ", sql))]


def upstream(port: int) -> str:
    """What nginx's ``upstream.conf`` says for a generation on this machine."""
    return (
        "# Written by scripts/deploy.sh with each switch.\n"
        "upstream guild {\n"
        "    zone guild 128k;\n"
        f"    server 127.0.0.1:{port} max_fails=3 fail_timeout=2s;\n"
        "    keepalive 64;\n"
        "}\n"
    )
