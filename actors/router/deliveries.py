"""The message by which an event reaches a sage."""

from actors.events import DeliverEvent, StoredEvent
from actors.runtime.message import Caller, Context, Permission

ROUTER_PRINCIPAL = "sage:router"


def deliver_event(subscription: str, event: StoredEvent, *, apart: bool = False) -> DeliverEvent:
    """Always the same command for the same event: a repeat finds its own inbox row."""
    return DeliverEvent(
        context=router_context(event),
        command_id=f"{subscription}/{event.event_id}",
        subscription=subscription,
        event=event,
        apart=apart,
    )


def router_context(event: StoredEvent) -> Context:
    """The router acts in the event's guild, because of the event."""
    caller = Caller(
        guild_id=event.guild_id,
        principal_id=ROUTER_PRINCIPAL,
        permissions=frozenset(Permission),
    )
    return Context(caller=caller, correlation_id=event.correlation_id, causation_id=event.event_id)
