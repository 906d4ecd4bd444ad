"""Messages, callers and a tiny sage that the runtime's tests share."""

import asyncio
import random
from dataclasses import dataclass

from actors.errors import NotFound
from actors.runtime.message import (
    Caller,
    Command,
    Context,
    Delivery,
    GuildId,
    Handlers,
    Permission,
    Query,
)

CALLER = Caller(
    guild_id=GuildId("guild_1"), principal_id="usr_1", permissions=frozenset({Permission.ADMIN})
)
CONTEXT = Context(caller=CALLER, correlation_id="cor_1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Echo(Query[str]):
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse(Query[str]):
    what: str = "thing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Break(Query[str]):
    secret: str = "inside"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unanswerable(Query[object]):
    """Its reply cannot be pickled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Query[str]):
    name: str
    group: str | None = None

    @property
    def key(self) -> str | None:
        return self.group


@dataclass(frozen=True, slots=True, kw_only=True)
class Add(Command[int]):
    amount: int = 1
    group: str | None = None

    @property
    def key(self) -> str | None:
        return self.group


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliver(Delivery[None]):
    """Waits at the gate ``name``."""

    name: str
    group: str | None = None

    @property
    def key(self) -> str | None:
        return self.group


class Abacus:
    """A sage whose slow messages end when the test says so."""

    def __init__(self) -> None:
        self.total = 0
        self.started: list[str] = []
        self.gates: dict[str, asyncio.Event] = {}

    def handlers(self) -> Handlers:
        return {
            Echo: self.echo,
            Refuse: self.refuse,
            Break: self.broken,
            Unanswerable: self.unanswerable,
            Wait: self.wait,
            Add: self.add,
            Deliver: self.deliver,
        }

    async def echo(self, query: Echo) -> str:
        return query.text

    async def refuse(self, query: Refuse) -> str:
        raise NotFound(query.what, "1")

    async def broken(self, query: Break) -> str:
        raise RuntimeError(query.secret)

    async def unanswerable(self, _: Unanswerable) -> object:
        return lambda: None

    async def wait(self, query: Wait) -> str:
        self.started.append(query.name)
        await self.gate(query.name).wait()
        return query.name

    async def add(self, command: Add) -> int:
        self.total += command.amount
        return self.total

    async def deliver(self, command: Deliver) -> None:
        self.started.append(command.name)
        await self.gate(command.name).wait()

    def gate(self, name: str) -> asyncio.Event:
        return self.gates.setdefault(name, asyncio.Event())


class Restless(Abacus):
    """Every message takes up to ``turns`` of the event loop; ``started`` keeps the order."""

    def __init__(self, dice: random.Random, turns: int = 4) -> None:
        super().__init__()
        self.dice = dice
        self.turns = turns
        self.running: set[str | None] = set()

    async def wait(self, query: Wait) -> str:
        assert query.group not in self.running, "two of one key at once"
        self.running.add(query.group)
        self.started.append(query.name)
        for _ in range(self.dice.randrange(self.turns)):
            await asyncio.sleep(0)
        self.running.discard(query.group)
        return query.name
