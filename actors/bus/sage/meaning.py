"""Subscriptions by meaning: embeds what happened and compares it with what is asked for."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import numpy as np
import structlog

from actors.bus.domain import meaning
from actors.bus.domain.meaning import StandingQueries, Vectors
from actors.bus.sage.reading import CompileFilter, Wanted
from actors.bus.store import MeaningStore, Standing
from actors.errors import ValidationError
from actors.events import DeliverEvents, StoredEvent, SubscriptionMatch, SubscriptionMatched
from actors.runtime.message import Context, GuildId, Handlers
from actors.runtime.turns import in_turns
from actors.settings import BusSettings

_log = structlog.get_logger("elders_guild.bus")

EmbedAll = Callable[[Sequence[str], Context], Awaitable[Vectors]]
"""The meanings of texts, shape (texts, dimension), each of length 1."""


class MeaningSage:
    """Emits one event for each that is close to a standing query. Remembers the queries."""

    def __init__(
        self,
        store: MeaningStore,
        settings: BusSettings,
        *,
        compile_filter: CompileFilter,
        embed: EmbedAll,
        render: Callable[[StoredEvent], str],
    ) -> None:
        self._store = store
        self._settings = settings
        self._compile_filter = compile_filter
        self._embed = embed
        self._render = render
        self._known: OrderedDict[GuildId, tuple[int, StandingQueries | None]] = OrderedDict()

    def handlers(self) -> Handlers:
        """Which method answers which message."""
        return {DeliverEvents: self.deliver}

    async def deliver(self, command: DeliverEvents) -> None:
        """Compares a batch of one guild's events; nothing where nobody asks.

        Raises:
            ElderGuildError: the embedder or the database is away; deliver again.
        """
        if not command.subscription.startswith(meaning.SUBSCRIPTION):
            raise LookupError(f"nobody here hears {command.subscription}")
        queries = await self._queries(command.context)
        if queries is None:
            return
        begin = min(queries.origins)
        telling = [
            (event, text)
            for event in command.events
            if event.position > begin
            and (text := meaning.text_of(event, self._settings.meaning_chars)) is not None
        ]
        if not telling:
            return
        meanings = await self._embed([text for _, text in telling], command.context)
        happened = [event for event, _ in telling]
        found: list[list[SubscriptionMatch]] = [[] for _ in happened]
        pairs = meaning.matches(queries, happened, meanings)
        async for index, match in in_turns(pairs, self._settings.hold_s):
            if match is not None:
                found[index].append(match)
        matched = [
            (event, self._matched(event, tuple(those)))
            for event, those in zip(happened, found, strict=True)
            if those
        ]
        if matched:
            await self._store.commit(matched, cause=command)

    def _matched(
        self, event: StoredEvent, found: tuple[SubscriptionMatch, ...]
    ) -> SubscriptionMatched:
        return SubscriptionMatched(
            event_id=event.event_id,
            event_type=event.type,
            matches=found,
            event=self._render(event),
        )

    async def _queries(self, context: Context) -> StandingQueries | None:
        """Those of now: a query that was put before an event was published is among them."""
        guild_id = context.caller.guild_id
        revision = await self._store.revision(guild_id)
        known = self._known.get(guild_id)
        if known is None or known[0] != revision:
            standing = await self._in_our_model(await self._store.standing(guild_id), context)
            known = (revision, self._compiled(standing))
            self._known[guild_id] = known
            if len(self._known) > self._settings.meaning_guilds:
                self._known.popitem(last=False)
        self._known.move_to_end(guild_id)
        return known[1]

    async def _in_our_model(
        self, standing: Sequence[Standing], context: Context
    ) -> Sequence[Standing]:
        """Those that were put while another model was in use are embedded again, and kept."""
        strange = [one for one in standing if one.vector is None]
        if not strange:
            return standing
        vectors = await self._embed([one.filter_spec["similar_to"] for one in strange], context)
        made = [
            one._replace(vector=vector)
            for one, vector in zip(strange, vectors.tolist(), strict=True)
        ]
        await self._store.keep(context.caller.guild_id, made)
        again = {one.subscription_id: one for one in made}
        return [again.get(one.subscription_id, one) for one in standing]

    def _compiled(self, standing: Sequence[Standing]) -> StandingQueries | None:
        if not standing:
            return None
        floors = [one.filter_spec.get("min_score", meaning.MIN_SCORE) for one in standing]
        return StandingQueries(
            subscription_ids=tuple(one.subscription_id for one in standing),
            vectors=np.array([one.vector for one in standing], dtype=np.float32),
            floors=np.array(floors, dtype=np.float32),
            origins=tuple(one.origin for one in standing),
            wanted=tuple(map(self._wanted, standing)),
        )

    def _wanted(self, one: Standing) -> Wanted | None:
        """What it asks for beside the meaning; None: nothing."""
        plain = _plain(one.filter_spec)
        if not plain:
            return None
        try:
            return self._compile_filter(plain)
        except ValidationError as error:  # it was possible when it was put; the others go on
            _log.error("filter_unreadable", subscription=one.subscription_id, reason=str(error))
            return _nothing


def _nothing(_: StoredEvent) -> bool:
    return False


def _plain(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What the filter asks for beside the meaning."""
    return {
        name: value
        for name, value in spec.items()
        if name not in ("similar_to", "min_score") and value
    }
