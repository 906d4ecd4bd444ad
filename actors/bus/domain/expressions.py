"""Expressions of filters: CEL, weighed before it runs. Pure.

An expression is anybody's to write, and runs in event loops that all guilds share. Macros within
macros multiply, ``map`` and ``filter`` copy their list at each step, ``matches`` compiles its
pattern for each event, and data that is nested too deep ends the process. Some of that is refused.
Of the rest the cost is estimated, once for the expression by itself and again for each event; what
would cost too much is not evaluated.
"""

import re
from collections.abc import Mapping
from typing import Any

import cel

from actors import checks
from actors.bus.domain.expression_cost import NOTHING, load_of, shape_of
from actors.errors import ValidationError
from actors.settings import BusSettings

_FIELD = "filter.expression"
_COPYING = frozenset({"map", "filter"})
_FUNCTIONS = {
    *("size", "contains", "startsWith", "endsWith", "type", "dyn"),
    *("string", "bytes", "int", "uint", "double", "timestamp", "duration"),
    *("getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear"),
    *("getHours", "getMinutes", "getSeconds", "getMilliseconds"),
}
_OPERATOR = re.compile(r"[^A-Za-z]*|@in|@not_strictly_false")
_ATTRIBUTE = re.compile(r"[a-z0-9]{1,20}")
_PLACE = re.compile(r"ERROR: <input>:(\d+):(\d+): ")


class Expression:
    """One that compiles and is cheap enough.

    Args:
        source: CEL.
        bounds: of length, nesting and cost.

    Attributes:
        attributes: names of those that it may read.
        reads_data: whether it reads the payload.

    Raises:
        ValidationError: it is not CEL, or nothing that we would run.
    """

    def __init__(self, source: str, bounds: BusSettings) -> None:
        if len(checks.storable(_FIELD, source)) > bounds.max_expression_chars:
            most = bounds.max_expression_chars
            raise ValidationError(_FIELD, f"is longer than {most} characters")
        self._program = _compiled(source)
        self._shape = shape_of(source)
        self._most_steps = bounds.max_expression_steps
        self._deepest = bounds.max_expression_depth
        names = frozenset(self._program.variables())
        self.reads_data = "data" in names
        self.attributes = names - {"data"}
        self._check(bounds)

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Whether it is true; False where it costs too much.

        Args:
            values: those of ``attributes`` that the event has, and its ``data``, JSON as Python
                has it, where that is read.

        Raises:
            Exception: whatever the library makes of an expression that fails.
        """
        read = dict(values)
        if self.reads_data:
            read["data"] = self._members(read["data"])
        load = load_of(read, self._deepest, self._most_steps)
        if load is None or self._shape.steps(load) > self._most_steps:
            return False
        return self._program.execute(read) is True

    def _members(self, data: Any) -> Any:
        """No more of it than is read: most of the time goes into the library's own values."""
        names = self._shape.members
        if names is None or not isinstance(data, dict):
            return data
        return {name: data[name] for name in names if name in data}

    def _check(self, bounds: BusSettings) -> None:
        if copying := sorted(_COPYING & self._shape.methods):
            reason = f"has {copying[0]}, which copies a list again and again; use exists or all"
            raise ValidationError(_FIELD, reason)
        functions = (name for name in self._program.functions() if not _OPERATOR.fullmatch(name))
        if not _FUNCTIONS.issuperset(functions):
            known = ", ".join(sorted(_FUNCTIONS))
            raise ValidationError(_FIELD, f"calls what is none of the functions {known}")
        if not all(map(_ATTRIBUTE.fullmatch, self.attributes - self._shape.bound)):
            raise ValidationError(_FIELD, "reads what is neither data nor an attribute (a-z, 0-9)")
        if self._shape.nesting > bounds.max_expression_nesting:
            most = bounds.max_expression_nesting
            raise ValidationError(_FIELD, f"has more than {most} macros within each other")
        if self._shape.steps(NOTHING) > bounds.max_expression_steps:
            raise ValidationError(_FIELD, "takes too many steps, whatever the event")


def _compiled(source: str) -> cel.Program:
    try:
        return cel.compile(source)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of the library is no Exception
        if "Recursion limit" in str(error):
            raise ValidationError(_FIELD, "is nested too deep") from None
        found = _PLACE.search(str(error))
        where = f" at line {found[1]}, column {found[2]}" if found else ""
        raise ValidationError(_FIELD, f"is not CEL{where}") from None
