"""The question that every member answers without asking anybody else."""

import os
from dataclasses import dataclass

from actors.runtime.message import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong:
    """That a member is there, and in which process."""

    process_id: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping(Query[Pong]):
    """Goes the way of every message, mailbox included, and touches no database."""


async def pong(_: Ping) -> Pong:
    """The handler of `Ping`, the same in every pool."""
    return Pong(process_id=os.getpid())
