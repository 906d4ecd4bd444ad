"""Events that were found to be about what somebody asked for. Pure."""

from collections.abc import Callable

from actors.events import StoredEvent, SubscriptionMatched


def matches(subscription_id: str) -> Callable[[StoredEvent], bool]:
    """Whether an event says that another one matches this subscription."""

    def accepts(event: StoredEvent) -> bool:
        payload = event.payload
        return isinstance(payload, SubscriptionMatched) and any(
            one.subscription_id == subscription_id for one in payload.matches
        )

    return accepts
