"""A pool of actors as a sink."""

from collections.abc import Sequence

from actors import clock
from actors.events import DeliverEvents, StoredEvent
from actors.router.deliveries import deliver_event, router_context
from actors.router.pace import Pace
from actors.runtime.pool import Asker


class PoolSink:
    """Hands events to a pool: each as a message of its own, or many in one.

    Args:
        pool: where they are handled.
        batch: 1: `DeliverEvent`, each handled for itself; above: `DeliverEvents`.
    """

    def __init__(self, pool: Asker, batch: int = 1) -> None:
        self.batch = batch
        self.pace = Pace()
        self._pool = pool

    async def deliver(
        self,
        delivery: str,
        events: Sequence[StoredEvent],
        timeout_s: float,
        *,
        apart: bool = False,
    ) -> None:
        """Returns when the handler has committed its effects.

        With ``apart`` it is kept away from what others wait for: its handler may die of it.
        """
        if self.batch == 1:
            (event,) = events
            await self._pool.ask(deliver_event(delivery, event, apart=apart), timeout_s=timeout_s)
            return
        batch = DeliverEvents(
            context=router_context(events[0]),
            command_id=clock.new_id("cmd"),
            subscription=delivery,
            events=tuple(events),
            apart=apart,
        )
        await self._pool.ask(batch, timeout_s=timeout_s)

    async def close(self) -> None:
        """The pool is shared: it stays."""
