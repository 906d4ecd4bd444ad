"""Who sees which events."""

from dataclasses import replace

import pytest

from actors import events
from actors.bus.domain.sight import Sight
from actors.bus.messages import BrowseEvents, TailEvents
from actors.bus.sage.reading import ReadingSage
from actors.carried import carry
from actors.events import Payload, StoredEvent
from actors.runtime.message import Caller, Permission, Position
from actors.settings import BusSettings
from actors.storage.frontier import Frontier
from tests.fixtures.bus_builders import GUILD, NOON, context, stored_event
from tests.fixtures.bus_memory import MemoryReadingStore

GUEST = {Permission.READ}
USER = {Permission.READ, Permission.WRITE, Permission.RAG, Permission.TASK, Permission.INCIDENT}
ELDER = set(Permission) - {Permission.ADMIN}
ADMIN = {Permission.ADMIN}


def happened(payload: Payload) -> StoredEvent:
    return replace(stored_event(), payload=payload)


def knowledge(access_level: str) -> events.KnowledgeCreated:
    return events.KnowledgeUpdated(
        entity_id="know_1",
        title="How to",
        content="do it",
        summary="",
        status="active",
        category_id="general",
        access_level=access_level,
    )


def matched(payload: Payload) -> events.SubscriptionMatched:
    inner = happened(payload)
    return events.SubscriptionMatched(
        event_id=inner.event_id,
        event_type=inner.type,
        matches=(events.SubscriptionMatch(subscription_id="sub_1", score=0.9),),
        event=carry(inner),
    )


NEWCOMER = events.PrincipalCreated(principal_id="user_2", kind="user", login="ann", role="user")
TASK_GONE = events.TaskDeleted(task_id="task_1")
CUSTOM = stored_event().payload
EVERYBODY = "guest user elder admin"
SEEN = [
    (knowledge("public"), EVERYBODY),
    (knowledge("protected"), "user elder admin"),
    (knowledge("private"), ""),
    (knowledge("restricted"), ""),
    (knowledge("a level of another version"), ""),
    (NEWCOMER, "admin"),
    (events.PrincipalUpdated(principal_id="user_2", fields=("role",)), "admin"),
    (events.PrincipalDisabled(principal_id="user_2"), "admin"),
    (
        events.SessionStarted(session_id="ses_1", principal_id="user_2", client_id="console"),
        "admin",
    ),
    (
        events.SessionEnded(
            session_id="ses_1", principal_id="user_2", client_id="console", reason="reused"
        ),
        "admin",
    ),
    (TASK_GONE, "user elder admin"),
    (CUSTOM, "user elder admin"),
]


def seen_by(payload: Payload) -> str:
    callers = {"guest": GUEST, "user": USER, "elder": ELDER, "admin": ADMIN}
    event = happened(payload)
    return " ".join(
        name
        for name, permissions in callers.items()
        if Sight(
            Caller(guild_id=GUILD, principal_id="user_1", permissions=frozenset(permissions))
        ).includes(event)
    )


@pytest.mark.parametrize(("payload", "expected"), SEEN)
def test_an_event_is_seen_by_whom_it_is_meant_for(payload: Payload, expected: str) -> None:
    assert seen_by(payload) == expected


def test_what_an_elder_wrote_into_a_timer_is_seen_by_elders() -> None:
    fired = events.TimerFired(
        timer_id="timer_1", name="n", due_at=NOON, occurrence=1, data={"note": "a"}
    )

    assert seen_by(fired) == "elder admin"


@pytest.mark.parametrize(("payload", "expected"), SEEN)
def test_a_match_is_seen_by_whoever_sees_what_matched(payload: Payload, expected: str) -> None:
    assert seen_by(matched(payload)) == expected


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"data": 1}', '{"data": {}}'])
def test_a_match_that_cannot_be_read_is_seen_by_nobody(text: str) -> None:
    assert seen_by(replace(matched(knowledge("public")), event=text)) == ""


async def test_neither_a_page_nor_a_tail_holds_what_the_caller_may_not_see() -> None:
    told = [knowledge("restricted"), knowledge("protected"), NEWCOMER, CUSTOM]
    store = MemoryReadingStore(
        [
            replace(stored_event(place=place), payload=payload)
            for place, payload in enumerate(told, start=1)
        ]
    )
    asked: list[StoredEvent] = []

    def wanted(event: StoredEvent) -> bool:
        asked.append(event)
        return True

    class Never:
        async def wait(self, timeout_s: float) -> bool:
            return False

    sage = ReadingSage(store, BusSettings(), compile_filter=lambda spec: wanted, wake_up=Never())
    user = context(GUILD, *USER)

    page = await sage.browse(BrowseEvents(context=user, oldest_first=True))
    tail = await sage.tail(
        TailEvents(context=user, frontier=Frontier.at(Position(0, 0)), wait_s=0.0)
    )

    assert [event.position.seq for event in page.events] == [2, 4]
    assert tail.events == page.events
    assert tuple(asked) == page.events  # nor does a filter get to look at the others
    assert tail.resume == Position(4, 4)
