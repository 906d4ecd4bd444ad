"""What became of everything, counted as it happens."""

from dataclasses import dataclass, field

from cluster.api import Json


@dataclass(slots=True, kw_only=True)
class Report:
    """The counts of one run. ``errors`` holds the first of them, ``failed`` counts all.

    Attributes:
        seen: files that were looked at, or documents of a data set.
        created: documents that are new in the guild.
        updated: documents that have a new version now.
        unchanged: not sent, or sent and found to be there as they are.
        skipped: of no format that is read here, or empty.
        emptied: files that are skipped now and have a document from before.
        pruned: documents deleted because their file is gone or empty, or a data set was cleaned.
        unread_folders: folders of which not all files were found.
        complete: whether the run came to its end and saw everything.
    """

    errors_listed: int
    seen: int = 0
    created: int = 0
    updated: int = 0
    unchanged: int = 0
    skipped: int = 0
    emptied: int = 0
    pruned: int = 0
    failed: int = 0
    unread_folders: int = 0
    sent_bytes: int = 0
    seconds: float = 0.0
    complete: bool = False
    notes: list[str] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)

    def fail(self, name: str, reason: str) -> None:
        """One thing that did not work."""
        self.failed += 1
        if len(self.errors) < self.errors_listed:
            self.errors.append((name, reason))

    @property
    def settled(self) -> int:
        """How many of those seen need nothing more."""
        return self.created + self.updated + self.unchanged + self.skipped + self.failed

    def counts(self) -> str:
        """One line for people."""
        line = (
            f"{self.created} created, {self.updated} updated, {self.unchanged} unchanged,"
            f" {self.skipped} skipped, {self.failed} failed"
        )
        return f"{line}, {self.pruned} pruned" if self.pruned else line

    def as_json(self) -> Json:
        """The whole of it."""
        return {
            "complete": self.complete,
            "seen": self.seen,
            "created": self.created,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "skipped": self.skipped,
            "emptied": self.emptied,
            "pruned": self.pruned,
            "failed": self.failed,
            "unread_folders": self.unread_folders,
            "sent_bytes": self.sent_bytes,
            "seconds": round(self.seconds, 3),
            "notes": self.notes,
            "errors": [{"path": name, "reason": reason} for name, reason in self.errors],
            "errors_not_listed": self.failed - len(self.errors),
        }
