"""Events that were found to be about what somebody asked for, and what is inside them. Pure."""

from collections.abc import Callable

from actors.carried import carried
from actors.events import StoredEvent, SubscriptionMatched


def matches(subscription_id: str) -> Callable[[StoredEvent], bool]:
    """Whether an event says that another one matches this subscription."""

    def accepts(event: StoredEvent) -> bool:
        payload = event.payload
        return isinstance(payload, SubscriptionMatched) and any(
            one.subscription_id == subscription_id for one in payload.matches
        )

    return accepts


def original(event: StoredEvent) -> StoredEvent:
    """The event that matched, under its own id and at its own position; any other as it is.

    One that cannot be read here is left inside: who asked for it hears at least that it matched.
    """
    payload = event.payload
    if not isinstance(payload, SubscriptionMatched):
        return event
    try:
        found = carried(payload.event)
    except ValueError:
        return event
    here = (event.guild_id, event.position.epoch, payload.event_id)
    return found if here == (found.guild_id, found.position.epoch, found.event_id) else event
