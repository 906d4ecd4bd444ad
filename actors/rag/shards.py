"""Asks every shard of an index: here where it is held here, else at a member that holds it."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from actors import metrics
from actors.errors import DependencyUnavailable, ElderGuildError, StaleIndex, ValidationError
from actors.rag import placement
from actors.rag.library import Library, NotHere
from actors.rag.placement import Layout, Place
from actors.runtime.message import GuildId, Message
from actors.runtime.peers import Peers
from actors.runtime.together import together
from actors.settings import IndexSettings

_log = structlog.get_logger("elders_guild.rag")
_T = TypeVar("_T")
_TRIES = 2  # holders that fail, of one shard; those that do not hold it are not counted


@dataclass(frozen=True, slots=True)
class Gathered(Generic[_T]):
    """What the shards answered.

    Attributes:
        parts: of the shards that answered, in their order.
        missing: how many did not.
    """

    parts: Sequence[_T]
    missing: int


class Shards:
    """The shards of every index, wherever they are.

    Args:
        library: what this member holds.
        peers: the other members; None: there is no other.
        settings: the deadline.
    """

    def __init__(self, library: Library, peers: Peers | None, settings: IndexSettings) -> None:
        self._library = library
        self._peers = peers
        self._settings = settings
        self._layout = Layout(settings.shards, settings.replicas)

    @property
    def whole(self) -> bool:
        """Whether this member holds everything in one piece: nobody needs to be asked."""
        return self._layout.whole

    @property
    def count(self) -> int:
        """Shards of every index."""
        return self._layout.shards

    async def gather(
        self,
        guild_id: GuildId,
        here: Callable[[int], Awaitable[_T]],
        message: Callable[[int], Message[_T]],
        patience_s: float = 0.0,
    ) -> Gathered[_T]:
        """The answers of all shards that came in time.

        Args:
            guild_id: whose.
            here: answers for a shard that this member holds.
            message: what asks another member for a shard.
            patience_s: that a shard may wait for a position, above the time it has anyway.

        Raises:
            StaleIndex: a shard has not reached the position.
            ValidationError: a shard refused the question.
            DependencyUnavailable: no shard answered.
        """
        deadline = time.monotonic() + self._settings.gather_timeout_s + patience_s
        spare_s = self._settings.gather_timeout_s / 2  # so that another holder has time, too
        answers = await together(
            *(
                self._one(guild_id, shard, here, message, deadline, spare_s)
                for shard in range(self._layout.shards)
            )
        )
        parts = [answer.value for answer in answers if answer is not None]
        missing = len(answers) - len(parts)
        if not parts:
            raise DependencyUnavailable("the index")
        if missing:
            metrics.INDEX_PARTIAL.inc()
            _log.warning("answer_partial", guild_id=guild_id, missing=missing, of=len(answers))
        return Gathered(parts, missing)

    async def _one(
        self,
        guild_id: GuildId,
        shard: int,
        here: Callable[[int], Awaitable[_T]],
        message: Callable[[int], Message[_T]],
        deadline: float,
        spare_s: float,
    ) -> "_Answer[_T] | None":
        stale: StaleIndex | None = None
        tries = 0
        for member in self._order(guild_id, shard):
            left_s = deadline - time.monotonic()
            if left_s <= spare_s * (not tries) or tries == _TRIES:
                break
            timeout_s = left_s if tries else left_s - spare_s
            try:
                async with asyncio.timeout(timeout_s):
                    return _Answer(
                        await here(shard)
                        if member is None or self._peers is None
                        else await self._peers.ask(member, message(shard), timeout_s=timeout_s)
                    )
            except NotHere:
                continue
            except ValidationError:
                raise
            except StaleIndex as error:
                stale = error
            except (ElderGuildError, TimeoutError) as error:
                _log.info("shard_not_answered", shard=shard, member=member, reason=repr(error))
            tries += 1
        if stale is not None:
            raise stale
        return None

    def _order(self, guild_id: GuildId, shard: int) -> list[str | None]:
        """Whom to ask, None is this member: the holders in any order, then the others.

        When shards move, who held one before is among the first behind its new holders.
        """
        me = self._library.holding.me
        order: list[str | None] = [None] if self._library.holds(guild_id, shard) else []
        if self._peers is None:
            return order
        members = tuple(sorted(Place(*one) for one in self._peers.members()))
        holders = list(placement.spread(guild_id, self._layout, members)[shard])
        random.shuffle(holders)
        rest = [one for one in placement.ranked(guild_id, shard, members) if one not in holders]
        return order + [one.name for one in (*holders, *rest) if one.name != me]


@dataclass(frozen=True, slots=True)
class _Answer(Generic[_T]):
    value: _T
