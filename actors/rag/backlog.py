"""The dense leg catches up: passages without a vector are embedded in the background."""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from actors import clock, metrics
from actors.embedding.identity import ModelIdentity
from actors.errors import ElderGuildError
from actors.rag.claims import Claim
from actors.rag.embedder import Embedder
from actors.rag.library import Library
from actors.rag.store import Pending, RagStore
from actors.runtime.message import Caller, Command, Context, GuildId
from actors.runtime.turns import in_turns
from actors.settings import IndexSettings

_log = structlog.get_logger("elders_guild.rag")
_TURNS = 4  # a round's last claims leave threads idle, so rounds are several claims long


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachVectors(Command[None]):
    """Why vectors are written: nobody asked, they were missing."""


class Round(NamedTuple):
    """What became of one round.

    Attributes:
        worked: some guild had something embedded.
        failed: of some guild nothing could be.
    """

    worked: bool
    failed: bool


class Backlog:
    """Claims passages, has them embedded, writes the vectors back: a few claims at a time.

    A claim keeps members from doing the same work; should two do it after all, the second finds
    the vectors there and changes nothing.
    """

    def __init__(
        self, store: RagStore, library: Library, embedder: Embedder, settings: IndexSettings
    ) -> None:
        self._store = store
        self._library = library
        self._embedder = embedder
        self._settings = settings

    async def run(self) -> None:
        """Works for ever. What a dead member had claimed is free a few seconds later."""
        while True:
            done = Round(worked=False, failed=True)
            try:
                done = await self.round()
            except ElderGuildError as error:
                _log.warning("backlog_waits", code=error.code)
            except Exception:  # a bug: search goes on with its words
                _log.exception("backlog_failed")
            if done.worked:
                continue
            if done.failed:  # no search that waits makes it better
                await asyncio.sleep(self._settings.embed_poll_s)
            else:
                await asyncio.sleep(self._settings.tail_hurry_s)  # however many searches wait
                await self._library.vectors_wanted(self._settings.embed_poll_s)

    async def round(self) -> Round:
        """Gives every guild that waits a bounded number of turns."""
        waiting: dict[GuildId, int] = {}
        async for guild_id in in_turns(self._library.guilds, self._settings.store_hold_s):
            waiting[guild_id] = await self._library.waiting(guild_id)
        metrics.INDEX_LAG_EVENTS.labels("dense").set(sum(waiting.values()))
        most = self._settings.embed_claims * _TURNS
        turns = deque(dealt(waiting, claim=self._settings.embed_claim, most=most))

        failed: set[GuildId] = set()

        async def take_turns() -> bool:
            worked = False
            while turns:
                guild_id = turns.popleft()
                if guild_id not in failed:
                    worked |= await self._tried(guild_id, failed)
            return worked

        workers = min(self._settings.embed_claims, len(turns))
        worked = any(await asyncio.gather(*(take_turns() for _ in range(workers))))
        return Round(worked, failed=bool(failed))

    async def embed_some(self, guild_id: GuildId) -> bool:
        """Embeds one claim of one guild; whether there was anything to do.

        What the embedder refuses is set aside for a while, its neighbours are embedded.

        Raises:
            ElderGuildError: the embedder or the store is away, and the claim is free again; or the
                embedder refuses every passage of the claim.
        """
        if await self._library.waiting(guild_id) == 0:
            return False
        model = self._library.model(guild_id)
        claimed = await self._store.claim(
            guild_id, self._settings.embed_claim, self._settings.embed_claim_s, model
        )
        if not claimed:  # another member has them, or the guild has a model that we do not know of
            await self._library.check_model(guild_id)
            return False
        async with Claim(self._store, guild_id, claimed, self._settings.embed_claim_s) as claim:
            try:
                await self._embed(guild_id, claimed, model)
            except ElderGuildError as error:
                if error.retryable:
                    await claim.release(claimed)
                    raise
                await self._embed_one_by_one(guild_id, claimed, model, claim)
        return True

    async def _embed(
        self, guild_id: GuildId, claimed: Sequence[Pending], model: ModelIdentity
    ) -> None:
        command = _command(guild_id)
        made = await self._embedder.embed(
            [pending.to_embed for pending in claimed],
            command.context,
            urgent=False,
            timeout_s=self._settings.embed_timeout_s,
            model=model,
        )
        names = [pending.chunk_id for pending in claimed]
        vectors = dict(zip(names, made.vectors, strict=True))
        await self._store.attach(command, vectors, made.model_id)

    async def _embed_one_by_one(
        self, guild_id: GuildId, claimed: Sequence[Pending], model: ModelIdentity, claim: Claim
    ) -> None:
        """One of them may be the cause of a refusal; the others shall not suffer."""
        refusals: list[ElderGuildError] = []
        for number, pending in enumerate(claimed):
            try:
                await self._embed(guild_id, [pending], model)
                claim.let_go([pending])
            except ElderGuildError as error:
                if error.retryable:
                    await claim.release(claimed[number:])
                    raise
                refusals.append(error)
                await claim.release([pending], self._settings.embed_aside_s)
                _log.warning(
                    "passage_set_aside",
                    guild_id=guild_id,
                    chunk_id=pending.chunk_id,
                    code=error.code,
                    reason=str(error),
                )
        if len(refusals) == len(claimed):  # the cause may be the embedder: no haste
            raise refusals[-1]

    async def _tried(self, guild_id: GuildId, failed: set[GuildId]) -> bool:
        try:
            return await self.embed_some(guild_id)
        except ElderGuildError as error:
            _log.warning("backlog_waits", guild_id=guild_id, code=error.code)
        except Exception:  # a bug: search goes on with its words
            _log.exception("backlog_failed", guild_id=guild_id)
        failed.add(guild_id)
        return False


def dealt(waiting: Mapping[GuildId, int], *, claim: int, most: int) -> list[GuildId]:
    """Whose turn it is, one after the other: every guild once, then those that need more.

    Args:
        waiting: passages without a vector, by guild.
        claim: passages of one turn.
        most: turns of one guild.
    """
    needed = {guild_id: min(-(-count // claim), most) for guild_id, count in waiting.items()}
    return [
        guild_id
        for turn in range(max(needed.values(), default=0))
        for guild_id, turns in needed.items()
        if turns > turn
    ]


def _command(guild_id: GuildId) -> AttachVectors:
    command_id = clock.new_id("cmd")
    caller = Caller(guild_id=guild_id, principal_id="sage.rag")
    return AttachVectors(
        context=Context(caller=caller, correlation_id=command_id), command_id=command_id
    )
