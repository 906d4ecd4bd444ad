"""A guild is moved to another model, beside its searches."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from actors import clock
from actors.embedding.identity import ModelIdentity
from actors.embedding.messages import Vectors
from actors.rag.reembedding.store import NextStore, Progress, SwitchModel
from actors.rag.store import Pending
from actors.runtime.message import Caller, Context, GuildId

EmbedPassages = Callable[[Sequence[str]], Awaitable[Vectors]]
"""Vectors of the next model, shape (texts, dimension), each of length 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Of one run.

    Attributes:
        batch: passages that are embedded together.
        batches: at the same time.
        rounds: over a guild whose passages change all the while; then the run gives up.
        cleared: vectors of one transaction that clears up behind a switch.
    """

    batch: int
    batches: int
    rounds: int
    cleared: int


@dataclass(slots=True, kw_only=True)
class Moved:
    """What has become of a guild, counted as it happens.

    Attributes:
        former: its model before; None: it had no vector.
        passages: of the guild.
        ready: that have their next vector.
        embedded: by this run.
        rounds: over its passages.
        switched: whether its model is the target now.
    """

    former: ModelIdentity | None = None
    passages: int = 0
    ready: int = 0
    embedded: int = 0
    rounds: int = 0
    switched: bool = False


class Reembedding:
    """Embeds what has no next vector yet, again and again until little is left, then switches.

    Nothing is remembered here: a run that was killed is gone on with by the next one.

    Args:
        store: where passages and next vectors are.
        target: the next model.
        embed: makes its vectors.
        bounds: sizes.
    """

    def __init__(
        self, store: NextStore, target: ModelIdentity, embed: EmbedPassages, bounds: Bounds
    ) -> None:
        self._store = store
        self._target = target
        self._embed = embed
        self._bounds = bounds

    async def look(self, guild_id: GuildId) -> Moved:
        """Where the guild stands; changes nothing."""
        former = await self._store.model(guild_id)
        progress = await self._store.progress(guild_id, self._target)
        return _counted(Moved(former=former, switched=former == self._target), progress)

    async def move(self, guild_id: GuildId, moved: Moved) -> None:
        """Moves the guild; what `moved` says changes with every batch.

        Raises:
            ElderGuildError: the database or the embedder is away; a repeat goes on from here.
        """
        while not moved.switched and moved.rounds < self._bounds.rounds:
            moved.rounds += 1
            await self._round(guild_id, moved)
            moved.switched = await self._store.switch(
                _command(guild_id), self._target, most_left=self._bounds.batch
            )
            _counted(moved, await self._store.progress(guild_id, self._target))
        if moved.switched:
            while await self._store.fold(guild_id, self._target, self._bounds.cleared):
                pass
            while await self._store.forget(guild_id, self._bounds.cleared):
                pass

    async def _round(self, guild_id: GuildId, moved: Moved) -> None:
        """As many passages as wait at its begin, in the order of their ids."""
        after, size = "", self._bounds.batch
        limit = size * self._bounds.batches
        for _ in range(-(-(moved.passages - moved.ready) // limit)):
            page = await self._store.waiting(guild_id, self._target, after, limit)
            if not page:
                return
            done = await asyncio.gather(
                *(
                    self._batch(guild_id, page[start : start + size], moved)
                    for start in range(0, len(page), size)
                ),
                return_exceptions=True,  # what the others have made is kept
            )
            for failure in filter(None, done):
                raise failure
            after = page[-1].chunk_id

    async def _batch(self, guild_id: GuildId, batch: Sequence[Pending], moved: Moved) -> None:
        made = await self._embed([pending.to_embed for pending in batch])
        vectors = {pending.chunk_id: vector for pending, vector in zip(batch, made, strict=True)}
        await self._store.keep(guild_id, self._target, vectors)
        moved.embedded += len(batch)
        moved.ready += len(batch)


def _counted(moved: Moved, progress: Progress) -> Moved:
    moved.passages, moved.ready = progress.passages, progress.ready
    return moved


def _command(guild_id: GuildId) -> SwitchModel:
    command_id = clock.new_id("cmd")
    caller = Caller(guild_id=guild_id, principal_id="job.reembed")
    return SwitchModel(
        context=Context(caller=caller, correlation_id=command_id), command_id=command_id
    )
