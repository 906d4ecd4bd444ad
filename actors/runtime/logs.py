"""One JSON object a line, on standard error: what every process of the guild logs."""

import json
import logging
import sys
from collections.abc import Callable
from functools import cache
from typing import Any

import orjson
import structlog


@cache
def configure(level: str) -> None:
    """Sets the process's log up, once.

    Fields, not prose; never a payload, never a secret.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
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


class _NamedLogger(structlog.WriteLogger):
    """Writes lines, and remembers the name that ``get_logger`` was given.

    To the process's own standard error: a Serve replica replaces ``print`` and ``sys.stderr`` by a
    logger that holds lines back by the thousand, and a crash would take them along.
    """

    def __init__(self, name: str = "elders_guild") -> None:
        super().__init__(sys.__stderr__ or sys.stderr)
        self.name = name


def _name_logger(logger: Any, _: str, event: structlog.typing.EventDict) -> Any:
    event["logger"] = getattr(logger, "name", "elders_guild")
    return event


def _rendered(event: Any, default: Callable[[Any], Any]) -> str:
    """The line, in ASCII: nobody knows what the terminal or the collector takes."""
    try:
        text = orjson.dumps(event, default=default)
    except orjson.JSONEncodeError:  # a number too large, half a character
        return json.dumps(event, default=default)
    return text.decode() if text.isascii() else json.dumps(event, default=default)
