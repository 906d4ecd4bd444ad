"""From what guilds declared to subscriptions that the router can serve."""

from collections.abc import Sequence
from dataclasses import replace

import structlog

from actors import carried
from actors.bus.domain import matched
from actors.bus.domain.sight import SUBSCRIBERS
from actors.bus.domain.subscriptions import types_read
from actors.bus.filters import Filters, Wanted
from actors.bus.messages import PoolSink, SseSink, stored_delivery, stored_sink
from actors.errors import ValidationError
from actors.router.routing import Stretch, Subscription, meaning_of
from actors.runtime.message import GuildId, Position
from actors.storage.declarations import Declaration, RunningReplay

_log = structlog.get_logger("elders_guild.router")


def subscriptions_of(
    declared: Sequence[Declaration], running: Sequence[RunningReplay], filters: Filters
) -> list[Subscription]:
    """One subscription for each declaration, and one for each replay of one.

    What this version cannot read is left out and logged: the others go on.

    Args:
        declared: what is active.
        running: replays, also of what is not active.
        filters: compiles what they want.
    """
    served: dict[tuple[str, str], Subscription] = {}
    for declaration in declared:
        try:
            subscription = _served(declaration, filters)
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


def _served(declaration: Declaration, filters: Filters) -> Subscription:
    spec, subscription_id = declaration.filter, declaration.subscription_id
    wanted = filters.compile(spec)
    by_meaning = bool(spec.get("similar_to"))
    accepts = wanted if spec.get("expression") else None  # types are looked up
    if by_meaning:
        accepts = matched.matches(subscription_id)  # by the bus, types and expression as well
    sink = stored_sink.validate_json(declaration.sink)
    if not isinstance(sink, PoolSink):  # a sage keeps access levels itself
        accepts = _shown(accepts)
    return Subscription(
        name=f"{subscription_id}@{declaration.generation}",
        pool="",
        types=tuple(types_read(spec)),
        guild_id=declaration.guild_id,
        accepts=accepts,
        unwraps=carried.original if by_meaning else None,
        sink=sink,
        policy=stored_delivery.validate_json(declaration.delivery),
        origin=declaration.origin,
        declared_as=subscription_id,
        title=declaration.name,
        version=declaration.version,
    )


def _shown(accepts: Wanted | None) -> Wanted:
    includes = SUBSCRIBERS.includes
    if accepts is None:
        return includes
    return lambda event: includes(event) and accepts(event)


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
