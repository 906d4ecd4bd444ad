"""Subscriptions: check what was asked, ask who must agree, write it down."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from actors import checks, clock
from actors.bus.domain import subscriptions
from actors.bus.messages import (
    DeleteSubscription,
    GetSubscription,
    ListSubscriptions,
    Origin,
    PauseSubscription,
    PutSubscription,
    ResumeSubscription,
    RotateSecret,
    SeekSubscription,
    Subscription,
    SubscriptionInfo,
    SubscriptionPage,
    WebhookSink,
)
from actors.bus.store import SubscriptionStore
from actors.errors import NotFound, ValidationError
from actors.runtime.message import Command, Context, GuildId, Handlers
from actors.settings import BusSettings


class Webhooks(Protocol):
    """The world outside, where addresses live."""

    async def agree(self, url: str) -> int | None:
        """Asks an address whether it wants to be called, and how often.

        Returns:
            How many requests a minute it allows; None: any number.

        Raises:
            ValidationError: we do not call such addresses, or it does not agree.
            DependencyUnavailable: it does not answer.
        """

    def secret(self, subscription_id: str, key_version: int) -> str:
        """What its deliveries are signed with; the same for the same arguments."""


Embed = Callable[[str, Context], Awaitable[Sequence[float]]]
"""The meaning of a text, a vector of length 1."""


class SubscriptionSage:
    """Keeps what a guild wants to hear, and from where on. Holds no state."""

    def __init__(
        self,
        store: SubscriptionStore,
        settings: BusSettings,
        *,
        pools: frozenset[str],
        compile_filter: Callable[[Mapping[str, Any]], object],
        webhooks: Webhooks,
        embed: Embed,
        nudge: Callable[[], None] = lambda: None,
        now: clock.Now = clock.now,
        new_id: clock.NewId = clock.new_id,
    ) -> None:
        self._store = store
        self._settings = settings
        self._pools = pools
        self._compile_filter = compile_filter
        self._webhooks = webhooks
        self._embed = embed
        self._nudge = nudge
        self._now = now
        self._new_id = new_id

    def handlers(self) -> Handlers:
        """Which method answers which message."""
        return {
            PutSubscription: self.put,
            GetSubscription: self.get,
            ListSubscriptions: self.page,
            DeleteSubscription: self.delete,
            PauseSubscription: self.pause,
            ResumeSubscription: self.resume,
            SeekSubscription: self.seek,
            RotateSecret: self.rotate,
        }

    async def put(self, command: PutSubscription) -> SubscriptionInfo:
        """Made or replaced; the answer to a new webhook holds its secret."""
        guild_id = _guild(command.context)
        self._check(command)
        existing = await self._store.load(guild_id, command.name)
        if (
            existing is None
            and await self._store.count(guild_id) >= self._settings.max_subscriptions
        ):
            raise ValidationError("name", f"is one above {self._settings.max_subscriptions}")
        wanted = subscriptions.put(existing, command, self._new_id("sub"), self._now())
        if existing is not None and wanted is existing:
            return await self._info(command.context, command.name)
        is_new = existing is None
        if existing is None or existing.sink != wanted.sink:
            wanted = await self._agreed(wanted)
        info = await self._commit(wanted, command, command.begin if is_new else None)
        return self._with_secret(info) if is_new else info

    async def get(self, query: GetSubscription) -> SubscriptionInfo:
        """One, with how far it has come."""
        return await self._info(query.context, query.name)

    async def page(self, query: ListSubscriptions) -> SubscriptionPage:
        """Some of them."""
        limit = checks.page_size(query.limit)
        return await self._store.page(_guild(query.context), limit, query.cursor)

    async def delete(self, command: DeleteSubscription) -> None:
        """Gone; a repeat without an id of its own answers `NotFound`."""
        existing = await self._existing(command.context, command.name)
        subscriptions.expected(existing, command.name, command.expected_version)
        await self._store.delete(existing, cause=command)
        self._nudge()

    async def pause(self, command: PauseSubscription) -> SubscriptionInfo:
        """Nothing is delivered until it is resumed."""
        existing = await self._existing(command.context, command.name)
        return await self._changed(existing, subscriptions.pause(existing, self._now()), command)

    async def resume(self, command: ResumeSubscription) -> SubscriptionInfo:
        """Goes on; a webhook that was given up has to agree again first."""
        existing = await self._existing(command.context, command.name)
        resumed = subscriptions.resume(existing, self._now())
        if existing.state == "disabled":
            resumed = await self._agreed(resumed)
        return await self._changed(existing, resumed, command)

    async def seek(self, command: SeekSubscription) -> SubscriptionInfo:
        """Begins anew elsewhere."""
        existing = await self._existing(command.context, command.name)
        return await self._commit(subscriptions.seek(existing, self._now()), command, command.to)

    async def rotate(self, command: RotateSecret) -> SubscriptionInfo:
        """The new secret, shown this once."""
        existing = await self._existing(command.context, command.name)
        rotated = subscriptions.rotate(existing, self._now())
        return self._with_secret(await self._commit(rotated, command))

    def _check(self, command: PutSubscription) -> None:
        bounds = self._settings
        subscriptions.checked_name(command.name)
        subscriptions.check_sink(command.sink, command.context.caller, self._pools, bounds)
        subscriptions.check_delivery(command.delivery, bounds)
        subscriptions.check_filter(command.filter_spec, bounds)
        self._compile_filter(command.filter_spec)

    async def _agreed(self, wanted: Subscription) -> Subscription:
        """With the rate that its address allows, where there is an address to ask."""
        match wanted.sink:
            case WebhookSink():
                rate = await self._webhooks.agree(wanted.sink.url)
                return replace(wanted, sink=replace(wanted.sink, per_minute=rate))
            case _:
                return wanted

    async def _changed(
        self, existing: Subscription, changed: Subscription, command: Command[SubscriptionInfo]
    ) -> SubscriptionInfo:
        if changed is existing:
            return await self._info(command.context, existing.name)
        return await self._commit(changed, command)

    async def _commit(
        self,
        changed: Subscription,
        command: Command[SubscriptionInfo],
        origin: Origin | None = None,
    ) -> SubscriptionInfo:
        similar_to = changed.filter_spec.get("similar_to")
        meaning = None if similar_to is None else await self._embed(similar_to, command.context)
        info = await self._store.commit(changed, origin=origin, meaning=meaning, cause=command)
        self._nudge()
        return info

    async def _info(self, context: Context, name: str) -> SubscriptionInfo:
        found = await self._store.info(_guild(context), name)
        if found is None:
            raise NotFound("subscription", name)
        return found

    async def _existing(self, context: Context, name: str) -> Subscription:
        """One that the caller is about to change."""
        found = await self._store.load(_guild(context), name)
        if found is None:
            raise NotFound("subscription", name)
        subscriptions.check_may_touch(found, context.caller)
        return found

    def _with_secret(self, info: SubscriptionInfo) -> SubscriptionInfo:
        match info.subscription.sink:
            case WebhookSink(key_version=key_version):
                secret = self._webhooks.secret(info.subscription.subscription_id, key_version)
                return replace(info, secret=secret)
            case _:
                return info


def _guild(context: Context) -> GuildId:
    return context.caller.guild_id
