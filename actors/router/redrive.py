"""Dead letters, delivered once more because somebody asks for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from actors.errors import NotFound, ValidationError
from actors.events import StoredEvent
from actors.router.deliveries import deliver_event
from actors.router.failures import describe
from actors.router.routing import BUILT_IN, Subscription
from actors.router.store import RouterStore
from actors.runtime.pool import Asker
from actors.settings import RouterSettings


@dataclass(frozen=True, slots=True)
class Redriven:
    """What became of one dead letter; ``failure`` is None where it took effect."""

    event_id: str
    failure: str | None


async def redrive(
    store: RouterStore,
    pool: Callable[[str], Asker],
    settings: RouterSettings,
    name: str,
    event_ids: Sequence[str],
    *,
    subscriptions: Sequence[Subscription] = BUILT_IN,
) -> tuple[Redriven, ...]:
    """Delivers events again, oldest first and one by one, and marks those that took effect.

    A repeat of what has taken effect meanwhile changes nothing: the inbox answers it.

    Args:
        store: where the events and the dead letters are.
        pool: the pool of a name.
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
    asker = pool(subscription.pool)
    found = await store.dead_events(name, event_ids)
    done = [await _deliver(store, asker, settings, name, event) for event in found]
    missing = set(event_ids) - {event.event_id for event in found}
    return (*done, *(Redriven(event_id, "not a dead letter") for event_id in sorted(missing)))


async def _deliver(
    store: RouterStore, asker: Asker, settings: RouterSettings, name: str, event: StoredEvent
) -> Redriven:
    try:
        await asker.ask(deliver_event(name, event), timeout_s=settings.ack_timeout_s)
    except Exception as error:  # reported, and listed again with its new reason
        reason = describe(error)
        await store.give_up(name, event.event_id, event.guild_id, 1, f"redriven: {reason}")
        return Redriven(event.event_id, reason)
    await store.redriven(name, [event.event_id])
    return Redriven(event.event_id, None)
