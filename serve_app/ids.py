"""Ids in addresses. What cannot be an id of ours is not found, like another guild's."""

import re
from typing import Annotated

from fastapi import Path
from pydantic import AfterValidator

from actors.clock import ID_PATTERN
from actors.errors import NotFound

_ID = re.compile(ID_PATTERN)


def _id_of(kind: str) -> AfterValidator:
    def check(value: str) -> str:
        if not _ID.fullmatch(value):
            raise NotFound(kind, "")
        return value

    return AfterValidator(check)


_ANY = Path(description="an id", examples=["inc_01k0000000000000000000000a"])

IncidentPath = Annotated[str, _ANY, _id_of("incident")]
TaskPath = Annotated[str, _ANY, _id_of("task")]
EntityPath = Annotated[str, _ANY, _id_of("entity")]
DocumentPath = Annotated[str, _ANY, _id_of("document")]
