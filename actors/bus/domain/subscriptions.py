"""What a guild may subscribe to and how it changes. Pure; checks raise `ValidationError`."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, assert_never

from actors import checks
from actors.bus.messages import (
    DeliveryPolicy,
    PoolSink,
    PullSink,
    PutSubscription,
    Sink,
    SseSink,
    StreamSink,
    Subscription,
    WebhookSink,
)
from actors.errors import InvalidTransition, NotAuthorized, ValidationError, VersionConflict
from actors.runtime.message import Caller, Permission
from actors.settings import BusSettings

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_FILTER_KEYS = frozenset({"types", "expression", "similar_to", "min_score"})
MATCHED = "sage.rag.subscription.matched"
_LONGEST_TYPE = 500


def put(
    existing: Subscription | None,
    command: PutSubscription,
    subscription_id: str,
    now: datetime,
) -> Subscription:
    """The subscription as it shall be; the same object where nothing changes.

    Raises:
        VersionConflict: it is at another version than the caller knows.
        ValidationError: the kind of sink differs: what waits in the old one would be forgotten.
    """
    expected(existing, command.name, command.expected_version)
    if existing is None:
        return Subscription(
            name=command.name,
            subscription_id=subscription_id,
            generation=1,
            filter_spec=dict(command.filter_spec),
            sink=command.sink,
            delivery=command.delivery,
            state="active",
            reason="",
            version=1,
            created_at=now,
            created_by=command.context.caller.principal_id,
            updated_at=now,
        )
    if existing.sink.kind != command.sink.kind:
        raise ValidationError("sink", f"is {existing.sink.kind}; delete the subscription first")
    sink = command.sink
    if isinstance(sink, WebhookSink) and isinstance(existing.sink, WebhookSink):
        rate = existing.sink.per_minute if sink.url == existing.sink.url else None
        sink = replace(sink, key_version=existing.sink.key_version, per_minute=rate)
    changed = replace(
        existing, filter_spec=dict(command.filter_spec), sink=sink, delivery=command.delivery
    )
    return existing if changed == existing else next_version(changed, now)


def expected(existing: Subscription | None, name: str, version: int | None) -> None:
    """Raises `VersionConflict` unless there is what the caller expects; None: anything."""
    found = 0 if existing is None else existing.version
    if version is not None and version != found:
        raise VersionConflict("subscription", name)


def pause(existing: Subscription, now: datetime) -> Subscription:
    """Paused; a repeat changes nothing."""
    match existing.state:
        case "paused":
            return existing
        case "active":
            return next_version(replace(existing, state="paused"), now)
        case "disabled":
            raise InvalidTransition("subscription", "disabled", "paused")
        case _:
            assert_never(existing.state)


def resume(existing: Subscription, now: datetime) -> Subscription:
    """Active; a repeat changes nothing."""
    if existing.state == "active":
        return existing
    return next_version(replace(existing, state="active", reason=""), now)


def seek(existing: Subscription, now: datetime) -> Subscription:
    """A generation that begins elsewhere."""
    return next_version(replace(existing, generation=existing.generation + 1), now)


def rotate(existing: Subscription, now: datetime) -> Subscription:
    """The next signing key."""
    if not isinstance(existing.sink, WebhookSink):
        raise ValidationError("name", "is no webhook's: nothing is signed")
    sink = replace(existing.sink, key_version=existing.sink.key_version + 1)
    return next_version(replace(existing, sink=sink), now)


def next_version(changed: Subscription, now: datetime) -> Subscription:
    """The changed subscription under its next version."""
    return replace(changed, version=changed.version + 1, updated_at=now)


def checked_name(value: str) -> str:
    """The name, when it may be one."""
    if not _NAME.fullmatch(value):
        raise ValidationError("name", "is not 1 to 63 of a-z, 0-9, dot, hyphen, underscore")
    return value


def check_may_touch(existing: Subscription, caller: Caller) -> None:
    """Raises `NotAuthorized` for a pool's subscription, unless an administrator asks.

    Where it begins, stops or hears again is what the pool's actors do for the whole guild.
    """
    if isinstance(existing.sink, PoolSink) and not caller.may(Permission.ADMIN):
        raise NotAuthorized(Permission.ADMIN)


def check_sink(sink: Sink, caller: Caller, pools: frozenset[str], bounds: BusSettings) -> None:
    """What can be said of a sink without asking anybody; an address is asked later.

    Raises:
        ValidationError: there is no such sink.
        NotAuthorized: a pool is a matter of administrators: its actors act for the whole guild.
    """
    match sink:
        case PoolSink():
            if not caller.may(Permission.ADMIN):
                raise NotAuthorized(Permission.ADMIN)
            if sink.pool not in pools:
                raise ValidationError("sink.pool", "is no pool of this guild")
            _between("sink.batch", sink.batch, 1, bounds.max_pull)
        case StreamSink():
            if not _NAME.fullmatch(sink.stream):
                raise ValidationError("sink.stream", "is not 1 to 63 of a-z, 0-9 and . _ -")
            _between("sink.max_length", sink.max_length, 1, bounds.max_stream_length)
        case WebhookSink():
            if sink.key_version != 1:
                raise ValidationError("sink.key_version", "is counted by the guild")
            if sink.per_minute is not None:
                raise ValidationError("sink.per_minute", "is what the address answers")
            _between("sink.batch", sink.batch, 1, bounds.max_webhook_batch)
        case PullSink() | SseSink():
            return
        case _:
            assert_never(sink)


def check_delivery(policy: DeliveryPolicy, bounds: BusSettings) -> None:
    """Raises `ValidationError` for what the router would not keep up with."""
    if policy.ordering not in ("aggregate", "none"):
        raise ValidationError("delivery.ordering", "is neither aggregate nor none")
    _between("delivery.ack_deadline_s", policy.ack_deadline_s, 1, bounds.max_ack_deadline_s)
    _between("delivery.max_attempts", policy.max_attempts, 1, bounds.max_attempts)
    _between("delivery.max_in_flight", policy.max_in_flight, 1, bounds.max_in_flight)
    if not 1 <= len(policy.backoff_s) <= bounds.max_attempts:
        raise ValidationError("delivery.backoff_s", f"are not 1 to {bounds.max_attempts} pauses")
    for pause_s in policy.backoff_s:
        _between("delivery.backoff_s", pause_s, 0, bounds.max_backoff_s)


def check_filter(spec: Mapping[str, Any], bounds: BusSettings) -> None:
    """The shape of a filter; its expression is compiled elsewhere."""
    unknown = sorted(set(spec) - _FILTER_KEYS)
    if unknown:
        raise ValidationError("filter", f"has only {', '.join(sorted(_FILTER_KEYS))}")
    wanted = spec.get("similar_to")
    if wanted is None:
        if "min_score" in spec:
            raise ValidationError("filter.min_score", "needs similar_to")
        return
    if not isinstance(wanted, str) or not wanted.strip():
        raise ValidationError("filter.similar_to", "is not a text")
    if len(wanted) > bounds.meaning_chars:
        raise ValidationError("filter.similar_to", f"is longer than {bounds.meaning_chars}")
    score = spec.get("min_score", 0.5)
    if isinstance(score, bool) or not isinstance(score, int | float):
        raise ValidationError("filter.min_score", "is not a number")
    _between("filter.min_score", score, -1, 1)


def check_types(field: str, types: Any, bounds: BusSettings) -> None:
    """Raises `ValidationError` for what are no patterns of types, or too many."""
    if not isinstance(types, list | tuple) or not all(isinstance(one, str) for one in types):
        raise ValidationError(field, "are not texts")
    if len(types) > bounds.max_filter_types:
        raise ValidationError(field, f"are more than {bounds.max_filter_types}")
    for pattern in types:
        checks.text(field, pattern, _LONGEST_TYPE, required=True)


def types_read(spec: Mapping[str, Any]) -> Sequence[str]:
    """Patterns of the types that count as behind: a meaning is matched by an event of its own."""
    if spec.get("similar_to"):
        return (MATCHED,)
    return tuple(spec.get("types") or ("*",))


def _between(field: str, value: float, least: float, most: float) -> None:
    if not math.isfinite(value) or not least <= value <= most:
        raise ValidationError(field, f"is not between {least:g} and {most:g}")
