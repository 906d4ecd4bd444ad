"""Dead letters, delivered once more because somebody asks for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from actors.errors import NotFound, ValidationError
from actors.events import StoredEvent
from actors.router.failures import describe
from actors.router.routing import BUILT_IN, Subscription
from actors.router.sink import Sink
from actors.router.store import RouterStore
from actors.settings import RouterSettings

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
    sink = sinks(subscription)
    found = await store.dead_events(name, event_ids)
    done = [
        await _deliver(store, sink, settings, subscription, event, "operator") for event in found
    ]
    missing = set(event_ids) - {event.event_id for event in found}
    return (*done, *(Redriven(event_id, "not a dead letter") for event_id in sorted(missing)))


async def redrive_requested(
    store: RouterStore,
    sinks: SinkOf,
    settings: RouterSettings,
    subscription_of: Callable[[str], Subscription | None],
) -> int:
    """Delivers what was asked for through the API; answers how many took effect.

    What belongs to a subscription that does not run waits until it does.

    Args:
        store: where the dead letters are.
        sinks: where a subscription's events go.
        settings: numbers of the router.
        subscription_of: who is open under the first part of a delivery's id.
    """
    done = 0
    for letter in await store.requested(settings.max_redrive):
        subscription = subscription_of(letter.subscription)
        if subscription is not None:
            redriven = await _deliver(
                store, sinks(subscription), settings, subscription, letter.event,
                letter.requested_by,
            )  # fmt: skip
            done += redriven.failure is None
    return done


async def _deliver(
    store: RouterStore,
    sink: Sink,
    settings: RouterSettings,
    subscription: Subscription,
    event: StoredEvent,
    requested_by: str,
) -> Redriven:
    delivered = event if subscription.unwraps is None else subscription.unwraps(event)
    try:
        if delivered is not None:
            await sink.deliver(subscription.name, [delivered], settings.ack_timeout_s)
    except Exception as error:  # reported, and listed again with its new reason
        reason = describe(error)
        await store.give_up(subscription, event, 1, f"redriven: {reason}")
        return Redriven(event.event_id, reason)
    await store.redriven(subscription, event, requested_by)
    return Redriven(event.event_id, None)
