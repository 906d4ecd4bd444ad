"""Dead letters, delivered once more because somebody asks for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

from actors.errors import Gone, NotFound, ValidationError
from actors.events import StoredEvent
from actors.router.failures import describe
from actors.router.routing import BUILT_IN, Subscription
from actors.router.serving import Serving
from actors.router.sink import Sink
from actors.router.store import RouterStore
from actors.settings import RouterSettings
from actors.storage.log import Unreadable

SinkOf = Callable[[Subscription], Sink]


@dataclass(frozen=True, slots=True)
class Redriven:
    """What became of one dead letter; ``failure`` is None where it took effect."""

    event_id: str
    failure: str | None


async def redrive(
    store: RouterStore,
    sinks: SinkOf,
    settings: RouterSettings,
    name: str,
    event_ids: Sequence[str],
    *,
    subscriptions: Sequence[Subscription] = BUILT_IN,
) -> tuple[Redriven, ...]:
    """Delivers events again, oldest first and one by one, and marks those that took effect.

    A repeat of what has taken effect meanwhile changes nothing: the inbox answers it.

    Args:
        store: where the dead letters are.
        sinks: where a subscription's events go.
        settings: numbers of the router.
        name: the subscription.
        event_ids: at most ``router.max_redrive``; those that are no dead letters are reported.
        subscriptions: who hears what.

    Raises:
        NotFound: no such subscription.
        ValidationError: too many ids.
        LeadershipLost: another router leads.
    """
    if len(event_ids) > settings.max_redrive:
        raise ValidationError("event_ids", f"at most {settings.max_redrive} in one call")
    subscription = next((one for one in subscriptions if one.name == name), None)
    if subscription is None:
        raise NotFound("subscription", name)
    found = await store.dead_events(name, event_ids)
    missing = set(event_ids) - {event.event_id for event in found}
    done: list[Redriven] = []
    async with _Turn(store, sinks, settings) as turn:
        for event in found:
            done.append(await turn.deliver(subscription, event, "operator"))
    return (*done, *(Redriven(event_id, "not a dead letter") for event_id in sorted(missing)))


async def redrive_requested(
    store: RouterStore,
    sinks: SinkOf,
    settings: RouterSettings,
    serving: Callable[[], Serving],
) -> int:
    """Delivers what was asked for through the API; answers how many took effect.

    What belongs to a subscription that does not run waits until it does, and keeps nobody waiting.

    Args:
        store: where the dead letters are.
        sinks: where a subscription's events go.
        settings: numbers of the router.
        serving: who is served at the moment of the call.
    """
    done = 0
    async with _Turn(store, sinks, settings) as turn:
        for letter in await store.requested(serving(), settings.max_redrive):
            subscription = serving().subscription_of(letter.subscription)
            if subscription is not None:
                redriven = await turn.deliver(subscription, letter.event, letter.requested_by)
                done += redriven.failure is None
    return done


class _Turn:
    """One round of deliveries: a sink for each subscription, closed at the end."""

    def __init__(self, store: RouterStore, sinks: SinkOf, settings: RouterSettings) -> None:
        self._store = store
        self._make = sinks
        self._settings = settings
        self._sinks: dict[tuple[str, int], Sink] = {}
        self._gone: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for sink in self._sinks.values():
            await sink.close()

    async def deliver(
        self, subscription: Subscription, event: StoredEvent | Unreadable, requested_by: str
    ) -> Redriven:
        """One letter; it stays as it is where its subject was erased, or nobody is there."""
        declared_as = subscription.declared_as
        if declared_as in self._gone:
            return Redriven(event.event_id, self._gone[declared_as])
        if isinstance(event, Unreadable):
            return await self._give_up(subscription, event, event.reason)
        delivered = event if subscription.unwraps is None else subscription.unwraps(event)
        if delivered is not None and await self._is_erased(delivered):
            return Redriven(event.event_id, "its data subject was erased")
        try:
            if delivered is not None:
                await self._sink(subscription).deliver(
                    subscription.name, [delivered], self._settings.ack_timeout_s
                )
        except Exception as error:  # reported, and listed again with its new reason
            if not isinstance(error, Gone) or declared_as is None:
                return await self._give_up(subscription, event, describe(error))
            self._gone[declared_as] = describe(error)
            await self._store.disable(declared_as, describe(error))
            return Redriven(event.event_id, describe(error))
        await self._store.redriven(subscription, event, requested_by)
        return Redriven(event.event_id, None)

    async def _is_erased(self, event: StoredEvent) -> bool:
        return event.sealed_for is not None and bool(await self._store.erased([event]))

    async def _give_up(
        self, subscription: Subscription, event: StoredEvent | Unreadable, reason: str
    ) -> Redriven:
        await self._store.give_up(subscription, event, 1, f"redriven: {reason}")
        return Redriven(event.event_id, reason)

    def _sink(self, subscription: Subscription) -> Sink:
        """Replays and earlier generations share the sink of the declaration of today."""
        place = (subscription.declared_as or subscription.name, subscription.version)
        if place not in self._sinks:
            self._sinks[place] = self._make(subscription)
        return self._sinks[place]
