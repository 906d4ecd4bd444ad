"""Pickle that knows our own kinds of value: frozen dataclasses with slots, enums, moments in UTC.

The standard library moves a dataclass field by field in Python, and imports every class anew for
every message. Here such a value is one text, the name of its class, and its fields: a third of the
time. Everything else goes the usual way, and plain `pickle.loads` reads what is written here.
"""

import copyreg
import importlib
import io
import pickle  # nosec B403  # between our own processes; see `envelope`
import sys
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum, Flag
from operator import attrgetter
from types import MemberDescriptorType
from typing import Any

Reducer = Callable[[Any], Any]


def dumps(value: object) -> bytes:
    """The value as bytes.

    Raises:
        Exception: it cannot be pickled.
    """
    buffer = io.BytesIO()
    _Pickler(buffer, pickle.HIGHEST_PROTOCOL).dump(value)
    return buffer.getvalue()


def restore(name: str, *values: Any) -> Any:
    """What `dumps` took apart.

    Raises:
        ImportError, AttributeError: this version has no such class.
        ValueError, KeyError: it has other fields, or no such member.
    """
    make = _makers.get(name)
    if make is None:
        make = _makers[name] = _maker(name)
    return make(*values)


class _Reducers(dict[type[Any], Reducer]):
    """How values of each class are taken apart, found out once."""

    def __missing__(self, kind: type[Any]) -> Reducer:
        if issubclass(kind, type):
            raise KeyError(kind)  # a class itself: the pickler writes its name
        reducer = self[kind] = _reducer(kind)
        return reducer


class _Pickler(pickle.Pickler):
    dispatch_table = _Reducers()


_MOMENT = "utc"
_makers: dict[str, Callable[..., Any]] = {_MOMENT: datetime.fromisoformat}


def _maker(name: str) -> Callable[..., Any]:
    module, _, inside = name.partition(":")
    kind = attrgetter(inside)(importlib.import_module(module))
    if issubclass(kind, Enum):
        member: Callable[[str], Any] = kind.__members__.__getitem__
        return member
    setters = [slot.__set__ for slot in _slots(kind)]
    new = object.__new__

    def make(*values: object) -> Any:
        made = new(kind)
        for set_field, value in zip(setters, values, strict=True):
            set_field(made, value)
        return made

    return make


def _reducer(kind: type[Any]) -> Reducer:
    if kind is datetime:
        return _take_moment
    name = f"{kind.__module__}:{kind.__qualname__}"
    if not _is_importable(kind):
        return copyreg.dispatch_table.get(kind, _usual)
    if issubclass(kind, Enum) and not issubclass(kind, Flag):  # flags can be several members
        return lambda member: (restore, (name, member.name))
    if _is_ours(kind):
        names = [field.name for field in fields(kind)]
        take = attrgetter(*names)
        if len(names) == 1:
            return lambda value: (restore, (name, take(value)))
        return lambda value: (restore, (name, *take(value)))
    return copyreg.dispatch_table.get(kind, _usual)


def _usual(value: Any) -> Any:
    return value.__reduce_ex__(pickle.HIGHEST_PROTOCOL)


def _take_moment(value: datetime) -> Any:
    return (restore, (_MOMENT, value.isoformat())) if value.tzinfo is UTC else _usual(value)


def _is_importable(kind: type[Any]) -> bool:
    """Whether its name leads to it in another process too."""
    module = sys.modules.get(kind.__module__)
    try:
        return kind.__module__ != "__main__" and attrgetter(kind.__qualname__)(module) is kind
    except AttributeError:
        return False


def _is_ours(kind: Any) -> bool:
    """Whether all there is to it are its fields, in slots, and it says nothing of pickling."""
    return (
        is_dataclass(kind)
        and bool(fields(kind))
        and kind.__reduce_ex__ is object.__reduce_ex__
        and kind.__reduce__ is object.__reduce__
        and kind.__dictoffset__ == 0
        and bool(vars(kind)["__dataclass_params__"].frozen)
        and all(isinstance(slot, MemberDescriptorType) for slot in _slots(kind))
    )


def _slots(kind: Any) -> list[Any]:
    return [getattr(kind, field.name, None) for field in fields(kind)]
