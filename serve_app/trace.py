"""What one request is called in logs and answers."""

import re
from collections.abc import Mapping, MutableMapping
from typing import Any

from actors import clock
from actors.runtime import tracing

Scope = MutableMapping[str, Any]

_NAME = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_KEY = "guild.trace"
UNMATCHED = "unmatched"


class Trace:
    """Ids and labels of one request; filled in while it goes through the gateway.

    Attributes:
        request_id: the client's ``X-Request-Id`` where it is a plain word, else made here.
        given: the request came with this ``X-Request-Id``.
        correlation_id: the client's ``X-Correlation-Id`` likewise; what the request causes has it.
        begins: the client gave none: the correlation begins here.
        route: template of the matched route, never the path itself.
        entity_id: what the path names, where it can be an id of ours.
        headers: further headers of the answer, whatever it will be.
    """

    __slots__ = (
        "begins",
        "correlation_id",
        "entity_id",
        "given",
        "guild_id",
        "headers",
        "request_id",
        "route",
        "user_id",
    )

    def __init__(self, request_id: str, correlation_id: str) -> None:
        self.request_id = request_id or clock.new_id("req")
        self.given = bool(request_id)
        self.begins = not correlation_id
        self.correlation_id = correlation_id or clock.new_id("cor")
        self.route = UNMATCHED
        self.guild_id = ""
        self.user_id = ""
        self.entity_id = ""
        self.headers: tuple[tuple[bytes, bytes], ...] = ()

    def name_entity(self, parts: Mapping[str, Any]) -> None:
        """Takes the id that the path's parts have, if they have one."""
        for name, value in parts.items():
            if name.endswith("_id") and clock.is_id(str(value)):
                self.entity_id = str(value)
                return

    def fields(self) -> Mapping[str, str | None]:
        """Of every line that is written meanwhile."""
        return {
            "request_id": self.request_id,
            "correlation_id": self.correlation_id,
            "guild_id": self.guild_id,
            "user_id": self.user_id,
            "entity_id": self.entity_id,
        }


def begin(scope: Scope) -> Trace:
    """The trace of a request that has just arrived."""
    request_id = correlation_id = ""
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            request_id = _plain(value)
        elif name == b"x-correlation-id":
            correlation_id = _plain(value)
    trace = Trace(request_id, correlation_id)
    if trace.begins and tracing.is_on():
        traced = tracing.correlation_of(dict(scope["headers"]))
        trace.correlation_id = traced or trace.correlation_id
    scope[_KEY] = trace
    return trace


def of(scope: Scope) -> Trace:
    """The trace that `begin` made."""
    trace: Trace = scope[_KEY]
    return trace


def _plain(value: bytes) -> str:
    text = value.decode("latin-1")
    return text if _NAME.fullmatch(text) else ""
