"""Passages that one member has taken to embed, and keeps while it lives."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import structlog

from actors.errors import ElderGuildError
from actors.rag.store import Pending, RagStore
from actors.runtime.message import GuildId

_log = structlog.get_logger("elders_guild.rag")
_RENEWALS = 4  # in the time of a claim: two may fail


class Claim:
    """Passages that are ours within the block, however long it takes.

    A claim is short and renewed: what a member had that died is free after a few seconds, and no
    search waits longer for it.

    Args:
        store: where the claims are.
        guild_id: whose passages they are.
        passages: just claimed, for ``claim_s``.
        claim_s: how long a claim holds that is not renewed.
    """

    def __init__(
        self, store: RagStore, guild_id: GuildId, passages: Sequence[Pending], claim_s: float
    ) -> None:
        self._store = store
        self._guild_id = guild_id
        self._held = {one.chunk_id for one in passages}
        self._claim_s = claim_s
        self._saying = asyncio.Lock()  # a renewal must not come behind what was given back
        self._renewing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._renewing = asyncio.create_task(self._renew())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._renewing is not None:
            self._renewing.cancel()
            await asyncio.wait([self._renewing])

    def let_go(self, passages: Sequence[Pending]) -> None:
        """Renews the claim on some of them no more."""
        self._held -= {one.chunk_id for one in passages}

    async def release(self, passages: Sequence[Pending], after_s: float = 0.0) -> None:
        """Gives some of them back.

        Args:
            passages: some of them.
            after_s: seconds until they can be claimed again.
        """
        self.let_go(passages)
        async with self._saying:
            ids = sorted(one.chunk_id for one in passages)
            await self._store.release(self._guild_id, ids, after_s)

    async def _renew(self) -> None:
        while self._held:
            await asyncio.sleep(self._claim_s / _RENEWALS)
            try:
                async with self._saying:
                    await self._store.release(self._guild_id, sorted(self._held), self._claim_s)
            except ElderGuildError as error:
                _log.warning("claim_not_renewed", guild_id=self._guild_id, code=error.code)
            except Exception:  # a bug: others may do the same work
                _log.exception("claim_not_renewed", guild_id=self._guild_id)
