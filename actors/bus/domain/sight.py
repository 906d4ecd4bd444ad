"""Which events of the guild a caller may see. Pure.

The log holds what the guild's own people keep from each other. Who reads events sees no more than
search and the sages would have shown them when it happened; a restriction that came later does not
reach back, an erasure does.
"""

from typing import Any

import orjson

from actors import access, events
from actors.events import Payload, StoredEvent
from actors.runtime.message import Caller, GuildId, Permission

_KNOWLEDGE = "sage.knowledge."
_IDENTITY = "user."


class Sight:
    """What one caller sees.

    Knowledge that is private or restricted: nobody, as in search, since a reading of it would have
    to be recorded. Users and clients: administrators. Timers, which hold what an elder wrote into
    them: elders. A guest, who holds nothing but ``read``: public knowledge alone. Everybody else:
    everything else.
    """

    def __init__(self, caller: Caller) -> None:
        self._admin = caller.may(Permission.ADMIN)
        self._elder = caller.may(Permission.DELETE)
        self._guest = access.is_guest(caller)
        self._levels = access.OPEN & access.shared_with(caller)

    def includes(self, event: StoredEvent) -> bool:
        """Whether the caller sees it."""
        return self._payload(event.payload)

    def _payload(self, payload: Payload) -> bool:
        match payload:
            case events.KnowledgeCreated():  # KnowledgeUpdated is one of them
                return payload.access_level in self._levels
            case (
                events.PrincipalCreated()
                | events.PrincipalUpdated()
                | events.PrincipalDisabled()
                | events.SessionStarted()
                | events.SessionEnded()
            ):
                return self._admin
            case events.TimerFired():
                return self._elder
            case events.SubscriptionMatched():
                return self._told(payload)
            case _:
                return not self._guest

    def _told(self, match: events.SubscriptionMatched) -> bool:
        """A match repeats the event that it is about."""
        if match.event_type.startswith(_KNOWLEDGE):
            return _access_level(match.event) in self._levels
        if match.event_type.startswith(_IDENTITY):
            return self._admin
        return not self._guest


SUBSCRIBERS = Sight(
    Caller(
        guild_id=GuildId(""),
        principal_id="",
        permissions=frozenset({Permission.READ, Permission.WRITE, Permission.DELETE}),
    )
)
"""What a subscription hears that leaves the sages: as much as the elder sees who declares it."""


def _access_level(carried: str) -> object:
    try:
        told: Any = orjson.loads(carried)
        return told["data"].get("access_level")
    except (ValueError, LookupError, TypeError, AttributeError):
        return None
