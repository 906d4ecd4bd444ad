"""Ids in addresses. What cannot be an id of ours is not found, like another guild's."""

import re
from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator

from actors.clock import ID_PATTERN
from actors.errors import NotFound, ValidationError

_ID = re.compile(ID_PATTERN)
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def _id_of(kind: str) -> AfterValidator:
    def check(value: str) -> str:
        if not _ID.fullmatch(value):
            raise NotFound(kind, "")
        return value

    return AfterValidator(check)


def _name_of(kind: str) -> AfterValidator:
    def check(value: str) -> str:
        if not _NAME.fullmatch(value):
            raise NotFound(kind, "")
        return value

    return AfterValidator(check)


def _new_name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValidationError("name", "is not 1 to 63 of a-z, 0-9, dot, hyphen, underscore")
    return value


_ANY = Path(description="an id", examples=["inc_01k0000000000000000000000a"])

IncidentPath = Annotated[str, _ANY, _id_of("incident")]
TaskPath = Annotated[str, _ANY, _id_of("task")]
EntityPath = Annotated[str, _ANY, _id_of("entity")]
DocumentPath = Annotated[str, _ANY, _id_of("document")]
ReplayPath = Annotated[str, _ANY, _id_of("replay")]
TimerPath = Annotated[str, _ANY, _id_of("timer")]
UserPath = Annotated[str, _ANY, _id_of("user")]
SagaPath = Annotated[str, _ANY, _id_of("saga")]

_CLIENT = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,127}")


def _client_id(value: str) -> str:
    if not _CLIENT.fullmatch(value):
        raise NotFound("client", "")
    return value


ClientPath = Annotated[
    str, Path(description="a client's id", examples=["prometheus"]), AfterValidator(_client_id)
]

_SOME_NAME = Path(description="a name", examples=["billing"])

SubscriptionPath = Annotated[str, _SOME_NAME, _name_of("subscription")]
NewSubscriptionPath = Annotated[str, _SOME_NAME, AfterValidator(_new_name)]
"""Of one that may not be there yet: what cannot be a name is refused, not missing."""
