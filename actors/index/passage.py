"""What the index holds, and what may be found in it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from actors.events import SourceType

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A document, a piece of knowledge, an incident or a task, as search sees it.

    Attributes:
        version: of the source; an older one never replaces a newer one.
        kind: finer than the type: ``runbook``, ``review``; the category of knowledge.
        access: who may read it; see the roles.
        changed_at: seconds since 1970 of its latest change; 0 where nobody said.
        names: names of the alerts that it is about.
        urls: where else it is known; compared with an alert's runbook links.
    """

    source_id: str
    type: SourceType
    version: int
    title: str
    external_id: str | None = None
    kind: str = ""
    status: str = ""
    tags: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    urls: tuple[str, ...] = ()
    access: str = "public"
    changed_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Passage:
    """A span of a source's text.

    Attributes:
        vector: of unit length; None until it is embedded.
    """

    chunk_id: str
    position: int
    heading: str
    text: str
    char_start: int
    char_end: int
    vector: Vector | None = None

    def with_vector(self, vector: Vector | None) -> "Passage":
        """The same passage with another vector."""
        if vector is self.vector:
            return self
        return Passage(
            chunk_id=self.chunk_id,
            position=self.position,
            heading=self.heading,
            text=self.text,
            char_start=self.char_start,
            char_end=self.char_end,
            vector=vector,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which sources may be found; applies before the best are chosen. Empty: all of them.

    Attributes:
        tags: a source must have all of these; of the others, any.
        exclude: ids of sources that must not be found.
        since: of ``changed_at``, inclusive, in seconds since 1970.
        until: of ``changed_at``, exclusive.
    """

    types: frozenset[SourceType] = frozenset()
    kinds: frozenset[str] = frozenset()
    statuses: frozenset[str] = frozenset()
    access: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    exclude: frozenset[str] = frozenset()
    since: float | None = None
    until: float | None = None

    @property
    def everything(self) -> bool:
        """Whether nothing is left out."""
        return self == _EVERYTHING

    def admits(self, source: Source) -> bool:
        """Whether this source may be found."""
        return (
            (not self.types or source.type in self.types)
            and (not self.kinds or source.kind in self.kinds)
            and (not self.statuses or source.status in self.statuses)
            and (not self.access or source.access in self.access)
            and (self.since is None or source.changed_at >= self.since)
            and (self.until is None or source.changed_at < self.until)
            and self.tags <= set(source.tags)
            and source.source_id not in self.exclude
        )


_EVERYTHING = Selection()
