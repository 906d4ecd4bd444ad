"""Events are carried to the bus for guilds that ask for a meaning, and for no others."""

from typing import Any

from actors.bus.filters import Filters
from actors.router.declared import subscriptions_of
from actors.runtime.message import GuildId, Position
from actors.settings import BusSettings
from actors.storage.declarations import Declaration

ONE, OTHER = GuildId("guild_one"), GuildId("guild_other")


def declared(guild_id: GuildId, name: str, place: int, **spec: Any) -> Declaration:
    return Declaration(
        guild_id=guild_id,
        name=name,
        subscription_id=f"sub_{name}",
        generation=1,
        filter=spec,
        sink='{"kind":"sse"}',
        delivery="{}",
        origin=Position(place, 0),
        version=1,
    )


def test_a_guild_with_standing_queries_has_one_subscription_for_all_of_them() -> None:
    made = subscriptions_of(
        [
            declared(ONE, "late", 9, similar_to="disk full"),
            declared(ONE, "early", 4, similar_to="pool exhausted"),
            declared(OTHER, "plain", 2, types=["custom.*"]),
        ],
        [],
        Filters(BusSettings()),
    )

    (meaning,) = made
    assert (meaning.name, meaning.origin) == ("bus.meaning:guild_one", Position(4, 0))
    assert meaning.hears(ONE, "custom.order.placed")
    assert not meaning.hears(OTHER, "custom.order.placed")
    assert not meaning.hears(ONE, "sage.rag.subscription.matched")
