"""Letters that somebody asked for: who is served, who is gone, and what was erased meanwhile."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from actors.errors import Gone, NotFound
from actors.events import StoredEvent
from actors.router.pace import Pace
from actors.router.redrive import Redriven, redrive, redrive_requested
from actors.router.routing import Subscription
from actors.router.serving import Serving
from actors.router.store import Requested
from actors.runtime.message import Position
from actors.storage.log import Unreadable
from tests.fixtures.router import GUILD, QUICK, MemoryRouterStore, stored_event

ORDERS = Subscription("sub_1@2", "", ("*",), declared_as="sub_1", version=3)
OTHERS = Subscription("sub_2@1", "", ("*",), declared_as="sub_2")


@dataclass
class Receivers:
    """Sinks that write down what happens; ``store`` forgets whom a delivery is the end of."""

    store: MemoryRouterStore
    failures: dict[str, Exception] = field(default_factory=dict)
    forgets: str | None = None
    made: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    heard: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, subscription: Subscription) -> "Receiver":
        self.made.append(subscription.declared_as or subscription.name)
        return Receiver(self, self.made[-1])


class Receiver:
    """One of them."""

    batch = 1

    def __init__(self, all_: Receivers, name: str) -> None:
        self._all = all_
        self._name = name
        self.pace = Pace(rest_after=1, rest_s=1.0, rest_max_s=1.0)

    async def deliver(self, delivery: str, events: Sequence[StoredEvent], timeout_s: float) -> None:
        self._all.heard += [(delivery, event.event_id) for event in events]
        if self._all.forgets is not None:
            self._all.store.forgotten.add(self._all.forgets)
        if self._name in self._all.failures:
            raise self._all.failures[self._name]

    async def close(self) -> None:
        self._all.closed.append(self._name)


def asked(letters: str, seq: int, person: str | None = None) -> Requested:
    event = replace(stored_event(seq, version=seq), sealed_for=person)
    return Requested(letters, event, "usr_1")


def store_of(*letters: Requested) -> MemoryRouterStore:
    dead = {(one.subscription, one.event.event_id): "x" for one in letters}
    return MemoryRouterStore(wanted_again=list(letters), dead=dead)


async def turn(
    store: MemoryRouterStore, receivers: Receivers, *served: Subscription, at_most: int = 500
) -> int:
    numbers = QUICK.model_copy(update={"max_redrive": at_most})
    return await redrive_requested(store, receivers, numbers, lambda: Serving(served))


async def test_what_is_erased_while_others_are_delivered_is_not_delivered_and_stays() -> None:
    store = store_of(asked("sub_1@2", 1), asked("sub_1@2", 2, "gone"), asked("sub_1@2", 3, "here"))
    receivers = Receivers(store, forgets="gone")
    before = dict(store.dead)

    done = await turn(store, receivers, ORDERS)

    assert done == 2
    assert [event for _, event in receivers.heard] == ["evt_1", "evt_3"]
    assert store.dead == before
    assert store.marked == {("sub_1@2", "evt_1"), ("sub_1@2", "evt_3")}


async def test_an_operator_is_told_what_was_erased() -> None:
    event = replace(stored_event(1), sealed_for="gone")
    store = MemoryRouterStore(log=[event], dead={("built.in", "evt_1"): "x"}, forgotten={"gone"})
    receivers, built_in = Receivers(store), Subscription("built.in", "task", ("*",))

    done = await redrive(store, receivers, QUICK, "built.in", ["evt_1"], subscriptions=(built_in,))

    assert done == (Redriven("evt_1", "its data subject was erased"),)
    assert receivers.heard == []


async def test_who_is_not_served_keeps_nobody_waiting() -> None:
    store = store_of(*(asked("sub_9@1", seq) for seq in range(1, 6)), asked("sub_1@2", 6))
    receivers = Receivers(store)

    done = await turn(store, receivers, ORDERS, at_most=2)

    assert done == 1
    assert receivers.heard == [("sub_1@2", "evt_6")]
    assert len(store.wanted_again) == 5


async def test_what_cannot_be_read_is_listed_again_with_the_reason() -> None:
    damaged = Unreadable("evt_1", GUILD, "custom.a", Position(10, 1), "unreadable: b")
    store = store_of(Requested("sub_1@2", damaged, "usr_1"), asked("sub_1@2", 2))
    receivers = Receivers(store)

    first = await turn(store, receivers, ORDERS, at_most=1)
    second = await turn(store, receivers, ORDERS, at_most=1)

    assert (first, second) == (0, 1)
    assert store.dead["sub_1@2", "evt_1"] == "redriven: unreadable: b"


async def test_who_says_gone_is_disabled_and_asked_no_more_while_the_letters_wait() -> None:
    letters = asked("sub_1@2", 1), asked("sub_1@1~rpl_9", 2), asked("sub_2@1", 3)
    store = store_of(*letters)
    receivers = Receivers(store, failures={"sub_1": Gone("the receiver")})
    before = dict(store.dead)

    done = await turn(store, receivers, ORDERS, OTHERS)

    assert done == 1
    assert receivers.heard == [("sub_1@2", "evt_1"), ("sub_2@1", "evt_3")]
    assert list(store.disabled) == ["sub_1"]
    assert store.disabled["sub_1"].startswith("gone: ")
    assert store.dead == before
    assert store.wanted_again == list(letters[:2])


async def test_a_turn_has_one_sink_for_each_subscription_and_closes_it() -> None:
    names = "sub_1@2", "sub_1@1", "sub_2@1", "sub_1@1~rpl_9"
    store = store_of(*(asked(name, seq) for seq, name in enumerate(names, 1)))
    receivers = Receivers(store, failures={"sub_2": NotFound("order", "1")})

    done = await turn(store, receivers, ORDERS, OTHERS)

    assert done == 3
    assert [name for name, _ in receivers.heard] == ["sub_1@2", "sub_1@1", "sub_2@1", "rpl_9"]
    assert sorted(receivers.made) == sorted(receivers.closed) == ["sub_1", "sub_2"]
