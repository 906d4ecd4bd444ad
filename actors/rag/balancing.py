"""Shards move when members come and go: what is new is filled before anything is let go."""

import asyncio

import structlog

from actors import clock
from actors.errors import ElderGuildError
from actors.rag.library import Library
from actors.rag.messages import GetShardStatus
from actors.rag.placement import Place
from actors.runtime.message import Caller, Context, GuildId
from actors.runtime.peers import Peers
from actors.settings import IndexSettings

_log = structlog.get_logger("elders_guild.rag")


class Balancing:
    """Makes what this member holds what it is to hold."""

    def __init__(self, library: Library, peers: Peers, settings: IndexSettings) -> None:
        self._library = library
        self._peers = peers
        self._settings = settings
        self._changed = asyncio.Event()
        self._changed.set()
        peers.on_change(self._changed.set)

    async def run(self) -> None:
        """Works for ever. A member that is away for a moment moves nothing."""
        while True:
            await self._calm()
            try:
                left = await self.balance()
            except Exception:  # a bug: what is held goes on being searched
                _log.exception("balancing_failed")
                left = True
            timeout_s = self._settings.rebalance_poll_s if left else None
            try:
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def balance(self) -> bool:
        """Fills what is wanted, then lets go what others hold by now; whether something is left."""
        holding = self._library.holding
        members = [Place(*one) for one in self._peers.members()]
        if all(one.name != holding.me for one in members):
            return True  # nobody counts on this member yet, or nobody can tell
        holding.spread_over(members)
        left = False
        for guild_id in holding.guilds:
            lacking = holding.wanted(guild_id) - holding.held(guild_id)
            if lacking:
                left |= not await self._take(guild_id, lacking)
        for guild_id in holding.guilds:
            for shard in sorted(holding.held(guild_id) - holding.wanted(guild_id)):
                if await self._is_elsewhere(guild_id, shard):
                    await self._library.drop(guild_id, shard)
                    _log.info("shard_let_go", guild_id=guild_id, shard=shard)
                else:
                    left = True
        return left

    async def _calm(self) -> None:
        """Waits until the members have not changed for a while."""
        while self._changed.is_set():
            self._changed.clear()
            try:
                async with asyncio.timeout(self._settings.rebalance_after_s):
                    await self._changed.wait()
            except TimeoutError:
                return

    async def _take(self, guild_id: GuildId, shards: frozenset[int]) -> bool:
        try:
            await self._library.take(guild_id, shards)
        except ElderGuildError as error:
            _log.warning("shards_not_filled", guild_id=guild_id, code=error.code)
            return False
        _log.info("shards_filled", guild_id=guild_id, shards=sorted(shards))
        return True

    async def _is_elsewhere(self, guild_id: GuildId, shard: int) -> bool:
        """Whether all that are to hold a shard say that they do."""
        caller = Caller(guild_id=guild_id, principal_id="sage.rag")
        question = GetShardStatus(
            context=Context(caller=caller, correlation_id=clock.new_id("cor")),
            shard=shard,
            shards=self._library.holding.layout.shards,
        )
        others = self._library.holding.others(guild_id, shard)
        timeout_s = self._settings.gather_timeout_s
        answers = await asyncio.gather(
            *(self._peers.ask(one, question, timeout_s=timeout_s) for one in others),
            return_exceptions=True,
        )
        return bool(others) and not any(isinstance(one, BaseException) for one in answers)
