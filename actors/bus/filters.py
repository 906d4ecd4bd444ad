"""Filters on type and content: what a subscription, or a stream, wants of the log.

A filter never raises: what fails on an event, or is no yes or no there, does not want it.
"""

from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache, partial
from typing import Any

import orjson

from actors import cloudevents, events, patterns
from actors.bus.domain import subscriptions
from actors.bus.domain.expressions import Expression
from actors.errors import ValidationError
from actors.events import StoredEvent
from actors.settings import BusSettings

Wanted = Callable[[StoredEvent], bool]

_MAY_BE_ABSENT = dict.fromkeys(("subject", "causationid", "recordedtime"))


class Filters:
    """Compiles filters. What many of them read of one event is made once.

    Args:
        bounds: of a filter, and how many expressions are kept compiled.
    """

    def __init__(self, bounds: BusSettings) -> None:
        self._bounds = bounds
        self._expression = lru_cache(bounds.compiled_filters)(partial(_expression, bounds=bounds))
        self._told: _Told | None = None

    def compile(self, spec: Mapping[str, Any]) -> Wanted:
        """Whether an event is wanted by ``types`` and ``expression``; the rest is not looked at.

        Raises:
            ValidationError: it is no filter.
        """
        types, source = spec.get("types") or (), spec.get("expression")
        subscriptions.check_types("filter.types", types, self._bounds)
        if source is None or source == "":
            return _by_type(types) if types else _everything
        if not isinstance(source, str):
            raise ValidationError("filter.expression", "is not a text")
        by_content = partial(self._holds, self._expression(source))
        if not types:
            return by_content
        by_type = _by_type(types)
        return lambda event: by_type(event) and by_content(event)

    def _holds(self, expression: Expression, event: StoredEvent) -> bool:
        try:
            told = self._told
            if told is None or told.event is not event:
                told = self._told = _Told(event)
            return expression.holds(told.values(expression))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # a panic of the library is no Exception
            return False


class _Told:
    """What expressions read of one event."""

    def __init__(self, event: StoredEvent) -> None:
        self.event = event

    def values(self, expression: Expression) -> dict[str, Any]:
        """What this one reads."""
        values: dict[str, Any] = {}
        if expression.attributes:
            told = self._attributes
            values = {name: told[name] for name in expression.attributes if name in told}
        if expression.reads_data:
            values["data"] = self._data
        return values

    @cached_property
    def _attributes(self) -> dict[str, Any]:
        return {**_MAY_BE_ABSENT, **cloudevents.attributes(self.event)}

    @cached_property
    def _data(self) -> Any:
        """JSON as Python has it; None where it cannot be read, or must not."""
        if self.event.sealed_for is not None:
            return None
        try:
            return orjson.loads(events.encode(self.event.payload))
        except ValueError:
            return None


def _expression(source: str, bounds: BusSettings) -> Expression:
    return Expression(source, bounds)


def _everything(_: StoredEvent) -> bool:
    return True


def _by_type(types: list[str] | tuple[str, ...]) -> Wanted:
    matches = patterns.compiled(types).fullmatch
    return lambda event: matches(event.type) is not None
