"""Whether everything behind the gateway answers."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from actors.errors import ElderGuildError
from actors.identity.messages import ReachDatabase
from actors.runtime.message import Context, Query
from actors.runtime.ping import Ping
from actors.runtime.pool import Asker

PoolOf = Callable[[str], Asker]

SAGES = ("knowledge", "task", "incident", "rag")
_TIMEOUT_S = 1.0
_GOOD_FOR_S = 0.5


class Readiness:
    """Asks every pool. Anybody may want to know, so however many ask, the pools are asked once."""

    def __init__(self, pool: PoolOf) -> None:
        self._pool = pool
        self._asking: asyncio.Task[Mapping[str, bool]] | None = None
        self._asked_at = 0.0

    async def parts(self, context: Context) -> Mapping[str, bool]:
        """Which parts answer, by name; at most half a second old."""
        if self._asking is None or (
            self._asking.done() and time.monotonic() - self._asked_at > _GOOD_FOR_S
        ):
            self._asking = asyncio.create_task(self._ask_all(context))
        return await asyncio.shield(self._asking)

    async def _ask_all(self, context: Context) -> Mapping[str, bool]:
        ping = Ping(context=context)
        questions: dict[str, tuple[str, Query[Any]]] = {
            **{name: (name, ping) for name in (*SAGES, "identity")},
            "postgres": ("identity", ReachDatabase(context=context)),
        }
        answers = await asyncio.gather(
            *(self._answers(pool, question) for pool, question in questions.values())
        )
        self._asked_at = time.monotonic()
        return dict(zip(questions, answers, strict=True))

    async def _answers(self, pool: str, question: Query[Any]) -> bool:
        try:
            await self._pool(pool).ask(question, timeout_s=_TIMEOUT_S)
        except ElderGuildError:
            return False
        return True
