"""The snapshots of one node: which one serves at a start, and when a new one is due."""

import asyncio
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from actors import metrics
from actors.embedding.identity import ModelIdentity
from actors.index import snapshot
from actors.index.image import Image
from actors.index.snapshot import BadSnapshot, Snapshot
from actors.runtime.message import GuildId, Position
from actors.settings import IndexSettings

_log = structlog.get_logger("elders_guild.rag")
_ENDING = ".index"
_REBUILDING = "rebuilding"


class Snapshots:
    """Files of a folder that the members of a node share: the one that is written last stays.

    Nothing here is needed for a right answer: what is missing, too old or damaged is built from
    the database.

    Args:
        settings: the folder, and how old a snapshot may be.
        now: seconds since 1970.
    """

    def __init__(self, settings: IndexSettings, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._now = now

    async def load(
        self, guild_id: GuildId, end: Position, model: ModelIdentity, shard: int = 0
    ) -> Snapshot | None:
        """The snapshot of a shard of a guild; None where there is none that can be used.

        Args:
            guild_id: whose.
            end: of the log: a snapshot that claims to know more is of another one.
            model: of its vectors: with those of another it is refused.
            shard: of the index as the settings divide it.
        """
        if self._rebuilding():
            return None
        path = self._path(guild_id, shard)
        try:
            found = await asyncio.to_thread(
                snapshot.read,
                path,
                guild_id,
                model.model_id,
                model.dimension,
                shard=shard,
                shards=self._settings.shards,
            )
            self._check(found, end)
        except FileNotFoundError:
            return None
        except (BadSnapshot, OSError) as error:
            metrics.INDEX_SNAPSHOTS.labels("refused").inc()
            _log.warning("snapshot_refused", guild_id=guild_id, reason=str(error))
            return None
        metrics.INDEX_SNAPSHOTS.labels("loaded").inc()
        return found

    def due(self, guild_id: GuildId, passages: int, shard: int = 0) -> bool:
        """Whether a shard of this size wants a new snapshot: small ones are built as quickly."""
        if passages < self._settings.snapshot_passages or self._rebuilding():
            return False
        try:
            age_s = self._now() - self._path(guild_id, shard).stat().st_mtime
        except OSError:
            return True
        return age_s >= self._settings.snapshot_s

    async def save(
        self,
        guild_id: GuildId,
        image: Image,
        position: Position,
        model: ModelIdentity,
        shard: int = 0,
    ) -> None:
        """Writes a snapshot; a failure is logged, and the former one stays."""
        try:
            size = await asyncio.to_thread(
                snapshot.write,
                self._path(guild_id, shard),
                image,
                guild_id=guild_id,
                position=position,
                model_id=model.model_id,
                written_at=self._now(),
                shard=shard,
                shards=self._settings.shards,
            )
        except OSError as error:
            metrics.INDEX_SNAPSHOTS.labels("failed").inc()
            _log.warning("snapshot_not_written", guild_id=guild_id, reason=str(error))
            return
        metrics.INDEX_SNAPSHOTS.labels("written").inc()
        _log.info("snapshot_written", guild_id=guild_id, position=str(position), bytes=size)

    def forget(self, guild_id: GuildId, passages: int, shard: int = 0) -> None:
        """Takes away the snapshot of a shard that has become so small that it wants none."""
        if passages < self._settings.snapshot_passages:
            _unlink(self._path(guild_id, shard))

    def sweep(self) -> None:
        """Takes away what nobody will read: what is too old, and what was never finished.

        The snapshots of guilds and shards that are no more are among the old ones: nobody writes
        them any more. Blocks for as long as it takes to list the folder.
        """
        oldest = self._now() - self._settings.snapshot_max_age_s
        for pattern in (f"*{_ENDING}", f"*{_ENDING}.*{snapshot.UNFINISHED}"):
            for path in self._settings.snapshot_dir.glob(pattern):
                try:
                    stale = path.stat().st_mtime < oldest
                except OSError:  # whoever wrote it has just renamed it
                    continue
                if stale or not _has_a_writer(path):
                    _unlink(path)

    def begin_rebuilding(self) -> int:
        """From now on nobody on this node reads or writes one; answers how many were dropped.

        It lasts until `end_rebuilding`, also when who began it has died: indexes are then built
        from the database, which takes longer and is as right.
        """
        folder = self._settings.snapshot_dir
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / _REBUILDING).touch(mode=0o600)
        dropped = list(folder.glob(f"*{_ENDING}"))
        for path in dropped:
            _unlink(path)
        return len(dropped)

    def end_rebuilding(self) -> None:
        """Snapshots are written and read again; those of members that just wrote one are gone."""
        folder = self._settings.snapshot_dir
        for path in folder.glob(f"*{_ENDING}"):
            _unlink(path)
        (folder / _REBUILDING).unlink(missing_ok=True)

    def _rebuilding(self) -> bool:
        return (self._settings.snapshot_dir / _REBUILDING).exists()

    def _check(self, found: Snapshot, end: Position) -> None:
        position = found.position
        if position.epoch != end.epoch or position > end:
            raise BadSnapshot("it is of another log")
        if self._now() - found.manifest.written_at > self._settings.snapshot_max_age_s:
            raise BadSnapshot("it is too old")

    def _path(self, guild_id: GuildId, shard: int) -> Path:
        name = hashlib.sha256(guild_id.encode()).hexdigest()[:32]
        part = f".{shard}-of-{self._settings.shards}" if self._settings.shards > 1 else ""
        return self._settings.snapshot_dir / f"{name}{part}{_ENDING}"


def _has_a_writer(path: Path) -> bool:
    """Whether the process lives that a file is named after; a whole one needs none."""
    number = path.name.removesuffix(snapshot.UNFINISHED).rpartition(".")[2]
    if path.name.endswith(_ENDING) or not number.isdecimal():
        return True
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # of another account, or no number of a process
        return True
    return True


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        _log.warning("snapshot_not_removed", reason=str(error))
