"""One JSON object a line, on standard error: what every process of the guild logs."""

import json
import logging
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import orjson
import structlog

from actors.runtime import subject, tracing

_OURS = "elders_guild"


@cache
def configure(level: str) -> None:
    """Sets the process's log up, once.

    Fields, not prose; never a payload, never a secret.
    """
    structlog.configure(
        processors=[
            _add_subject,
            structlog.processors.add_log_level,
            _name_logger,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(serializer=_rendered),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
        ),
        logger_factory=_NamedLogger,
        cache_logger_on_first_use=True,
    )
    _take_in_others()


def _take_in_others() -> None:
    """What libraries warn of becomes lines of ours; what they merely tell is left out."""
    handler = logging.StreamHandler(sys.__stderr__ or sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                _add_subject,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.EventRenamer("message"),
                structlog.processors.JSONRenderer(serializer=_rendered),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [one for one in root.handlers if one.name != _OURS]
    handler.name = _OURS
    root.addHandler(handler)


class _NamedLogger(structlog.WriteLogger):
    """Writes lines, and remembers the name that ``get_logger`` was given.

    To the process's own standard error: a Serve replica replaces ``print`` and ``sys.stderr`` by a
    logger that holds lines back by the thousand, and a crash would take them along.
    """

    def __init__(self, name: str = _OURS) -> None:
        super().__init__(sys.__stderr__ or sys.stderr)
        self.name = name


def _add_subject(_: Any, __: str, event: structlog.typing.EventDict) -> Any:
    """What the line itself says goes before what is known of the task's work."""
    for name, value in subject.known().items():
        if value:
            event.setdefault(name, value)
    if (place := tracing.current()) is not None:
        event.setdefault("trace_id", f"{place.trace_id:032x}")
    return event


def _name_logger(logger: Any, _: str, event: structlog.typing.EventDict) -> Any:
    event["logger"] = getattr(logger, "name", _OURS)
    return event


def _rendered(event: Any, default: Callable[[Any], Any]) -> str:
    """The line, in ASCII: nobody knows what the terminal or the collector takes."""
    try:
        text = orjson.dumps(event, default=default)
    except orjson.JSONEncodeError:  # a number too large, half a character
        return json.dumps(event, default=default)
    return text.decode() if text.isascii() else json.dumps(event, default=default)
