"""From what guilds declared to subscriptions that the router can serve."""

from collections.abc import Sequence
from dataclasses import replace

import structlog

from actors.bus.messages import SseSink, stored_delivery, stored_sink
from actors.errors import ValidationError
from actors.router.routing import Stretch, Subscription, meaning_of
from actors.runtime.message import GuildId, Position
from actors.storage.declarations import Declaration, RunningReplay

_log = structlog.get_logger("elders_guild.router")


def subscriptions_of(
    declared: Sequence[Declaration], running: Sequence[RunningReplay]
) -> list[Subscription]:
    """One subscription for each declaration, and one for each replay of one.

    What this version cannot read is left out and logged: the others go on.
    """
    served: dict[tuple[str, str], Subscription] = {}
    for declaration in declared:
        try:
            subscription = _served(declaration)
        except ValueError as error:  # also of pydantic
            _unreadable(declaration, str(error))
        except ValidationError as error:
            _unreadable(declaration, str(error))
        else:
            if not isinstance(subscription.sink, SseSink):  # nothing is delivered there
                served[declaration.guild_id, declaration.name] = subscription
    replays = [
        _replaying(served[replay.guild_id, replay.subscription], replay)
        for replay in running
        if (replay.guild_id, replay.subscription) in served
    ]
    return [*served.values(), *replays, *_meanings(declared)]


def _meanings(declared: Sequence[Declaration]) -> list[Subscription]:
    """Of each guild that asks for a meaning, from where the first of them begins."""
    origins: dict[GuildId, Position] = {}
    for one in declared:
        if one.filter.get("similar_to"):
            origins[one.guild_id] = min(one.origin, origins.get(one.guild_id, one.origin))
    return [meaning_of(guild_id, origin) for guild_id, origin in origins.items()]


def _served(declaration: Declaration) -> Subscription:
    return Subscription(
        name=f"{declaration.subscription_id}@{declaration.generation}",
        pool="",
        types=tuple(declaration.filter.get("types") or ("*",)),
        guild_id=declaration.guild_id,
        sink=stored_sink.validate_json(declaration.sink),
        policy=stored_delivery.validate_json(declaration.delivery),
        origin=declaration.origin,
        declared_as=declaration.subscription_id,
        title=declaration.name,
        version=declaration.version,
    )


def _replaying(subscription: Subscription, replay: RunningReplay) -> Subscription:
    return replace(
        subscription,
        name=replay.replay_id,
        origin=replay.begin,
        replays=Stretch(replay.end, replay.speed),
        letters_as=f"{subscription.name}~{replay.replay_id}",
    )


def _unreadable(declaration: Declaration, reason: str) -> None:
    _log.error("subscription_unreadable", subscription=declaration.subscription_id, reason=reason)
